-- Reference data: immutable revisions, each one canonical JSON document, and the outbox of those that Kafka does not have yet.
CREATE TABLE reference_revisions (
    namespace     text NOT NULL,
    revision      bigint NOT NULL CHECK (revision > 0),
    applied_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by    text NOT NULL CHECK (applied_by <> ''),       -- as the person says
    database_user text NOT NULL DEFAULT session_user,           -- as PostgreSQL knows it
    reason        text NOT NULL CHECK (reason <> ''),
    sha256        text NOT NULL CHECK (sha256 = encode(sha256(convert_to(document, 'UTF8')), 'hex')),
    document      text NOT NULL,
    PRIMARY KEY (namespace, revision)
);
CREATE TABLE reference_outbox (
    namespace    text NOT NULL,
    revision     bigint NOT NULL,
    queued_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    PRIMARY KEY (namespace, revision),
    FOREIGN KEY (namespace, revision) REFERENCES reference_revisions
);
CREATE INDEX reference_outbox_waiting ON reference_outbox (namespace, revision) WHERE published_at IS NULL;

-- Not even the owner changes a revision by mistake: whoever must, has to drop this trigger first.
CREATE FUNCTION reference_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'revisions of the reference data are never changed: apply another one';
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON reference_revisions
    FOR EACH ROW EXECUTE FUNCTION reference_is_immutable();
CREATE TRIGGER immutable_all BEFORE TRUNCATE ON reference_revisions
    FOR EACH STATEMENT EXECUTE FUNCTION reference_is_immutable();

-- Who applies adds revisions and says nothing about when or as which database user; the publisher marks and does nothing else.
GRANT USAGE ON SCHEMA public TO reference, reference_publisher;
GRANT SELECT, INSERT (namespace, revision, applied_by, reason, sha256, document) ON reference_revisions TO reference;
GRANT SELECT, INSERT (namespace, revision) ON reference_outbox TO reference;
GRANT SELECT ON reference_revisions, reference_outbox TO reference_publisher;
GRANT UPDATE (published_at) ON reference_outbox TO reference_publisher;

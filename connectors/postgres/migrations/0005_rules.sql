-- Rules for data: a series of revisions beside the reference data, with people and rights of its own.
CREATE TABLE rules_revisions (
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
CREATE TABLE rules_outbox (
    namespace    text NOT NULL,
    revision     bigint NOT NULL,
    queued_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    PRIMARY KEY (namespace, revision),
    FOREIGN KEY (namespace, revision) REFERENCES rules_revisions
);
CREATE INDEX rules_outbox_waiting ON rules_outbox (namespace, revision) WHERE published_at IS NULL;

-- Not even the owner changes a revision by mistake: whoever must, has to drop this trigger first.
CREATE FUNCTION rules_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'revisions of the rules are never changed: publish another one';
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON rules_revisions
    FOR EACH ROW EXECUTE FUNCTION rules_are_immutable();
CREATE TRIGGER immutable_all BEFORE TRUNCATE ON rules_revisions
    FOR EACH STATEMENT EXECUTE FUNCTION rules_are_immutable();

-- Who publishes rules adds revisions and says nothing about when or as which database user; the publisher marks, nothing else.
GRANT USAGE ON SCHEMA public TO rules;
GRANT SELECT, INSERT (namespace, revision, applied_by, reason, sha256, document) ON rules_revisions TO rules;
GRANT SELECT, INSERT (namespace, revision) ON rules_outbox TO rules;
GRANT SELECT ON rules_revisions, rules_outbox TO reference_publisher;
GRANT UPDATE (published_at) ON rules_outbox TO reference_publisher;

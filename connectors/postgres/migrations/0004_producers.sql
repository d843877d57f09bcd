-- What operators say of producers that will not be heard again: their word ends the wait, and stays.
CREATE TABLE producer_statements (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace      text NOT NULL,
    tenant         text NOT NULL CHECK (tenant <> ''),
    producer_id    text NOT NULL CHECK (producer_id <> ''),
    producer_epoch bigint NOT NULL,
    statement      text NOT NULL DEFAULT 'dead' CHECK (statement = 'dead'),
    stated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    stated_by      text NOT NULL CHECK (stated_by <> ''),        -- as the person says
    database_user  text NOT NULL DEFAULT session_user,           -- as PostgreSQL knows it
    reason         text NOT NULL CHECK (reason <> '')
);
CREATE INDEX producer_statements_of_tenant ON producer_statements (namespace, tenant, id);

-- Not even the owner changes a statement by mistake: whoever must, has to drop this trigger first.
CREATE FUNCTION statements_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'statements about producers are never changed: make another one';
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON producer_statements
    FOR EACH ROW EXECUTE FUNCTION statements_are_immutable();
CREATE TRIGGER immutable_all BEFORE TRUNCATE ON producer_statements
    FOR EACH STATEMENT EXECUTE FUNCTION statements_are_immutable();

GRANT USAGE ON SCHEMA public TO operator;
GRANT SELECT ON producer_statements TO export, operator;
GRANT INSERT (namespace, tenant, producer_id, producer_epoch, stated_by, reason) ON producer_statements TO operator;

-- What was known of the tenant's producers when the extract was asked for, then when it began: every attempt says the same.
ALTER TABLE extract_jobs ADD COLUMN completeness jsonb;
GRANT INSERT (completeness), UPDATE (completeness) ON extract_jobs TO export;

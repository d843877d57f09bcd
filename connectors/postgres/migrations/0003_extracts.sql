-- Extracts may be cancelled, come from a saved definition, and have files that end.
CREATE TABLE extract_definitions (
    id         uuid PRIMARY KEY,
    namespace  text NOT NULL,
    name       text NOT NULL,
    tenant     text NOT NULL,
    principal  text NOT NULL,                    -- whose rights its extracts need
    query      jsonb NOT NULL,                   -- time, filters, columns, format
    every      text CHECK (every IN ('day', 'week', 'month')),
    created_at timestamptz NOT NULL DEFAULT now(),
    stopped    text NOT NULL DEFAULT '',         -- why its schedule ended; empty while it goes on
    deleted_at timestamptz
);
CREATE UNIQUE INDEX extract_definitions_name ON extract_definitions (namespace, tenant, name) WHERE deleted_at IS NULL;

-- A definition is never changed: what an extract was made from stays readable.
GRANT SELECT, INSERT (id, namespace, name, tenant, principal, query, every), UPDATE (stopped, deleted_at)
    ON extract_definitions TO export;

ALTER TABLE extract_jobs
    DROP CONSTRAINT extract_jobs_state_check,
    ADD CONSTRAINT extract_jobs_state_check CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    ADD COLUMN definition       uuid REFERENCES extract_definitions (id),
    ADD COLUMN period_start     timestamptz,     -- of a scheduled extract
    ADD COLUMN most_rows        bigint,          -- the principal's limit when it asked
    ADD COLUMN complete_until   timestamptz,     -- everything ingested before it is covered
    ADD COLUMN begun_at         timestamptz,     -- of the attempt
    ADD COLUMN expires_at       timestamptz,     -- of the files
    ADD COLUMN files_deleted_at timestamptz;

UPDATE extract_jobs SET expires_at = finished_at + interval '7 days' WHERE state = 'done';

-- However many instances see that a period is over: one extract.
CREATE UNIQUE INDEX extract_jobs_period ON extract_jobs (definition, period_start);
CREATE INDEX extract_jobs_newest ON extract_jobs (namespace, tenant, created_at DESC, id DESC);
CREATE INDEX extract_jobs_of_principal ON extract_jobs (namespace, principal, created_at);
CREATE INDEX extract_jobs_with_files ON extract_jobs (namespace)
    WHERE files_deleted_at IS NULL AND state IN ('done', 'failed', 'cancelled');

GRANT INSERT (definition, period_start, most_rows, complete_until),
      UPDATE (complete_until, begun_at, expires_at, files_deleted_at)
    ON extract_jobs TO export;

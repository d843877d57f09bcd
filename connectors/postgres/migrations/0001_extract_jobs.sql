-- Extract jobs of the export service: what was asked for, how far it is, and who works on it under which lease.
CREATE TABLE extract_jobs (
    id          uuid PRIMARY KEY,
    namespace   text NOT NULL,
    tenant      text NOT NULL,
    principal   text NOT NULL,
    query       jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    state       text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    attempt     integer NOT NULL DEFAULT 0,      -- rises with each claim; a worker may change only its own attempt
    worker      text NOT NULL DEFAULT '',
    not_before  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    high_water  jsonb,                           -- topic id and end offset of each partition, fixed by the first attempt
    rows_done   bigint NOT NULL DEFAULT 0,
    rows_total  bigint,
    files       jsonb NOT NULL DEFAULT '[]',
    error       text NOT NULL DEFAULT '',
    finished_at timestamptz
);
CREATE INDEX extract_jobs_open ON extract_jobs (namespace, created_at) WHERE state IN ('queued', 'running');

-- The service makes jobs and moves them on; it can neither delete one nor change what was asked for and by whom.
GRANT USAGE ON SCHEMA public TO export;
GRANT SELECT, INSERT (id, namespace, tenant, principal, query) ON extract_jobs TO export;
GRANT UPDATE (state, attempt, worker, not_before, lease_until, high_water, rows_done, rows_total, files, error, finished_at)
    ON extract_jobs TO export;

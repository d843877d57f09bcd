"""The job table of the export service: a job is claimed under a lease, so a dead worker's job is taken over by another."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from connectors.postgres import session

State = Literal["queued", "running", "done", "failed"]
_FIELDS = sql.SQL("id, tenant, principal, query, created_at, state, attempt, high_water, rows_done, rows_total, files, error")
_INSERT = sql.SQL(
    "INSERT INTO extract_jobs (id, namespace, tenant, principal, query) VALUES (%s, %s, %s, %s, %s) RETURNING {}"
).format(_FIELDS)
_SELECT = sql.SQL("SELECT {} FROM extract_jobs WHERE id = %s AND namespace = %s").format(_FIELDS)
_OPEN = "SELECT count(*) FROM extract_jobs WHERE namespace = %s AND principal = %s AND state IN ('queued', 'running')"
_CLAIM = sql.SQL("""
    UPDATE extract_jobs SET state = 'running', attempt = attempt + 1, worker = %s, rows_done = 0, error = '',
           lease_until = now() + make_interval(secs => %s)
    WHERE id = (
        SELECT id FROM extract_jobs
        WHERE namespace = %s
          AND ((state = 'queued' AND not_before <= now()) OR (state = 'running' AND lease_until < now()))
        ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {}
""").format(_FIELDS)
_CHANGE = sql.SQL("UPDATE extract_jobs SET {} WHERE id = %s AND attempt = %s AND state = 'running'")


@dataclass(frozen=True)
class Job:
    """One extract job as the table has it. Times are UTC; ``high_water``: topic_id, and ends (partition as text → end offset)."""

    id: uuid.UUID
    tenant: str
    principal: str
    query: dict[str, Any]
    created_at: datetime
    state: State
    attempt: int
    high_water: dict[str, Any] | None
    rows_done: int
    rows_total: int | None
    files: list[dict[str, Any]]
    error: str


class LeaseLostError(Exception):
    """Another worker has taken the job over: stop working on it and touch nothing more."""


class Jobs:
    """Jobs of one namespace. Every method is one transaction and raises PostgresError when the database is away."""

    def __init__(self, dsn: str, namespace: str, worker: str, lease_seconds: float) -> None:
        self._dsn, self._namespace, self._worker, self.lease_seconds = dsn, namespace, worker, lease_seconds

    def open_jobs(self, principal: str) -> int:
        """How many jobs of the principal are not finished."""
        with session(self._dsn) as db:
            return _count(db, self._namespace, principal)

    def create(self, job_id: uuid.UUID, tenant: str, principal: str, query: Mapping[str, Any], most: int) -> Job | None:
        """A new queued job; None where the principal already has ``most`` that are not finished."""
        with session(self._dsn) as db:
            db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self._namespace}/{principal}",))
            if _count(db, self._namespace, principal) >= most:
                return None
            new = (job_id, self._namespace, tenant, principal, Jsonb(query))
            return db.cursor(row_factory=class_row(Job)).execute(_INSERT, new).fetchone()

    def get(self, job_id: uuid.UUID) -> Job | None:
        """The job, or None where there is none of that id in this namespace."""
        with session(self._dsn) as db:
            return db.cursor(row_factory=class_row(Job)).execute(_SELECT, (job_id, self._namespace)).fetchone()

    def claim(self) -> Job | None:
        """The oldest job that waits or whose worker's lease has run out, now ours for one lease; None where there is none."""
        with session(self._dsn) as db:
            return (
                db.cursor(row_factory=class_row(Job))
                .execute(_CLAIM, (self._worker, self.lease_seconds, self._namespace))
                .fetchone()
            )

    def renew(self, job: Job, rows_done: int, rows_total: int | None) -> None:
        """Progress, and the lease again in full length. Raises LeaseLostError."""
        change: LiteralString = "rows_done = %s, rows_total = %s, lease_until = now() + make_interval(secs => %s)"
        self._change(job, change, (rows_done, rows_total, self.lease_seconds))

    def fix_high_water(self, job: Job, high_water: Mapping[str, Any]) -> None:
        """What the job covers, for this and every later attempt. Raises LeaseLostError."""
        self._change(job, "high_water = %s", (Jsonb(high_water),))

    def finish(self, job: Job, files: Sequence[Mapping[str, Any]], rows: int) -> None:
        """The job is done. Raises LeaseLostError."""
        change: LiteralString = (
            "state = 'done', files = %s, rows_done = %s, rows_total = %s, finished_at = now(), lease_until = NULL"
        )
        self._change(job, change, (Jsonb(files), rows, rows))

    def fail(self, job: Job, error: str) -> None:
        """The job has failed for good. Raises LeaseLostError."""
        self._change(job, "state = 'failed', error = %s, finished_at = now(), lease_until = NULL", (error,))

    def release(self, job: Job, seconds: float, error: str = "") -> None:
        """Back to the queue, to be tried again after so many seconds. Raises LeaseLostError."""
        change: LiteralString = "state = 'queued', error = %s, lease_until = NULL, not_before = now() + make_interval(secs => %s)"
        self._change(job, change, (error, seconds))

    def _change(self, job: Job, change: LiteralString, values: Sequence[Any]) -> None:
        with session(self._dsn) as db:
            done = db.execute(_CHANGE.format(sql.SQL(change)), (*values, job.id, job.attempt))
            if done.rowcount != 1:
                raise LeaseLostError(f"extract {job.id}: attempt {job.attempt} is no longer ours")


def _count(db: Connection[Any], namespace: str, principal: str) -> int:
    return sum(int(row[0]) for row in db.execute(_OPEN, (namespace, principal)))

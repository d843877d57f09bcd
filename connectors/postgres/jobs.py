"""The job table of the export service: a job is claimed under a lease, so a dead worker's job is taken over by another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from connectors.postgres import session

State = Literal["queued", "running", "done", "failed", "cancelled"]
_FIELDS = sql.SQL("""
    id, tenant, principal, query, created_at, state, attempt, high_water, rows_done, rows_total, files, error, definition,
    period_start, most_rows, complete_until, completeness, expires_at, coalesce(expires_at <= now(), false) AS expired,
    finished_at
""")
_INSERT = sql.SQL("""
    INSERT INTO extract_jobs
        (id, namespace, tenant, principal, query, most_rows, complete_until, definition, period_start, completeness)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (definition, period_start) DO NOTHING RETURNING {}
""").format(_FIELDS)
_SELECT = sql.SQL("SELECT {} FROM extract_jobs WHERE id = %s AND namespace = %s").format(_FIELDS)
_LIST = sql.SQL("""
    SELECT {} FROM extract_jobs
    WHERE namespace = %(namespace)s AND tenant = ANY(%(tenants)s)
      AND (%(state)s::text IS NULL OR state = %(state)s) AND (%(definition)s::uuid IS NULL OR definition = %(definition)s)
      AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s::uuid))
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s
""").format(_FIELDS)
_USE = """
    SELECT count(*) FILTER (WHERE state IN ('queued', 'running')),
           count(*) FILTER (WHERE created_at > now() - interval '1 day')
    FROM extract_jobs
    WHERE namespace = %s AND principal = %s AND (state IN ('queued', 'running') OR created_at > now() - interval '1 day')
"""
_CLAIM = sql.SQL("""
    UPDATE extract_jobs SET state = 'running', attempt = attempt + 1, worker = %s, rows_done = 0, error = '', begun_at = now(),
           lease_until = now() + make_interval(secs => %s)
    WHERE id = (
        SELECT id FROM extract_jobs
        WHERE namespace = %s
          AND ((state = 'queued' AND not_before <= now()) OR (state = 'running' AND lease_until < now()))
        ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {}
""").format(_FIELDS)
_CHANGE = sql.SQL("UPDATE extract_jobs SET {} WHERE id = %s AND attempt = %s AND state = 'running'")
_CANCEL = sql.SQL("""
    UPDATE extract_jobs SET state = 'cancelled', finished_at = now()
    WHERE id = %s AND namespace = %s AND state IN ('queued', 'running') RETURNING {}
""").format(_FIELDS)
_OVER = """
    SELECT id FROM extract_jobs
    WHERE namespace = %s AND files_deleted_at IS NULL
      AND ((state = 'done' AND expires_at <= now()) OR state IN ('failed', 'cancelled'))
      AND (lease_until IS NULL OR lease_until < now())
    LIMIT 100
"""


@dataclass(frozen=True)
class Job:
    """One extract job as the table has it. Times are UTC; ``high_water``: topic_id, and ends (partition as text → end offset).

    ``complete_until``: everything ingested before it is covered. ``completeness``: what is known of the producers, None where
    nobody asked. ``expired``: the files' time was over when this was read.
    """

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
    definition: uuid.UUID | None
    period_start: datetime | None
    most_rows: int | None
    complete_until: datetime | None
    completeness: dict[str, Any] | None
    expires_at: datetime | None
    expired: bool
    finished_at: datetime | None


@dataclass(frozen=True)
class NewJob:
    """What to queue. ``definition`` and ``period_start`` together exist once only."""

    id: uuid.UUID
    tenant: str
    principal: str
    query: Mapping[str, Any]
    most_rows: int
    complete_until: datetime | None
    definition: uuid.UUID | None = None
    period_start: datetime | None = None
    completeness: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Use:
    """What a principal has of the limited: unfinished jobs, and jobs of the last 24 hours."""

    open: int
    today: int


@dataclass(frozen=True)
class Page:
    """Which jobs to list: newest first, those older than ``after`` (created_at, id) only."""

    tenants: Sequence[str]
    limit: int
    state: State | None = None
    definition: uuid.UUID | None = None
    after: tuple[datetime, uuid.UUID] | None = None


class LeaseLostError(Exception):
    """The job was cancelled or another worker has taken it over: stop working on it and touch nothing more."""


class LimitError(Exception):
    """The principal has too many jobs; ``use`` says how many."""

    def __init__(self, use: Use) -> None:
        super().__init__(f"{use.open} unfinished extracts, {use.today} of the last 24 hours")
        self.use = use


class Jobs:
    """Jobs of one namespace. Every method is one transaction and raises PostgresError when the database is away."""

    def __init__(self, dsn: str, namespace: str, worker: str, lease_seconds: float) -> None:
        self._dsn, self._namespace, self._worker, self.lease_seconds = dsn, namespace, worker, lease_seconds

    def use(self, principal: str) -> Use:
        """What the principal has of the limited."""
        with session(self._dsn) as db:
            return _use(db, self._namespace, principal)

    def create(self, new: NewJob, most_open: int, most_today: int) -> Job | None:
        """A new queued job; None where there is one of its definition and period. Raises LimitError."""
        with session(self._dsn) as db:
            db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self._namespace}/{new.principal}",))
            use = _use(db, self._namespace, new.principal)
            if use.open >= most_open or use.today >= most_today:
                raise LimitError(use)
            values = (new.id, self._namespace, new.tenant, new.principal, Jsonb(new.query), new.most_rows, new.complete_until)
            more = (new.definition, new.period_start, None if new.completeness is None else Jsonb(new.completeness))
            return db.cursor(row_factory=class_row(Job)).execute(_INSERT, values + more).fetchone()

    def get(self, job_id: uuid.UUID) -> Job | None:
        """The job, or None where there is none of that id in this namespace."""
        with session(self._dsn) as db:
            return db.cursor(row_factory=class_row(Job)).execute(_SELECT, (job_id, self._namespace)).fetchone()

    def newest(self, page: Page) -> list[Job]:
        """Jobs of these tenants, newest first."""
        at, after_id = page.after or (None, None)
        values: dict[str, Any] = {
            "namespace": self._namespace,
            "tenants": list(page.tenants),
            "state": page.state,
            "limit": page.limit,
        }
        values |= {"definition": page.definition, "at": at, "id": after_id}
        with session(self._dsn) as db:
            return db.cursor(row_factory=class_row(Job)).execute(_LIST, values).fetchall()

    def periods(self, definition: uuid.UUID, since: datetime) -> set[datetime]:
        """Starts of the definition's periods from ``since`` on that have a job."""
        text = "SELECT period_start FROM extract_jobs WHERE definition = %s AND period_start >= %s"
        with session(self._dsn) as db:
            return {row[0] for row in db.execute(text, (definition, since))}

    def claim(self) -> Job | None:
        """The oldest job that waits or whose worker's lease has run out, now ours for one lease; None where there is none."""
        with session(self._dsn) as db:
            claimed = db.cursor(row_factory=class_row(Job)).execute(_CLAIM, (self._worker, self.lease_seconds, self._namespace))
            return claimed.fetchone()

    def cancel(self, job_id: uuid.UUID) -> Job | None:
        """The job, cancelled; None where it had ended already, however that came. Its worker loses its lease with that."""
        with session(self._dsn) as db:
            return db.cursor(row_factory=class_row(Job)).execute(_CANCEL, (job_id, self._namespace)).fetchone()

    def renew(self, job: Job, rows_done: int, rows_total: int | None) -> None:
        """Progress, and the lease again in full length. Raises LeaseLostError."""
        change: LiteralString = "rows_done = %s, rows_total = %s, lease_until = now() + make_interval(secs => %s)"
        self._change(job, change, (rows_done, rows_total, self.lease_seconds))

    def fix_high_water(
        self, job: Job, high_water: Mapping[str, Any], complete_until: datetime, completeness: Mapping[str, Any]
    ) -> None:
        """What the job covers, for this and every later attempt. Raises LeaseLostError."""
        change: LiteralString = "high_water = %s, complete_until = %s, completeness = %s"
        self._change(job, change, (Jsonb(high_water), complete_until, Jsonb(completeness)))

    def finish(self, job: Job, files: Sequence[Mapping[str, Any]], rows: int, keep_days: float) -> None:
        """The job is done; its files live so many days from the attempt's begin. Raises LeaseLostError."""
        change: LiteralString = (
            "state = 'done', files = %s, rows_done = %s, rows_total = %s, finished_at = now(), lease_until = NULL,"
            " expires_at = begun_at + make_interval(secs => %s)"
        )
        self._change(job, change, (Jsonb(files), rows, rows, keep_days * 86400))

    def fail(self, job: Job, error: str) -> None:
        """The job has failed for good. Raises LeaseLostError."""
        self._change(job, "state = 'failed', error = %s, finished_at = now(), lease_until = NULL", (error,))

    def release(self, job: Job, seconds: float, error: str = "") -> None:
        """Back to the queue, to be tried again after so many seconds. Raises LeaseLostError."""
        change: LiteralString = "state = 'queued', error = %s, lease_until = NULL, not_before = now() + make_interval(secs => %s)"
        self._change(job, change, (error, seconds))

    def over(self) -> list[uuid.UUID]:
        """Jobs that need their files no longer and may still have some: expired, failed, cancelled, and nobody at work."""
        with session(self._dsn) as db:
            return [row[0] for row in db.execute(_OVER, (self._namespace,))]

    def files_deleted(self, job_id: uuid.UUID) -> None:
        """The files of a job that is over are gone."""
        with session(self._dsn) as db:
            db.execute("UPDATE extract_jobs SET files_deleted_at = now() WHERE id = %s", (job_id,))

    @contextmanager
    def turn(self, what: str) -> Iterator[bool]:
        """True for one instance at a time, until the block ends: saves the others the work, and is not relied upon."""
        with session(self._dsn) as db:
            key = f"{self._namespace}/{what}"
            row = db.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (key,)).fetchone()
            yield bool(row and row[0])

    def _change(self, job: Job, change: LiteralString, values: Sequence[Any]) -> None:
        with session(self._dsn) as db:
            done = db.execute(_CHANGE.format(sql.SQL(change)), (*values, job.id, job.attempt))
            if done.rowcount != 1:
                raise LeaseLostError(f"extract {job.id}: attempt {job.attempt} is no longer ours")


def _use(db: Connection[Any], namespace: str, principal: str) -> Use:
    row = db.execute(_USE, (namespace, principal)).fetchone()
    return Use(*(row or (0, 0)))

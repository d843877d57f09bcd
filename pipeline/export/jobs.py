"""Works through the queue of extract jobs: one at a time, under a lease, so that a dead service's job is done by the next."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.clickhouse.client import AccessError, ClickHouseError, Client, UnreachableError
from connectors.extracts import ExtractBucket
from connectors.kafka_marks import Marks, MarksError
from connectors.postgres import PostgresError
from connectors.postgres.definitions import Definitions
from connectors.postgres.jobs import Job, Jobs, LeaseLostError
from connectors.s3 import Refused, S3Error
from pipeline import completeness_shown, metrics
from pipeline.completeness import Completeness
from pipeline.export import audit
from pipeline.export.deleted import touching
from pipeline.export.errors import UnavailableError
from pipeline.export.extract import Attempt, ChangedError, Covered, TooLargeError, manifest, write_manifest
from pipeline.export.files import NoRoomError
from pipeline.export.lease import CheckedStore, Lease, StoppedError
from pipeline.export.queries import Query, Reading
from pipeline.export.watermark import Complete
from pipeline.log import within
from pipeline.retention.rulebook import Rulebook

log = logging.getLogger(__name__)
IDLE_SECONDS = 1.0
MOST_ATTEMPTS, LONGEST_WAIT = 20, 60.0
# ClickHouse errors that go away: time and memory limits, quotas, too many queries, too many parts, network, a server that ends.
PASSING_CODES = frozenset({159, 201, 202, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 999})
NOT_KNOWN = (
    "whether producers miss anything could not be found out: ClickHouse answered {code} {name} to a question about the ledger's"
    " tables. Ask for the extract again later; an operator runs `auditwired completeness`"
)


@dataclass(frozen=True)
class Stores:
    """What requests and jobs read and write. ``marks`` asks how far the ClickHouse sink is.

    ``reader`` makes a client of an attempt's own, which can be interrupted; ``complete_until``: everything ingested before that
    moment (UTC) is stored; ``complete``: the same with the marks that go with it; ``producers``: the same with what is known of
    a tenant's producers; ``rules``: those that were published; ``keep_days``: how long files live.
    """

    namespace: str
    jobs: Jobs
    definitions: Definitions
    clickhouse: Client
    reader: Callable[[], Client]
    bucket: ExtractBucket
    trail: audit.Trail
    marks: Callable[[], Marks]
    complete_until: Callable[[], datetime]
    complete: Callable[[], Complete]
    producers: Callable[[str], tuple[Complete, Completeness]]
    rules: Rulebook
    keep_days: float = 7.0

    @property
    def topic(self) -> str:
        return f"{self.namespace}.events"


def known(stores: Stores, query: Query) -> dict[str, Any]:
    """What is known of the producers in a query's range; why it is not, where ClickHouse cannot say.

    Raises MarksError, PostgresError, and UnreachableError or AccessError: then no event could be read either.
    """
    try:
        found = stores.producers(query.tenant)[1]
    except (UnreachableError, AccessError):
        raise
    except ClickHouseError as exc:
        log.warning("what is known of the producers could not be asked for: %s", exc)
        return completeness_shown.not_known(NOT_KNOWN.format(code=exc.code, name=exc.name))
    return completeness_shown.of_range(found.within(query.start, query.end))


class Worker:
    """Claims and works until it is stopped. ``problem`` is None, or what keeps it from the queue at the moment."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="extracts", daemon=True)
        self.problem: str | None = None
        self._asked = 0.0  # since when the queue is asked for a job; 0 while it is not

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 15.0) -> None:
        """Give the running job back and end."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout)

    def wake(self) -> None:
        """There is a new job."""
        self._wake.set()

    def healthy(self) -> str | None:
        """None, or in one sentence what is wrong."""
        asked = self._asked
        if self.problem is None and asked and time.monotonic() - asked > 15.0:
            return f"PostgreSQL has not answered for {time.monotonic() - asked:.0f} s: is it up?"
        if not self._thread.is_alive():
            return "the thread that works on extracts has ended: restart the service"
        return self.problem or self._stores.trail.healthy()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._asked = time.monotonic()
                job = self._stores.jobs.claim()
                self._asked = 0.0
                self.problem = None
                if job is not None:
                    with within(extract=str(job.id), attempt=job.attempt):
                        self._work(job)
                    continue
            except (PostgresError, UnavailableError) as exc:
                if str(exc) != self.problem:
                    log.warning("%s", exc)
                self.problem = str(exc)
            except LeaseLostError as exc:
                log.warning("%s", exc)
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()

    def _work(self, job: Job) -> None:
        log.info("extract %s: attempt %d begins", job.id, job.attempt)
        with closing(self._stores.reader()) as reader, Lease(self._stores.jobs, job, self._stop, reader.interrupt) as lease:
            try:
                if job.attempt > MOST_ATTEMPTS:
                    self._give_up(job, f"it was begun {MOST_ATTEMPTS} times and never finished: the log says more")
                    return
                self._attempt(job, lease, reader)
            except Exception as exc:
                self._ended(job, lease, exc)

    def _ended(self, job: Job, lease: Lease, exc: Exception) -> None:
        """An attempt ended early: by what it was told meanwhile, else by what went wrong. Raises LeaseLostError."""
        try:
            if isinstance(exc, LeaseLostError):  # the table says so before the lease's thread has asked
                raise exc
            lease.check()
        except StoppedError:
            self._stores.jobs.release(job, 0)
        except LeaseLostError:
            self._drop_cancelled(job)
            raise
        else:
            self._failed(job, exc)

    def _attempt(self, job: Job, lease: Lease, reader: Client) -> None:
        stores, query, covered = self._stores, Query.stored(job.query), self._covered(job)
        reading = Reading(stores.namespace, query, covered.marks)
        prefix, store = f"extracts/{job.id}/{job.attempt}/", CheckedStore(stores.bucket, lease.check)
        files = Attempt(reading, reader, store, prefix, lease.check, lease.progress, job.most_rows).run()
        deleted = touching(reader, stores.namespace, query)  # behind the events: by then it is known
        content = manifest(job, reading, stores.topic, files, covered, deleted=deleted)
        files = [*files, write_manifest(store, prefix, content)]
        rows = content["counts"]["rows"]
        lease.check()
        told = {"rows": str(rows), "manifest_sha256": files[-1].sha256}
        stores.trail.record(audit.DELIVERED, job.tenant, audit.JOB_SECONDS, **_event(job, "success"), attributes=told)
        stores.jobs.finish(job, [f.entry() for f in files], rows, stores.keep_days)
        metrics.EXPORT_JOBS.labels("done").inc()
        metrics.EXPORT_ROWS.inc(rows)
        log.info("extract %s: done, %d rows in %d files", job.id, rows, len(files) - 1)
        self._tidy(job, prefix)

    def _covered(self, job: Job) -> Covered:
        """Fixed once: every attempt, and so every repetition, covers the same events."""
        if job.high_water is not None:
            marks = Marks(job.high_water["topic_id"], {int(p): end for p, end in job.high_water["ends"].items()})
            return Covered(marks, job.complete_until, job.completeness)
        until = self._stores.complete_until()  # before the marks, which may only be further then
        until = max(until, job.complete_until or until)  # an instance that has just begun may know less than was promised
        completeness = known(self._stores, Query.stored(job.query))
        marks = self._stores.marks()
        ends = {str(p): end for p, end in marks.ends.items()}
        self._stores.jobs.fix_high_water(job, {"topic_id": marks.topic_id, "ends": ends}, until, completeness)
        return Covered(marks, until, completeness)

    def _failed(self, job: Job, exc: Exception) -> None:
        if not _passing(exc):
            if not isinstance(exc, _KNOWN):
                log.error("extract %s: attempt %d failed", job.id, job.attempt, exc_info=exc)
            self._give_up(job, str(exc) if isinstance(exc, _KNOWN) else f"internal error ({type(exc).__name__})")
        elif job.attempt >= MOST_ATTEMPTS:
            self._give_up(job, f"tried {job.attempt} times, at last: {exc}")
        else:
            wait = min(2.0 ** (job.attempt - 1), LONGEST_WAIT)
            log.warning("extract %s: attempt %d failed, again in %.0f s: %s", job.id, job.attempt, wait, exc)
            self._stores.jobs.release(job, wait, f"attempt {job.attempt} failed and is repeated: {exc}")

    def _give_up(self, job: Job, error: str) -> None:
        log.error("extract %s failed: %s", job.id, error)
        self._stores.trail.record(audit.FAILED, job.tenant, audit.JOB_SECONDS, **_event(job, "error"), error_message=error)
        self._stores.jobs.fail(job, error)
        metrics.EXPORT_JOBS.labels("failed").inc()

    def _tidy(self, job: Job, keep: str) -> None:
        """Files of earlier attempts."""
        try:
            if job.attempt > 1:
                self._stores.bucket.delete(f"extracts/{job.id}/", keep)
        except S3Error as exc:
            log.warning("extract %s: files of earlier attempts are still there: %s", job.id, exc)

    def _drop_cancelled(self, job: Job) -> None:
        """Where the lease went because the extract was cancelled, its files go too; else they are another attempt's business."""
        try:
            now = self._stores.jobs.get(job.id)
            if now is not None and now.state == "cancelled":
                self._stores.bucket.delete(f"extracts/{job.id}/")
        except (S3Error, PostgresError) as exc:
            log.warning("extract %s was cancelled, its files are still there: %s", job.id, exc)


_KNOWN = (ClickHouseError, S3Error, PostgresError, MarksError, UnavailableError, ChangedError, TooLargeError, NoRoomError)


def _passing(exc: Exception) -> bool:
    """True where trying again can help."""
    if isinstance(exc, PostgresError | MarksError):
        return exc.passing
    if isinstance(exc, ClickHouseError) and not isinstance(exc, UnreachableError):
        return not isinstance(exc, AccessError) and exc.code in PASSING_CODES
    return isinstance(exc, _KNOWN) and not isinstance(exc, Refused | TooLargeError)


def _event(job: Job, outcome: str) -> dict[str, Any]:
    actor = {"actor_type": "human", "actor_id": job.principal}
    return {**actor, "target_id": str(job.id), "activity": "create", "outcome": outcome}

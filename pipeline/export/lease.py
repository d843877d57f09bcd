"""Keeps a job ours while it is worked on, tells the table how far it is, and ends the work when it is no longer wanted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from connectors.extracts import ExtractBucket
from connectors.postgres import PostgresError
from connectors.postgres.jobs import Job, Jobs, LeaseLostError
from pipeline.export.extract import Progress

log = logging.getLogger(__name__)
RENEW_SECONDS = 0.4


class StoppedError(Exception):
    """The service is to end: the job goes back to the queue."""


class Lease:
    """A context: inside of it the lease is renewed; ``interrupt`` is called as soon as it is lost, again and again.

    A job that is cancelled or taken over is noticed within `RENEW_SECONDS`.
    """

    def __init__(self, jobs: Jobs, job: Job, stop: threading.Event, interrupt: Callable[[], None]) -> None:
        self._jobs, self._job, self._stop, self._interrupt = jobs, job, stop, interrupt
        self.progress = Progress()
        self._over, self._lost = threading.Event(), threading.Event()
        self._until = time.monotonic() + jobs.lease_seconds
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def check(self) -> None:
        """Raises LeaseLostError, StoppedError where the work is no longer wanted."""
        if self._stop.is_set():
            raise StoppedError
        if self._lost.is_set() or time.monotonic() > self._until:
            raise LeaseLostError(f"extract {self._job.id}: attempt {self._job.attempt} is no longer ours")

    def _renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            if self._lost.is_set() or self._stop.is_set():
                self._interrupt()
                continue
            asked = time.monotonic()
            try:
                self._jobs.renew(self._job, self.progress.rows_done, self.progress.rows_total)
                self._until = asked + self._jobs.lease_seconds
            except LeaseLostError:
                self._lost.set()
                self._interrupt()
            except PostgresError as exc:
                log.warning("extract %s: the lease cannot be renewed at the moment: %s", self._job.id, exc)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()


class CheckedStore:
    """Where an attempt's files go, as long as the work is wanted."""

    def __init__(self, bucket: ExtractBucket, check: Callable[[], None]) -> None:
        self._bucket, self._check = bucket, check

    def put(self, key: str, path: Path, metadata: Mapping[str, str]) -> None:
        """Create the object from a file. Raises S3Error, and what the check raises."""
        self._check()
        self._bucket.put_checked(key, path, metadata, self._check)

"""Deletes extract files whose time is over. Every instance may, at any time: deleting what is gone does no harm."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from connectors.postgres import PostgresError
from connectors.s3 import S3Error
from pipeline import metrics
from pipeline.export.jobs import Stores
from pipeline.export.ticker import Ticker

log = logging.getLogger(__name__)
TICK_SECONDS = 60.0
PREFIX = "extracts/"


class Janitor:
    """Files of expired, failed and cancelled extracts, and whatever else is older than files may be.

    ``ticker`` does it again and again; a crash at any point does no harm. ``now``: the clock, UTC.
    """

    def __init__(self, stores: Stores, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._stores, self._now = stores, now
        self.ticker = Ticker(
            "janitor",
            self.tick,
            TICK_SECONDS,
            log=log,
            said="expired files stay for the moment",
            waits_for=(PostgresError, S3Error),
        )

    def tick(self) -> int:
        """Delete what is to be deleted now; returns how many files. Raises PostgresError, S3Error."""
        stores, gone = self._stores, 0
        for job in stores.jobs.over():
            gone += stores.bucket.delete(f"{PREFIX}{job}/")
            stores.jobs.files_deleted(job)
        # What an instance wrote that was frozen for a while: no job knows of it.
        gone += stores.bucket.delete_keys(stores.bucket.older(PREFIX, self._now() - timedelta(days=stores.keep_days)))
        if gone:
            log.info("%d files of extracts deleted", gone)
            metrics.EXPORT_FILES_DELETED.inc(gone)
        return gone

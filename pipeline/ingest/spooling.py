"""The receiver's spool: opened under a key of its own, with the schema ids remembered beside it; its metrics."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import time
from pathlib import Path

import schemas
from auditwire._errors import SpoolError
from auditwire._spool import Spool
from connectors.spool_outbox import SpoolOutbox
from connectors.spool_refused import Refused
from pipeline import metrics
from pipeline.sealing import Sealer
from pipeline.settings import Ingest, SettingsError

log = logging.getLogger(__name__)
REMEMBERED = "schema-ids.json"
SCHEMAS = ("audit_event", "quarantined_event")
EVERY_SECONDS = 1.0


def opened(settings: Ingest, sealer: Sealer) -> Spool | None:
    """The spool, None where AUDITWIRE_INGEST_SPOOL_DIR is empty. Raises SettingsError."""
    if not settings.spool_dir:
        return None
    if settings.spool_max_bytes < 2 * settings.max_body_bytes:
        raise SettingsError(
            "AUDITWIRE_INGEST_SPOOL_MAX_BYTES must be at least twice AUDITWIRE_INGEST_MAX_BODY_BYTES, "
            "else the largest body never fits."
        )
    try:
        return Spool(Path(settings.spool_dir), sealer.spool_key(), max_bytes=settings.spool_max_bytes)
    except SpoolError as exc:
        raise SettingsError(f"AUDITWIRE_INGEST_SPOOL_DIR: {exc}") from None


def refused(settings: Ingest, sealer: Sealer) -> Refused:
    """Where records go that Kafka refuses for good. Raises SettingsError."""
    try:
        return Refused(Path(settings.spool_dir), sealer.spool_key(), settings.spool_max_bytes)
    except SpoolError as exc:
        raise SettingsError(f"AUDITWIRE_INGEST_SPOOL_DIR: {exc}") from None


class SchemaIds:
    """Ids of the event's and the reject's schema at one registry, kept in a file; good for these schemas and namespace only."""

    def __init__(self, folder: Path, settings: Ingest) -> None:
        self._path = folder / REMEMBERED
        texts = [schemas.schema_text(name) for name in SCHEMAS]
        place = [settings.namespace, settings.schema_registry_url, *texts]
        self._of = hashlib.sha256(json.dumps(place).encode()).hexdigest()

    def recall(self) -> tuple[int, int] | None:
        """None where nothing fits: the registry must be asked."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return (int(found["event"]), int(found["reject"])) if found["of"] == self._of else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, ids: tuple[int, int]) -> None:
        """A disk that does not take them is logged: the next start needs the registry then."""
        new = self._path.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump({"of": self._of, "event": ids[0], "reject": ids[1]}, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as exc:
            log.warning("cannot remember the schema ids in %s (%s)", self._path, exc.strerror)


async def measure(spool: Spool, outbox: SpoolOutbox, aside: Refused) -> None:
    """Keep the metrics of the spool until cancelled."""
    appended, sent = spool.position, 0
    metrics.INGEST_SPOOL_LIMIT.set(spool.max_bytes)
    while True:
        records, size = spool.pending
        oldest = await asyncio.to_thread(_oldest_at, spool)
        metrics.INGEST_SPOOL_RECORDS.set(records)
        metrics.INGEST_SPOOL_BYTES.set(size)
        metrics.INGEST_SPOOL_OLDEST.set(max(0.0, time.time() - oldest) if oldest else 0)
        metrics.INGEST_SPOOL_LOST.set(spool.lost)
        metrics.INGEST_SPOOL_REFUSED.set(aside.count)
        metrics.INGEST_SPOOL_APPENDED.inc(spool.position - appended)
        metrics.INGEST_SPOOL_SENT.inc(outbox.sent - sent)
        appended, sent = spool.position, outbox.sent
        await asyncio.sleep(EVERY_SECONDS)


def _oldest_at(spool: Spool) -> float | None:
    try:
        return spool.oldest_at()
    except SpoolError:
        return None

"""Does ClickHouse hold as many events as the ledger says were stored? It does not while a store is being restored."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.clickhouse.client import ClickHouseError, Client
from pipeline.export import deleted
from pipeline.export.producer_queries import CLEAN, by_partition
from pipeline.export.reading import LIMITS
from pipeline.export.stored_parts import StoredParts
from pipeline.export.watermark import Complete

logger = logging.getLogger(__name__)
KEEP_SECONDS = 10.0


@dataclass
class Counted:
    """An answer is kept for some seconds: it is about every event of every tenant. Who waited for one that failed hears the same,
    so that a server in trouble is not asked by each of them in turn. Safe from many threads.

    What retention deleted is taken out of the ledger's number; while it deletes, and has not certified that yet, they differ.
    """

    namespace: str
    clickhouse: Client
    keep: float = KEEP_SECONDS
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: tuple[float, str | None] | None = None
    _failed: tuple[float, ClickHouseError] | None = None
    _events: StoredParts = field(init=False)

    def __post_init__(self) -> None:
        self._events = StoredParts(self.namespace, self.clickhouse)

    def problem(self, complete: Complete, topic_id: str, ends: Mapping[int, int]) -> str | None:
        """None, or what differs and what to do. ``topic_id``, ``ends``: of the ledger. Raises ClickHouseError."""
        asked = time.monotonic()
        with self._lock:
            if self._failed is not None and self._failed[0] > asked:
                raise self._failed[1]
            if self._last is None or asked - self._last[0] > self.keep:
                try:
                    found = self._counted(complete, topic_id, ends)
                except ClickHouseError as exc:
                    self._failed = time.monotonic(), exc
                    raise
                self._last = time.monotonic(), found
            return self._last[1]

    def _counted(self, complete: Complete, topic_id: str, ends: Mapping[int, int]) -> str | None:
        """Up to where the ledger's records end that lie wholly below the pipeline's position: nothing is outstanding there."""
        asked = {"topic_id": topic_id, "ends": by_partition(dict(ends)), "raw": by_partition(dict(complete.raw))}
        once = {"final": 1, "do_not_merge_across_partitions_select_final": 1}  # a row may be there twice until parts are merged
        source = f"`{self.namespace}`.ledger_ranges(topic_id={{topic_id:String}})"
        rows: list[list[int]] = self.clickhouse.rows(CLEAN.replace("{view}", source), asked, **LIMITS, **once)
        at = {partition: end for partition, end, _ in rows}
        held = self._events.below(complete.marks.topic_id, at)
        gone = deleted.below(self.clickhouse, self.namespace, complete.marks.topic_id, at)
        clean = {partition: events - gone.get(partition, 0) for partition, _, events in rows}
        return difference(clean, {partition: held.get(partition, 0) for partition in clean})


def difference(clean: Mapping[int, int], held: Mapping[int, int]) -> str | None:
    """Events by partition, as the ledger has them and as ClickHouse does: None where they are equal, else what to do.

    The numbers are of all tenants, so they go to the log and not to whoever asks about one tenant.
    """
    if clean == held:
        return None
    partitions = [p for p in clean if clean[p] != held.get(p, 0)]
    of, there = sum(clean[p] for p in partitions), sum(held.get(p, 0) for p in partitions)
    logger.warning("ClickHouse holds %d of %d events of partition %s", there, of, ", ".join(map(str, sorted(partitions))))
    return "ClickHouse does not hold as many events as the ledger says: is a rebuild running? or run `auditwired fsck`"

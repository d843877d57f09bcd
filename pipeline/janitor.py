"""Deletes raw records some time after they were processed: unredacted data must not stay longer than it has to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Protocol

from connectors.kafka import Cluster
from connectors.kafka_read import PartitionReader
from connectors.kafka_trim import delete_before
from pipeline import metrics

log = logging.getLogger(__name__)
EVERY_SECONDS = 60.0


class Position(Protocol):
    """A lane, as far as the janitor looks at it."""

    @property
    def position(self) -> int | None: ...


class Owner(Protocol):
    """Who knows which partitions are ours and how far they are committed."""

    def owned(self) -> Mapping[int, Position]: ...


class Janitor:
    """Cleans the owned partitions of one raw topic."""

    def __init__(self, cluster: Cluster, group: str, topic: str, keep_minutes: int) -> None:
        self._cluster, self._group, self._topic, self._keep_ms = cluster, group, topic, keep_minutes * 60_000

    async def run(self, owner: Owner, every: float = EVERY_SECONDS) -> None:
        """Until cancelled. What fails is logged and tried again in the next round."""
        while True:
            await asyncio.sleep(every)
            committed = {p: lane.position for p, lane in owner.owned().items() if lane.position is not None}
            try:
                await asyncio.to_thread(self.clean, committed, time.time_ns() // 1_000_000)
            except Exception as exc:
                log.warning("raw records could not be deleted (%s), again in %.0f s", type(exc).__name__, every)

    def clean(self, committed: dict[int, int], now_ms: int) -> dict[int, int]:
        """Delete what is committed and older than the limit at ``now_ms`` (UTC); returns the new first offsets.

        Raises ReadError or KafkaException.
        """
        limits: dict[int, int] = {}
        with PartitionReader(self._cluster, self._group) as reader:
            for partition, position in committed.items():
                low, _ = reader.watermarks(self._topic, partition)
                limit = min(position, reader.offset_at(self._topic, partition, now_ms - self._keep_ms))
                if limit > low:
                    limits[partition] = limit
        delete_before(self._cluster, self._topic, limits)
        for partition, limit in limits.items():
            metrics.PROCESSOR_RAW_DELETED.labels(str(partition)).set(limit)
        return limits

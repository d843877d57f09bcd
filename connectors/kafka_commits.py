"""Committed offsets of any group, asked from outside: needs DESCRIBE on the group, joins nothing.

Through consumers that never subscribe, one a group. librdkafka 2.16's AdminClient asks the same, but ends the process with a
segmentation fault when the coordinator has moved or is not up yet (it looks for a consumer group that an AdminClient has not).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka import SILENT, Cluster, ErrorWatch, consumer_config


class Commits:
    """One client a group, kept. Safe from several threads; ``watch`` hears the errors of all of them."""

    def __init__(self, cluster: Cluster, watch: ErrorWatch) -> None:
        self._cluster, self._watch = cluster, watch
        self._lock = threading.Lock()
        self._consumers: dict[str, Consumer] = {}

    def of(self, group: str, topic: str, partitions: Sequence[int], timeout: float) -> dict[int, int | None]:
        """Partition → committed offset, None where there is none; an open transaction's does not count. Raises KafkaException."""
        asked = [TopicPartition(topic, p) for p in partitions]
        found = self._consumer(group).committed(asked, timeout=timeout)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {p.partition: int(p.offset) if p.offset >= 0 else None for p in found}

    def _consumer(self, group: str) -> Consumer:
        with self._lock:
            if group not in self._consumers:
                # not read_committed: that would wait for the end of open transactions
                config = consumer_config(self._cluster, group, isolation_level="read_uncommitted", error_cb=self._watch)
                self._consumers[group] = Consumer({**config, **SILENT})
            consumer = self._consumers[group]
            consumer.poll(0)  # hands the errors of the background to the watch
            return consumer

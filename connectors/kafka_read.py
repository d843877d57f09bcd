"""Reads a stretch of one partition, committed records only, without a group's offsets: ledger rebuilds and operators' tools."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from types import TracebackType

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka import Cluster, ErrorWatch, consumer_config, denied


class ReadError(Exception):
    """Kafka did not deliver what the log holds in time; try again."""


@dataclass(frozen=True)
class Record:
    """One record: position, append time (ms since 1970, UTC), key, headers and value as bytes."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None


class PartitionReader:
    """A reader of whole partitions. ``group`` is never joined; it only names the client's right to look."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self._user, self._watch = cluster.username, ErrorWatch(cluster.bootstrap, cluster.username)
        config = consumer_config(
            cluster,
            group,
            enable_partition_eof=True,
            error_cb=self._watch,
            queued_max_messages_kbytes=16384,
            fetch_wait_max_ms=20,
        )
        self._consumer = Consumer({**config, "log_level": 0})  # closing soon after opening makes it shout

    def __enter__(self) -> PartitionReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """Partition numbers of a topic. Raises ReadError when it is not there or Kafka does not answer."""
        try:
            found = self._consumer.list_topics(topic, timeout=15).topics[topic]
        except KafkaException as exc:
            self._consumer.poll(0)  # hands the errors of the background to the watch
            raise ReadError(self._watch.explain() or f"Kafka does not tell about {topic}: {exc}") from exc
        if found.error is not None or not found.partitions:
            said = denied(found.error, self._user, "Describe", topic)
            raise ReadError(said or f"topic {topic} cannot be read ({found.error}): run `auditwired migrate`")
        return sorted(found.partitions)

    def watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and stable end."""
        low, high = self._ask(topic, partition)
        return low, high

    def _ask(self, topic: str, partition: int) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=15)
        except KafkaException as exc:
            raise ReadError(self._watch.explain() or f"Kafka does not tell the end of {topic}[{partition}]: {exc}") from exc
        return int(low), int(high)

    def offset_at(self, topic: str, partition: int, time_ms: int) -> int:
        """The first offset appended at ``time_ms`` (UTC) or later; the end where there is none."""
        wanted = TopicPartition(topic, partition, max(0, time_ms))
        try:
            found = self._consumer.offsets_for_times([wanted], timeout=15)[0]
        except KafkaException as exc:
            raise ReadError(self._watch.explain() or f"Kafka does not find a time in {topic}[{partition}]: {exc}") from exc
        return self.watermarks(topic, partition)[1] if found.offset in (OFFSET_END, -1) else int(found.offset)

    def read(self, topic: str, partition: int, start: int, end: int, quiet_seconds: float = 30.0) -> Generator[Record]:
        """Records of ``start … end`` in order. Raises ReadError when nothing comes for ``quiet_seconds``."""
        low, _ = self.watermarks(topic, partition)
        start = max(start, low)
        if start >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, start)])
        last = time.monotonic()
        try:
            while True:
                for message in self._consumer.consume(1000, 0.2):
                    last = time.monotonic()
                    error = message.error()
                    if error is not None:
                        if error.code() != KafkaError._PARTITION_EOF:
                            said = denied(error, self._user, "Read", topic)
                            raise ReadError(said or f"{topic}[{partition}] cannot be read: {error.name()}")
                        if message.offset() >= end:
                            return
                        continue
                    if message.offset() >= end:
                        return
                    headers = tuple(message.headers() or ())
                    yield Record(partition, message.offset(), message.timestamp()[1], message.key(), headers, message.value())
                if time.monotonic() - last > quiet_seconds:
                    raise ReadError(self._watch.explain() or f"{topic}[{partition}] delivers nothing from offset {start} on")
        finally:
            self._consumer.unassign()

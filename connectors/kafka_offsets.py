"""Committed offsets of a group that nobody is in: shown with what was committed besides, and set. For operators' hands only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka import SILENT, Cluster, ErrorWatch, consumer_config, denied, error_of


class OffsetsError(Exception):
    """Kafka did not tell, or did not commit; the text says what to do."""


@dataclass(frozen=True)
class Committed:
    """What a group has committed of a partition (offset None: nothing; ``text``: a sink's plan), and what the log holds."""

    partition: int
    offset: int | None
    text: str
    low: int
    high: int


class GroupOffsets:
    """One group on one topic, by a client that never joins it. Methods raise OffsetsError."""

    def __init__(self, cluster: Cluster, group: str, topic: str) -> None:
        self._group, self._topic, self._user = group, topic, cluster.username
        self._watch = ErrorWatch(cluster.bootstrap, cluster.username)
        self._consumer = Consumer({**consumer_config(cluster, group, error_cb=self._watch), **SILENT})

    def close(self) -> None:
        self._consumer.close()

    def read(self) -> list[Committed]:
        """Every partition of the topic."""
        with self._explained("tell"):
            known = sorted(self._consumer.list_topics(self._topic, timeout=15).topics[self._topic].partitions)
            found = self._consumer.committed([TopicPartition(self._topic, p) for p in known], timeout=15)
            ends = [self._consumer.get_watermark_offsets(TopicPartition(self._topic, p), timeout=15) for p in known]
        return [
            Committed(p.partition, p.offset if p.offset >= 0 else None, p.metadata or "", *bounds)
            for p, bounds in zip(found, ends, strict=True)
        ]

    def commit(self, partition: int, offset: int) -> None:
        """Set the offset; what was committed besides is forgotten. Kafka refuses it while the group has members."""
        with self._explained("commit"):
            done = self._consumer.commit(offsets=[TopicPartition(self._topic, partition, offset)], asynchronous=False)
            for place in done or ():
                if place.error is not None:
                    raise KafkaException(place.error)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except KafkaException as exc:
            error = error_of(exc)
            said = denied(error, self._user, "Read", self._group) or self._watch.explain()
            raise OffsetsError(said or f"Kafka did not {doing} the offsets of {self._group} ({error or exc})") from exc

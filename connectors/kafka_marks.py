"""How far a consumer group has come, and where a log stands, seen from outside: needs DESCRIBE only, joins and reads nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka import SILENT, Cluster, ErrorWatch, consumer_config, denied, error_of
from connectors.kafka_commits import Commits
from connectors.kafka_partitions import TopicError, topic_id_of

MOVING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
OUTDATED = frozenset({KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH})
"""The client asks with an epoch out of its cache for ever (librdkafka issue 4620): only a new client knows the newer one."""


class MarksError(Exception):
    """Kafka did not say how far the group is; the text says what to do. ``passing``: trying again later can help."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing


@dataclass(frozen=True)
class Marks:
    """Partition → offset up to which (exclusive) the group is done with the topic of that UUID."""

    topic_id: str
    ends: Mapping[int, int]


def committed(cluster: Cluster, group: str, topic: str, timeout: float = 10.0) -> Marks:
    """Marks of every partition. Needs DESCRIBE on topic and group.

    Raises MarksError; also where a partition has records but the group has committed nothing: it never began, or Kafka has
    forgotten its offsets, and "nothing is done" would be a guess.
    """
    watch = ErrorWatch(cluster.bootstrap, cluster.username)
    consumer = Consumer({**consumer_config(cluster, group, error_cb=watch), **SILENT})
    try:
        topic_id = topic_id_of(cluster, topic, timeout)
        partitions = sorted(consumer.list_topics(topic, timeout=timeout).topics[topic].partitions)
        answer = consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=timeout)
        return Marks(topic_id, {p.partition: _end(consumer, group, p, timeout) for p in answer})
    except TopicError as exc:
        raise MarksError(str(exc), passing=True) from exc
    except KafkaException as exc:
        error = error_of(exc)
        said = denied(error, cluster.username, "Describe", group) or watch.explain()
        said = said or f"Kafka did not say how far group {group} is ({error.name() if error else exc})"
        raise MarksError(said, passing=error is None or error.retriable() or error.code() < 0) from exc
    finally:
        consumer.close()


def _end(consumer: Consumer, group: str, partition: TopicPartition, timeout: float) -> int:
    place = f"{partition.topic}[{partition.partition}]"
    if partition.error is not None:
        raise MarksError(f"group {group} on {place}: {partition.error.str()}: run `auditwired migrate`", passing=False)
    if partition.offset >= 0:
        return int(partition.offset)
    high = consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.partition), timeout=timeout)[1]
    if high > 0:
        text = f"group {group} has committed nothing on {place}, which has records: start the ClickHouse sink and let it catch up"
        raise MarksError(text, passing=True)
    return 0


class Positions:
    """Questions about one cluster's logs and groups, over one connection that is kept. Safe from many threads.

    Every method raises MarksError. Times are milliseconds since 1970, UTC, as the broker stamped them.
    """

    def __init__(self, cluster: Cluster, timeout: float = 10.0) -> None:
        self._cluster, self._timeout = cluster, timeout
        self._watch = ErrorWatch(cluster.bootstrap, cluster.username)
        self._lock = threading.Lock()
        self._admin = self._client()
        self._commits = Commits(cluster, self._watch)

    def _client(self) -> AdminClient:
        return AdminClient({**self._cluster.config(error_cb=self._watch), **SILENT})

    def _renew(self, outdated: AdminClient) -> None:
        """Another client, unless another thread made one already; threads that wait for the old one's answers keep it alive."""
        with self._lock:
            if self._admin is outdated:
                self._admin = self._client()

    def topic_id(self, topic: str) -> str:
        """UUID of a topic."""

        def ask(admin: AdminClient) -> Any:
            return admin.describe_topics(TopicCollection([topic]), request_timeout=self._timeout)[topic].result()

        return str(self._asked(f"the id of {topic}", ask).topic_id)

    def replicated(self, topic: str) -> dict[int, bool]:
        """Partition → whether more than its leader is in sync, or it has no other copy: else the log's end may stand still."""
        found = self._asked(f"the partitions of {topic}", lambda admin: admin.list_topics(topic, timeout=self._timeout))
        if not found.topics[topic].partitions:
            raise MarksError(f"topic {topic} is not there, or may not be seen: run `auditwired migrate`", passing=True)
        return {p: len(m.isrs) >= min(2, len(m.replicas)) for p, m in sorted(found.topics[topic].partitions.items())}

    def ends(self, topic: str, partitions: list[int]) -> dict[int, int]:
        """Partition → offset behind the last record that a reader can see, open transactions and markers counted."""
        return {p: o for p, (o, _) in self._offsets(topic, dict.fromkeys(partitions, OffsetSpec.latest())).items()}

    def begins(self, topic: str, partitions: list[int]) -> dict[int, int]:
        """Partition → first offset that is not deleted."""
        return {p: o for p, (o, _) in self._offsets(topic, dict.fromkeys(partitions, OffsetSpec.earliest())).items()}

    def first_at(self, topic: str, times: Mapping[int, int]) -> dict[int, tuple[int, int] | None]:
        """Partition → (offset, time) of its first record appended at the given time or later; None where there is none."""
        asked = {p: OffsetSpec.for_timestamp(time) for p, time in times.items()}
        return {p: found if found[0] >= 0 else None for p, found in self._offsets(topic, asked).items()}

    def committed(self, group: str, topic: str, partitions: list[int]) -> dict[int, int | None]:
        """Partition → committed offset of a group; what an open transaction is about to commit does not count."""
        found: dict[int, int | None] = self._asked(
            f"how far group {group} is", lambda _: self._commits.of(group, topic, partitions, self._timeout)
        )
        return found

    def _offsets(self, topic: str, asked: Mapping[int, Any]) -> dict[int, tuple[int, int]]:
        wanted = {TopicPartition(topic, p): spec for p, spec in asked.items()}

        def ask(admin: AdminClient) -> dict[int, tuple[int, int]]:
            futures = admin.list_offsets(wanted, request_timeout=self._timeout)
            found = {place.partition: future.result() for place, future in futures.items()}
            return {partition: (result.offset, result.timestamp) for partition, result in found.items()}

        answer: dict[int, tuple[int, int]] = self._asked(f"offsets of {topic}", ask)
        return answer

    def _asked(self, what: str, question: Callable[[AdminClient], Any]) -> Any:
        """The answer; what passes by itself (a coordinator or leader that moves) is asked again until the timeout."""
        deadline = time.monotonic() + self._timeout
        while True:
            admin = self._admin
            try:
                return question(admin)
            except KafkaException as exc:
                error = error_of(exc)
                if error is not None and error.code() in OUTDATED:
                    self._renew(admin)
                if error is None or error.code() not in MOVING | OUTDATED or time.monotonic() > deadline:
                    raise self._said(what, exc) from exc
            time.sleep(0.05)

    def _said(self, what: str, exc: KafkaException) -> MarksError:
        error = error_of(exc)
        self._admin.poll(0)  # hands the errors of the background to the watch
        said = self._watch.explain() if error is None or error.code() < 0 else None
        said = said or f"Kafka {self._cluster.bootstrap} did not say {what} ({error.name() if error else exc})"
        if error is not None and error.name().endswith("AUTHORIZATION_FAILED"):
            said += f": user {self._cluster.username} has no right to it, run `auditwired migrate`"
        return MarksError(said, passing=error is None or error.retriable() or error.code() < 0)

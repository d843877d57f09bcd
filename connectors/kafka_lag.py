"""Where topics and consumer groups stand, asked from outside with the right to DESCRIBE only: no record is ever read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

from connectors.kafka import SILENT, Cluster, ErrorWatch, error_of
from connectors.kafka_commits import Commits
from connectors.kafka_marks import OUTDATED

Place = tuple[str, int]
"""Topic and partition."""
ASK_SECONDS = 10.0


class LagError(Exception):
    """Kafka did not tell; the text says what to do. Ask again later."""


@dataclass(frozen=True)
class Bounds:
    """First offset, stable end (behind the last ended transaction) and end of one partition."""

    low: int
    end: int
    high: int


@dataclass(frozen=True)
class Group:
    """Members, what they own, and the committed offsets (a partition without one is not in it)."""

    members: int
    owned: frozenset[Place]
    committed: Mapping[Place, int] = field(default_factory=dict)


class Observer:
    """One client for all questions. Blocks; used by one thread. Every method raises LagError."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._watch = ErrorWatch(cluster.bootstrap, cluster.username)
        self._admin = self._client()
        self._commits = Commits(cluster, self._watch)

    def _client(self) -> AdminClient:
        return AdminClient({**self._cluster.config(error_cb=self._watch), **SILENT})

    def partitions(self) -> dict[str, list[int]]:
        """Partitions with a leader of every topic that this user may see."""
        try:
            found = self._admin.list_topics(timeout=ASK_SECONDS).topics
        except KafkaException as exc:
            raise self._error("list topics", exc) from exc
        return {
            name: sorted(p.id for p in topic.partitions.values() if p.leader >= 0)
            for name, topic in found.items()
            if topic.error is None
        }

    def bounds(self, places: Sequence[Place]) -> dict[Place, Bounds]:
        """Bounds of partitions."""
        low = self._offsets(places, OffsetSpec.earliest())
        high = self._offsets(places, OffsetSpec.latest())
        end = self._offsets(places, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)
        return {p: Bounds(low[p][0], min(end[p][0], high[p][0]), high[p][0]) for p in places}

    def at_times(self, wanted: Mapping[Place, int]) -> dict[Place, tuple[int, int]]:
        """For each partition the first record appended at a time (ms since 1970, UTC) or later: its offset and append time.

        The offset is -1 where there is none.
        """
        return self._list({p: OffsetSpec.for_timestamp(max(0, ms)) for p, ms in wanted.items()})

    def group(self, group: str, places: Iterable[Place]) -> Group:
        """Members and commits of a group."""
        asked: dict[str, list[int]] = {}
        for topic, partition in places:
            asked.setdefault(topic, []).append(partition)
        try:
            about = _described(self._admin.describe_consumer_groups([group], request_timeout=ASK_SECONDS)[group])
            found = {topic: self._commits.of(group, topic, numbers, ASK_SECONDS) for topic, numbers in asked.items()}
        except KafkaException as exc:
            raise self._error(f"tell about group {group}", exc) from exc
        members = about.members if about is not None else []
        owned = frozenset((tp.topic, tp.partition) for m in members if m.assignment for tp in m.assignment.topic_partitions)
        committed = {(t, p): offset for t, ends in found.items() for p, offset in ends.items() if offset is not None}
        return Group(len(members), owned, committed)

    def retention_ms(self, topics: Iterable[str]) -> dict[str, int]:
        """How long the topics keep records, milliseconds; -1 for ever."""
        resources = [ConfigResource(ConfigResource.Type.TOPIC, t) for t in topics]
        if not resources:
            return {}
        try:
            answers = self._admin.describe_configs(resources, request_timeout=ASK_SECONDS)
            return {r.name: int(f.result(ASK_SECONDS)["retention.ms"].value) for r, f in answers.items()}
        except KafkaException as exc:
            raise self._error("tell the retention", exc) from exc

    def _offsets(self, places: Sequence[Place], spec: Any, level: Any = IsolationLevel.READ_UNCOMMITTED) -> dict[Place, Any]:
        return self._list(dict.fromkeys(places, spec), level)

    def _list(self, asked: Mapping[Place, Any], level: Any = IsolationLevel.READ_UNCOMMITTED) -> dict[Place, tuple[int, int]]:
        if not asked:
            return {}
        try:
            answers = self._admin.list_offsets(
                {TopicPartition(*p): spec for p, spec in asked.items()}, isolation_level=level, request_timeout=ASK_SECONDS
            )
            found = {(tp.topic, tp.partition): f.result(ASK_SECONDS) for tp, f in answers.items()}
        except KafkaException as exc:
            raise self._error("tell offsets", exc) from exc
        return {p: (int(r.offset), int(r.timestamp)) for p, r in found.items()}

    def _error(self, what: str, exc: KafkaException) -> LagError:
        error = error_of(exc)
        self._admin.poll(0)  # hands the errors of the background to the watch
        if error is not None and error.code() in OUTDATED:
            self._admin = self._client()
        name = error.name() if error is not None else type(exc).__name__
        if "AUTHORIZATION" in name:
            return LagError(f"Kafka user {self._cluster.username} may not {what} ({name}): run `auditwired migrate`")
        return LagError(
            self._watch.explain() or f"Kafka {self._cluster.bootstrap} did not {what} ({name}): see the brokers' logs"
        )


def _described(said: Any) -> Any:
    """None for a group that never was: newer brokers call that an error."""
    try:
        return said.result(ASK_SECONDS)
    except KafkaException as exc:
        error = error_of(exc)
        if error is not None and error.name() == "GROUP_ID_NOT_FOUND":
            return None
        raise

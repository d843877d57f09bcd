"""`connectors.partitions.PartitionedLog` on Kafka: read_committed, cooperative, commits of one partition with metadata."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Literal

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from connectors.kafka import LOG_SECONDS, SILENT, Cluster, Config, ErrorWatch, consumer_config, denied, error_of
from connectors.partitions import Chunk, CommitError, Listener, LogError, LogGapError

logger = logging.getLogger(__name__)
GONE = {
    **dict.fromkeys(
        (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE), "the log no longer holds the offset asked for"
    ),
    KafkaError._BAD_MSG: "the log's bytes cannot be read: they fail their checksum",
    KafkaError._BAD_COMPRESSION: "the log's bytes cannot be read: they do not decompress",
    KafkaError._NOT_IMPLEMENTED: "the log's bytes cannot be read: their format is unknown",
}
"""The client goes on behind these; what it could not deliver must not be passed over."""
ASK_SECONDS = 10.0


class TopicError(Exception):
    """The topic cannot be used; the text says why and what to do."""


def topic_id_of(cluster: Cluster, topic: str, timeout: float = 20.0) -> str:
    """UUID of a topic as text. Raises TopicError: not there, not allowed, no answer, wrong password."""
    watch = ErrorWatch(cluster.bootstrap, cluster.username)
    admin = AdminClient({**cluster.config(error_cb=watch), **SILENT})
    try:
        asked = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout)[topic]
        while not asked.done():
            admin.poll(0.05)  # hands the errors of the background to the watch
            if watch.refused:
                raise TopicError(watch.explain())
        found = asked.result()
    except KafkaException as exc:
        error = error_of(exc)
        if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicError(
                f"topic {topic} is not there, or {cluster.username} may not see it: run `auditwired migrate`"
            ) from exc
        admin.poll(0)
        said = denied(error, cluster.username, "Describe", topic) or watch.explain()
        said = said or f"Kafka {cluster.bootstrap} did not describe {topic} ({error.name() if error else exc})"
        raise TopicError(said) from exc
    return str(found.topic_id)


def may_join(cluster: Cluster, topic: str, group: str, timeout: float = 15.0) -> None:
    """At a part's start: Kafka answers, takes the password, and lets the user see topic and group. Raises TopicError."""
    topic_id_of(cluster, topic, timeout)
    admin = AdminClient({**cluster.config(), **SILENT})
    try:
        admin.describe_consumer_groups([group], request_timeout=timeout)[group].result()
    except KafkaException as exc:
        said = denied(error_of(exc), cluster.username, "Read", group)
        if said is not None:  # a coordinator that moves or starts is the group's own business
            raise TopicError(said) from exc


def sink_config(
    cluster: Cluster, group: str, protocol: Literal["classic", "consumer"], session_timeout_ms: int, **extra: Any
) -> Config:
    """Settings of a sink's consumer. What it fetches ahead is bounded: 64 MB, and one answer of the broker behind that."""
    classic: Config = {
        "partition_assignment_strategy": "cooperative-sticky",
        "session_timeout_ms": session_timeout_ms,
        "heartbeat_interval_ms": min(3000, session_timeout_ms // 3),  # two may be lost
    }
    member: Config = {"group_protocol": "consumer"} if protocol == "consumer" else classic
    return consumer_config(
        cluster,
        group,
        **member,
        enable_partition_eof=True,
        queued_max_messages_kbytes=65536,
        fetch_max_bytes=8 << 20,  # compressed; it is 50 MB otherwise, which many partitions fill
        fetch_min_bytes=1 << 16,  # small answers cost more than what is in them
        fetch_wait_max_ms=100,
        **extra,
    )


class KafkaPartitions:
    """One topic as a member of a group; ``config`` from `sink_config`.

    Questions go through a second client that never joins: the client that polls keeps other threads waiting. ``quiet``: seconds
    without records after which an error that the client reported counts as trouble, if Kafka does not answer.
    """

    def __init__(
        self, cluster: Cluster, config: Config, topic: str, topic_id: str, most: int = 20_000, *, quiet: float = 30.0
    ) -> None:
        self.topic, self.topic_id, self._most, self._cluster = topic, topic_id, most, cluster
        self._watch = ErrorWatch(cluster.bootstrap, cluster.username, logger=logger)
        self._consumer = Consumer({**config, **SILENT, "error_cb": self._watch})
        self._asker = Consumer({**config, **SILENT, "error_cb": self._watch})
        self._heard, self._quiet = time.monotonic(), quiet
        self._reading: set[int] = set()
        self._group, self._denied, self._told = str(config["group.id"]), "", -LOG_SECONDS
        self._asking, self._asked, self._id_now = threading.Lock(), -1.0, topic_id

    def subscribe(self, listener: Listener) -> None:
        """Join the group; from now on `poll` tells the listener."""

        def assign(consumer: Consumer, parts: list[TopicPartition]) -> None:
            consumer.incremental_assign([])  # the group's answer; reading begins with start(), where the lane says
            listener.assigned([p.partition for p in parts])

        def revoke(consumer: Consumer, parts: list[TopicPartition]) -> None:
            self._end(parts, listener, lost=False)

        def lost(consumer: Consumer, parts: list[TopicPartition]) -> None:
            self._end(parts, listener, lost=True)

        self._consumer.subscribe([self.topic], on_assign=assign, on_revoke=revoke, on_lost=lost)

    def _end(self, parts: list[TopicPartition], listener: Listener, lost: bool) -> None:
        listener.revoked([p.partition for p in parts], lost)
        reading = [p for p in parts if p.partition in self._reading]
        self._reading.difference_update(p.partition for p in parts)
        self._consumer.incremental_unassign(reading)

    def poll(self, timeout: float) -> list[Chunk]:
        groups: dict[int, list[Message]] = {}
        ends: dict[int, list[tuple[Message, KafkaError]]] = {}
        for message in self._consumer.consume(self._most, timeout):
            error = message.error()
            if error is None:
                groups.setdefault(message.partition(), []).append(message)
            elif error.fatal():
                raise LogError(f"the Kafka client gave up ({error.name()}): start the part again")
            elif error.code() == KafkaError._PARTITION_EOF or error.code() in GONE:
                ends.setdefault(message.partition(), []).append((message, error))
            else:
                self._note(error)
        if groups or ends:
            self._heard, self._denied = time.monotonic(), ""
        return [_chunk(partition, groups.get(partition, []), ends.get(partition, [])) for partition in groups | ends]

    def _note(self, error: KafkaError) -> None:
        """A missing right shows here and nowhere else; it is waited out, as somebody may be granting it."""
        name = self._group if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED else self.topic
        said = denied(error, self._cluster.username, "Read", name)
        if said is None:
            return
        self._denied = said
        if time.monotonic() - self._told >= LOG_SECONDS:
            self._told = time.monotonic()
            logger.error("%s", said)

    def start(self, partition: int, offset: int) -> None:
        part = TopicPartition(self.topic, partition, offset)
        if partition in self._reading:
            self._consumer.incremental_unassign([part])
            self._reading.discard(partition)
        self._consumer.incremental_assign([part])
        self._consumer.resume([part])  # a pause outlives the assignment, also one that was lost
        self._reading.add(partition)

    def pause(self, partition: int, paused: bool) -> None:
        part = [TopicPartition(self.topic, partition)] if partition in self._reading else []
        (self._consumer.pause if paused else self._consumer.resume)(part)

    def committed(self, partition: int) -> tuple[int, str] | None:
        try:
            found = self._asker.committed([TopicPartition(self.topic, partition)], ASK_SECONDS)[0]
        except KafkaException as exc:
            said = denied(error_of(exc), self._cluster.username, "Read", self._group)
            raise LogError(said or f"Kafka did not say what is committed of {self.topic}[{partition}] ({_name(exc)})") from exc
        if found.error is not None:
            raise LogError(f"Kafka did not say what is committed of {self.topic}[{partition}] ({found.error.name()})")
        return None if found.offset < 0 else (found.offset, found.metadata or "")

    def commit(self, partition: int, offset: int, text: str) -> None:
        part = TopicPartition(self.topic, partition, offset, text)
        try:
            done: Sequence[TopicPartition] = self._consumer.commit(offsets=[part], asynchronous=False)
        except KafkaException as exc:
            raise CommitError(f"commit of {self.topic}[{partition}] at {offset}: {_name(exc)}") from exc
        errors = [p.error for p in done if p.error is not None]
        if errors or len(done) != 1 or done[0].offset != offset:
            raise CommitError(f"commit of {self.topic}[{partition}] at {offset}: {errors[0].name() if errors else 'no answer'}")

    def topic_id_now(self) -> str:
        with self._asking:  # partitions that are assigned at once share an answer
            if time.monotonic() - self._asked > 1.0:
                try:
                    self._id_now = topic_id_of(self._cluster, self.topic, ASK_SECONDS)
                except TopicError as exc:
                    raise LogError(str(exc)) from exc
                self._asked = time.monotonic()
            return self._id_now

    def bounds(self, partition: int) -> tuple[int, int]:
        try:
            low, high = self._asker.get_watermark_offsets(TopicPartition(self.topic, partition), ASK_SECONDS)
        except (KafkaException, TypeError) as exc:
            raise LogError(f"Kafka did not say where {self.topic}[{partition}] begins and ends ({_name(exc)})") from exc
        return low, high

    def end_seen(self, partition: int) -> int | None:
        high: int = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), cached=True)[1]
        return high if high >= 0 else None

    def trouble(self) -> str | None:
        if self._denied:
            return self._denied
        said = self._watch.explain() if time.monotonic() - self._heard > self._quiet else None
        return said if said is not None and not self._answers() else None

    def _answers(self) -> bool:
        """Whether Kafka answers now: on a quiet topic nothing else shows that an outage is over."""
        try:
            self._asker.list_topics(self.topic, timeout=0.5)
        except (KafkaException, RuntimeError):  # RuntimeError: closed meanwhile
            return False
        return True

    def close(self) -> None:
        self._consumer.close()
        self._asker.close()


def _name(exc: BaseException) -> str:
    error = error_of(exc)
    return str(error.name()) if error is not None else type(exc).__name__


def _chunk(partition: int, records: list[Message], ends: list[tuple[Message, KafkaError]]) -> Chunk:
    reached, gap = None, None
    for message, error in ends:
        if error.code() == KafkaError._PARTITION_EOF:
            reached = message.offset()
        else:
            gap = gap or LogGapError(GONE[error.code()])
    return Chunk(
        partition, [m.offset() for m in records], [m.timestamp()[1] for m in records], [m.value() for m in records], reached, gap
    )

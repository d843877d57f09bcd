"""One input partition into its outputs by Kafka transactions: results and input offset together, exactly once.

It holds whatever the consumer, the group or a zombie does, because
1. all owners of a partition use one transactional id: `init_transactions` ends what an earlier session left, and refuses it
   from then on;
2. the committed offset is read after that, so no earlier session can still move it;
3. a session commits only what begins where its last transaction ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from connectors.kafka import Cluster, consumer_config, error_of, producer_config
from connectors.kafka_read import PartitionReader

MAX_MESSAGE_BYTES = 2_097_152  # as max.message.bytes of the output topics
COMPRESSION = "lz4"  # zstd makes 0.65 of its bytes, but takes 1.2 CPU s more per million events
Output = tuple[str, bytes | None, bytes]  # topic, key, value; the partition is that of the input
Point = Callable[[str], None]

_SILENT = {"log_level": 0}  # in an outage librdkafka writes forty lines a second; callers log what it raises
_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


class RefusedToStart(Exception):  # noqa: N818
    """Going on would lose or repeat records. The text says what an operator must do; the process should end."""


class Overtaken(Exception):  # noqa: N818
    """Another session of this partition has committed since this one read where to begin: drop it, open another."""


@dataclass(frozen=True)
class Safety:
    """The mechanisms that make it exactly once. Tests switch one off to see the harm it prevents; nothing else may."""

    shared_id: bool = True
    offset_after_init: bool = True
    position_rule: bool = True
    swap_after_commit: bool = True
    rebuild_on_takeover: bool = True
    dedupe: bool = True


ALL_SAFE = Safety()


@dataclass(frozen=True)
class Start:
    """Where a session begins: the next offset to process, the committed one (None: none yet), and how many are lost between."""

    offset: int
    committed: int | None = None
    lost: int = 0


def nothing(point: str) -> None:
    """The production hook of `Session`'s named points: does nothing."""


def fenced(exc: BaseException) -> bool:
    """Another session of the same id took over, or the coordinator gave up on ours: the client cannot tell which."""
    error = error_of(exc)
    return isinstance(exc, Overtaken) or (error is not None and error.code() in _FENCED)


class GroupOffsets:
    """Committed offsets of a group, read as stable ones through a consumer that never subscribes. Safe from several threads."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self.group, self._cluster = group, cluster
        self._consumer = Consumer({**consumer_config(cluster, group), **_SILENT})

    def close(self) -> None:
        """Drop the consumer."""
        self._consumer.close()

    def metadata(self) -> object:
        """Group metadata for `send_offsets_to_transaction`: no member, so that no rebalance can refuse it."""
        return self._consumer.consumer_group_metadata()

    def watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and stable end of a partition. Raises KafkaException."""
        self._consumer.poll(0)
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        return int(low), int(high)

    def committed(self, topic: str, partition: int) -> int | None:
        """The committed offset; None where there is none. Raises KafkaException."""
        found = self._consumer.committed([TopicPartition(topic, partition)], timeout=10)[0]
        if found.error is not None:
            raise KafkaException(found.error)
        return None if found.offset == OFFSET_INVALID else int(found.offset)

    def start_of(self, topic: str, partition: int, outputs: Iterable[str]) -> Start:
        """Where to begin; call after `init_transactions` only.

        Raises RefusedToStart when the group's offset contradicts the topics, Overtaken, and KafkaException or ReadError when
        Kafka does not answer.
        """
        low, high = self.watermarks(topic, partition)
        committed = self.committed(topic, partition)
        if committed is None:
            self._refuse_filled(topic, partition, outputs)
            return Start(low, None, low)  # what was deleted before anybody read it is lost too
        if committed > high:
            high = self._settled(topic, partition, committed)
        if committed > high:
            raise RefusedToStart(
                f"{topic}[{partition}]: the group {self.group} committed {committed}, but the log ends at {high}. Was the topic "
                "deleted and created again? Its old results are kept; start a new namespace, or a new group after fsck."
            )
        return Start(max(low, committed), committed, max(0, low - committed))

    def _settled(self, topic: str, partition: int, committed: int, seconds: float = 10.0) -> int:
        """The log's end after a broker restart, which may show it late."""
        end = time.monotonic() + seconds
        high = -1
        while high < committed and time.monotonic() < end:
            time.sleep(0.2)
            high = self.watermarks(topic, partition)[1]
        return high

    def _refuse_filled(self, topic: str, partition: int, outputs: Iterable[str]) -> None:
        for output in outputs:
            low, high = self.watermarks(output, partition)
            if low > 0 or self._holds(output, partition, high):
                if self.committed(topic, partition) is not None:
                    raise Overtaken
                raise RefusedToStart(
                    f"{topic}[{partition}]: the group {self.group} has no committed offset, but {output}[{partition}] holds "
                    f"results ({low} to {high}). Starting over would write them twice. Was the topic deleted and created again? "
                    "Kafka forgets its offsets then: start a new namespace. Did the offsets expire? Set the group's offset to "
                    "end_offset of this partition's last ledger record (kafka-consumer-groups --reset-offsets)."
                )

    def _holds(self, topic: str, partition: int, high: int) -> bool:
        """Whether there is a committed record: an aborted transaction moves the end of the log too."""
        if high == 0:
            return False
        with PartitionReader(self._cluster, self.group) as reader, closing(reader.read(topic, partition, 0, high)) as records:
            return next(records, None) is not None


class Session:
    """One transactional producer of one input partition. After any error: `close` it, open another, trust what that one reads."""

    def __init__(
        self,
        cluster: Cluster,
        offsets: GroupOffsets,
        topic: str,
        partition: int,
        *,
        outputs: Sequence[str],
        timeout_ms: int = 30_000,
        points: Point = nothing,
        safety: Safety = ALL_SAFE,
    ) -> None:
        """Ends what earlier sessions of this partition left, then reads where to begin (`start`, `position`).

        Blocks for up to a minute. Raises RefusedToStart (do not try again), or what `GroupOffsets.start_of` raises (later).
        """
        self.topic, self.partition, self._offsets, self._points = topic, partition, offsets, points
        self._producer = Producer(_config(cluster, _id(offsets.group, topic, partition, safety), timeout_ms))
        early = None if safety.offset_after_init else offsets.start_of(topic, partition, outputs)
        points("pre_init")
        try:
            again(self._producer.init_transactions, 60)
            points("init")
            self.start = early or offsets.start_of(topic, partition, outputs)
        except BaseException:
            self.close()
            raise
        self.position = self.start.offset

    def commit(self, outputs: Sequence[Output], end: int) -> None:
        """Write the outputs of the input offsets ``position … end`` and commit ``end``, all or nothing.

        Raises KafkaException or whatever `produce` raises; the outcome is then unknown and the session is spent.
        """
        producer = self._producer
        producer.begin_transaction()
        self._points("begun")
        middle = len(outputs) // 2
        self._produce(outputs[:middle])
        self._points("mid")
        self._produce(outputs[middle:])
        self._points("produced")
        group = self._offsets.metadata()
        again(producer.send_offsets_to_transaction, 30, [TopicPartition(self.topic, self.partition, end)], group)
        self._points("offsets")
        again(producer.commit_transaction, 60)
        self.position = end
        self._points("committed")

    def _produce(self, outputs: Sequence[Output]) -> None:
        produce, poll, partition = self._producer.produce, self._producer.poll, self.partition
        for topic, key, value in outputs:
            while True:
                try:
                    produce(topic, value, key, partition=partition)
                    break
                except BufferError:
                    poll(0.05)

    def close(self) -> None:
        """Drop the producer, with whatever it still holds; never raises."""
        with suppress(KafkaException):
            self._producer.purge()
        with suppress(KafkaException):  # a fenced producer refuses to close; freeing it ends its threads
            self._producer.close()


def _id(group: str, topic: str, partition: int, safety: Safety) -> str:
    own = "" if safety.shared_id else f"-{os.getpid()}-{time.time_ns()}"
    return f"{group}-{topic}-{partition}{own}"


def _config(cluster: Cluster, transactional_id: str, timeout_ms: int) -> dict[str, Any]:
    config = producer_config(
        cluster,
        transactional_id=transactional_id,
        transaction_timeout_ms=timeout_ms,
        compression_type=COMPRESSION,
        batch_size=1_000_000,
        batch_num_messages=10_000,
        message_max_bytes=MAX_MESSAGE_BYTES,
        queue_buffering_max_messages=200_000,
        queue_buffering_max_kbytes=262_144,
    )
    return {**config, **_SILENT}


def again(call: Callable[..., Any], limit: float, *args: Any) -> None:
    """Repeat a transactional call while the client says so, for ``limit`` seconds: a commit that timed out is asked again.

    Raises KafkaException, and then the transaction is not to be gone on with.
    """
    end = time.monotonic() + limit
    while True:
        try:
            call(*args, 10)
            return
        except KafkaException as exc:
            error = error_of(exc)
            if error is None or not error.retriable() or error.fatal() or error.txn_requires_abort() or time.monotonic() > end:
                raise
            time.sleep(0.05)

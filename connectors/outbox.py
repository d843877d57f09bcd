"""Records on their way to Kafka, confirmed by the request: a batch counts as sent when every record of it has its report."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka import SILENT, Config, ErrorWatch, denied, error_of

logger = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 2_097_152  # as max.message.bytes of the largest topic that is written here


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record; ``value`` with its Confluent frame."""

    topic: str
    key: bytes
    value: bytes


class Why(Enum):
    """What to make of a record that Kafka did not confirm."""

    AGAIN = "send it again"
    TOPIC = "its topic is missing, or closed to this user: send it again where the topic is ours"
    RECORD = "Kafka refuses the record, or what it was sent with: if it was alone, it is refused for good"


class NotConfirmed(Exception):  # noqa: N818
    """Kafka did not confirm every record in time: acknowledge nothing, let the sender try again (some may be stored already).

    ``failed``: which records of the batch these are, by index, and why; the others are stored. None where nothing is known.
    """

    def __init__(self, text: str, failed: Mapping[int, Why] | None = None) -> None:
        super().__init__(text)
        self.failed = failed


class Outbox(Protocol):
    """Where the receiver puts records."""

    async def send(self, records: Sequence[Record], settled: Callable[[], None]) -> None:
        """Return MUST mean that every record is durable. Raises NotConfirmed otherwise, after a bounded time.

        ``settled`` is called once, on the loop, when nothing of the batch is held in memory any more, perhaps after the raise.
        """

    def problem(self) -> str | None:
        """None while records can be sent, else one sentence for the health check."""


class MemoryOutbox:
    """Keeps records in a list; with ``down`` set it refuses like a cluster that does not answer."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.down = False

    async def send(self, records: Sequence[Record], settled: Callable[[], None]) -> None:
        settled()
        if self.down:
            raise NotConfirmed("the outbox is down")
        self.records += records

    def problem(self) -> str | None:
        return "the outbox is down" if self.down else None


KINDS = {
    KafkaError.MSG_SIZE_TOO_LARGE: Why.RECORD,
    KafkaError.RECORD_LIST_TOO_LARGE: Why.RECORD,
    KafkaError.INVALID_RECORD: Why.RECORD,
    KafkaError.TOPIC_EXCEPTION: Why.TOPIC,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Why.TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART: Why.TOPIC,
    KafkaError._UNKNOWN_TOPIC: Why.TOPIC,
    KafkaError._UNKNOWN_PARTITION: Why.TOPIC,
}


class _Batch:
    __slots__ = ("expected", "failed", "future", "records", "reported", "settled")

    def __init__(self, records: Sequence[Record], future: asyncio.Future[None], settled: Callable[[], None]) -> None:
        self.expected, self.reported = len(records), 0
        self.records, self.future, self.settled = records, future, settled
        self.failed: dict[int, KafkaError] = {}

    def whys(self) -> dict[int, Why]:
        return {index: KINDS.get(error.code(), Why.AGAIN) for index, error in self.failed.items()}


class KafkaOutbox:
    """An idempotent producer with acks=all; one thread takes the delivery reports and wakes the loop once for many batches.

    ``config`` comes from `connectors.kafka.producer_config`. ``wait_for_reports=False`` is for the negative control only: it
    returns before Kafka has anything. ``broken`` is set when the producer is of no use any more: make a new one.
    """

    def __init__(self, config: Config, bound_seconds: float = 10.0, *, wait_for_reports: bool = True) -> None:
        self._bound, self._wait, self._bootstrap = bound_seconds, wait_for_reports, config["bootstrap.servers"]
        self._user = str(config.get("sasl.username", ""))
        self._watch = ErrorWatch(config["bootstrap.servers"], self._user, self._on_error, logger)
        self._trouble: str | None = "Kafka has not answered yet"
        self._lock = threading.Lock()
        self._done: list[_Batch] = []
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self.broken, self._over = asyncio.Event(), False
        timeout = max(1000, int(bound_seconds * 900))
        own = {"message.timeout.ms": timeout, "queue.buffering.max.messages": 500_000, "error_cb": self._watch}
        own["message.max.bytes"] = MAX_MESSAGE_BYTES
        self._producer = Producer({**config, **SILENT, **own})
        self._thread = threading.Thread(target=self._poll, name="kafka-reports", daemon=True)
        self._thread.start()

    async def send(self, records: Sequence[Record], settled: Callable[[], None]) -> None:
        if not records:
            settled()
            return
        batch = _Batch(records, self._loop.create_future(), settled)
        self._produce(records, batch)
        if not self._wait:
            return
        try:
            async with asyncio.timeout(self._bound):
                await asyncio.shield(batch.future)
        except TimeoutError:
            raise NotConfirmed(f"Kafka did not confirm within {self._bound:g} s") from None

    def problem(self) -> str | None:
        return self._trouble

    def close(self, seconds: float = 10.0) -> int:
        """Wait for what is on its way and end the thread; the number of records that Kafka has not confirmed."""
        left: int = self._producer.flush(seconds)
        self._stop.set()
        self._thread.join()
        return left

    def _produce(self, records: Sequence[Record], batch: _Batch) -> None:
        produce = self._producer.produce
        for index, record in enumerate(records):
            try:
                produce(record.topic, record.value, record.key, on_delivery=partial(self._report, batch, index))
            except KafkaException as exc:  # this record only
                self._report(batch, index, error_of(exc) or KafkaError(KafkaError._FAIL), None)
            except BufferError as exc:
                with self._lock:  # reports of the part that is on its way still come
                    batch.expected = index
                    finished = batch.reported == index
                if finished:
                    batch.settled()
                batch.future.cancel()
                raise NotConfirmed(f"the producer does not take more records ({type(exc).__name__})") from None

    def _report(self, batch: _Batch, index: int, error: KafkaError | None, _message: Message | None) -> None:
        with self._lock:
            batch.reported += 1
            if error is not None:
                batch.failed[index] = error
            if batch.reported == batch.expected:
                self._done.append(batch)

    def _poll(self) -> None:
        while not self._stop.is_set():
            try:
                self._producer.poll(0.1)
            except KafkaException as exc:  # how the client tells a fatal error; this thread must outlive it
                self._ended(error_of(exc))
                self._stop.wait(0.1)
            if self._trouble is not None and not self._over:
                self._probe()
            if self._done:
                with self._lock:
                    done, self._done = self._done, []
                self._loop.call_soon_threadsafe(self._resolve, done)

    def _resolve(self, done: list[_Batch]) -> None:
        for batch in done:
            batch.settled()
            if batch.future.done():
                continue
            if not batch.failed:
                batch.future.set_result(None)
            else:
                failed = batch.whys()
                self._trouble, text = self._explained(batch, failed)
                batch.future.set_exception(NotConfirmed(text, failed))
                batch.future.exception()  # the waiter may be gone

    def _explained(self, batch: _Batch, failed: Mapping[int, Why]) -> tuple[str | None, str]:
        """What is wrong with Kafka, if anything is, and with the batch."""
        first = min(failed, key=lambda index: (failed[index] is Why.RECORD, index))
        error, topic = batch.failed[first], batch.records[first].topic
        if failed[first] is Why.RECORD:
            return self._trouble, f"Kafka {self._bootstrap} does not take a record for topic {topic} ({error.name()})"
        said = denied(error, self._user, "Write", topic)
        if said is None and failed[first] is Why.TOPIC:
            said = f"Kafka {self._bootstrap} has no topic {topic} ({error.name()}): run `auditwired migrate`"
        text = said or self._watch.explain() or f"Kafka {self._bootstrap} did not confirm records ({error.name()})"
        return text, text

    def _probe(self) -> None:
        """Ask a broker that is in trouble for its metadata; an answer ends the trouble."""
        try:
            self._producer.list_topics(timeout=0.5)
        except KafkaException:
            self._trouble = self._watch.explain() or self._trouble
        else:
            if not self.broken.is_set():
                self._trouble = None

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._ended(error)
        elif error.code() in {KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION}:
            self._trouble = self._watch.explain()

    def _ended(self, error: KafkaError | None) -> None:
        """The producer is of no use any more; said once."""
        if self._over:
            return
        self._over = True
        said = denied(error, self._user, "IdempotentWrite", "")
        name = error.name() if error else "unknown"
        self._trouble = said or f"the Kafka producer ended with a fatal error ({name}): restart the receiver"
        logger.error("%s", self._trouble)
        self._loop.call_soon_threadsafe(self.broken.set)

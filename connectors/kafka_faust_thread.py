"""The thread in which Faust runs aiokafka: it fetches from the positions that lanes want, and keeps the group's loop alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from connectors.kafka_batches import install_reader
from connectors.kafka_chunks import CHUNK_RECORDS, RawRecord

# Without a least size the broker answers for every few events, which cost more than the events. While it waits, nothing is
# fetched of a partition that was not asked for, so it must not wait long (aiokafka has one request under way for each broker).
FETCH_BYTES, FETCH_WAIT_MS = 1 << 16, 100

Fetched = Mapping[TP, tuple[Sequence[RawRecord], int]]


class ChunkThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Runs aiokafka; fetches from the positions that lanes want, whatever position aiokafka believes in."""

    logger = logging.getLogger("faust.consumer.thread")
    _lock: asyncio.Lock | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.failed: set[TP] = set()  # whose last fetch was refused or could not be read

    def _create_worker_consumer(self, transport: Any) -> Any:
        install_reader()
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # Faust ties this to its own transactions
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = FETCH_BYTES, FETCH_WAIT_MS
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Mapping[TP, int],
        timeout: float | None = None,  # noqa: ASYNC109
        max_records: int | None = None,
    ) -> Fetched:
        """``active_partitions``: partition → wanted position. Returns the records and the position after them (or its gap)."""
        if not self.consumer.flow_active:
            return {}
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:  # a cancelled fetch may still be running here
            assignment = _assignment(consumer)
            states = self._positioned(consumer, assignment, active_partitions)
            if not states:
                await asyncio.sleep(0.05)
                return {}
            records = await self._poll(consumer, states, timeout, max_records)
            if _assignment(consumer) is not assignment:
                return {}
            return {
                tp: (found, state.position)
                for tp, state in states.items()
                if tp not in self.failed
                and state.has_valid_position
                and ((found := records.get(_aio(tp)) or []) or state.position > active_partitions[tp])
            }

    @staticmethod
    def _positioned(consumer: Any, assignment: Any, wanted: Mapping[TP, int]) -> dict[TP, Any]:
        states = {}
        for tp, offset in wanted.items():
            try:
                state = assignment.state_value(_aio(tp)) if assignment is not None else None
            except KeyError:
                state = None
            if state is None:
                continue
            if not state.has_valid_position or state.position != offset:
                consumer._fetcher.seek_to(_aio(tp), offset)
            states[tp] = state
        return states

    async def _poll(self, consumer: Any, states: Mapping[TP, Any], patience: float | None, most: int | None) -> Mapping[Any, Any]:
        fetcher = consumer._fetcher
        with fetcher._subscriptions.fetch_context():
            found = await self._buffered(fetcher, states, most)
            if not found:
                await self._arrival(fetcher, states, patience)
                found = await self._buffered(fetcher, states, most)
            if self.failed and not found:
                await asyncio.sleep(0.2)
            return found

    async def _arrival(self, fetcher: Any, states: Mapping[TP, Any], patience: float | None) -> None:
        waiter = fetcher._create_fetch_waiter()
        try:
            done, _ = await asyncio.wait([waiter], timeout=patience)
            if done:
                waiter.result()
        except KafkaError as exc:  # of the whole connection, such as missing rights
            self.log.warning("fetch refused: %s", type(exc).__name__)
            self.failed.update(states)
        finally:
            waiter.cancel()

    async def _buffered(self, fetcher: Any, states: Mapping[TP, Any], most: int | None) -> dict[Any, Any]:
        """What has arrived, at most a chunk of each partition, since compressed batches may hold a hundred times their size.

        One partition after the other: aiokafka forgets what it took of others before one that fails, but has moved their
        positions, and that would look like a gap without records.
        """
        found: dict[Any, Any] = {}
        known = {_aio(tp): tp for tp in states}
        for aio in [aio for aio in fetcher._records if aio in known]:
            try:
                found |= await fetcher.fetched_records({aio}, timeout=0, max_records=min(most or CHUNK_RECORDS, CHUNK_RECORDS))
            except Exception as exc:  # OffsetOutOfRange, a broken batch: the lane looks at the log and decides
                self.log.warning("fetch refused: %s", type(exc).__name__)
                self.failed.add(known[aio])
        return found

    def check_group(self) -> str | None:
        """aiokafka parks its group loop until someone calls check_errors(), and Faust never does. Returns why it is dead."""
        consumer = self._consumer
        coordinator = getattr(consumer, "_coordinator", None)
        if coordinator is None or consumer is None or consumer._closed:
            return None
        try:
            coordinator.check_errors()
        except Exception as exc:
            self.log.warning("consumer group: %s", type(exc).__name__)
            if coordinator._coordination_task.done():
                return f"the consumer group's loop ended with {type(exc).__name__}"
        return None


def _aio(tp: TP) -> TopicPartition:
    return TopicPartition(tp.topic, tp.partition)


def _assignment(consumer: Any) -> Any:
    subscription = consumer._subscription.subscription
    assignment = subscription.assignment if subscription is not None else None
    return assignment if assignment is not None and assignment.active else None

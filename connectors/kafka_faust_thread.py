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

from connectors.kafka_chunks import RawRecord

Fetched = Mapping[TP, tuple[Sequence[RawRecord], int]]


class ChunkThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Runs aiokafka; fetches from the positions that lanes want, whatever position aiokafka believes in."""

    logger = logging.getLogger("faust.consumer.thread")
    _lock: asyncio.Lock | None = None
    fetch_error: BaseException | None = None

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # Faust ties this to its own transactions
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
                if state.has_valid_position and ((found := records.get(_aio(tp)) or []) or state.position > active_partitions[tp])
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
            try:
                found: Mapping[Any, Any] = await fetcher.fetched_records(
                    {_aio(tp) for tp in states}, timeout=patience, max_records=most
                )
                return found
            except KafkaError as exc:  # such as OffsetOutOfRange: the lane looks at the log and decides
                self.log.warning("fetch refused: %s", type(exc).__name__)
                self.fetch_error = exc
                await asyncio.sleep(0.2)
                return {}

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

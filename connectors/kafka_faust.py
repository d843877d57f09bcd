"""Faust as host of the consumer group: it delivers chunks of raw records to lanes and commits nothing.

Safety lies in the lanes (`connectors/kafka_lanes.py`), not here: a record that Faust or aiokafka loses, repeats or delivers late
can stall a partition, never spoil it. What is overridden here are the places where Faust 0.15 stalls or costs 80 CPU s a million.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from connectors.kafka import Cluster
from connectors.kafka_chunks import Chunk, Lane, cut, quieten
from connectors.kafka_faust_thread import ChunkThread, Fetched

DRAIN_SECONDS = 1.0  # at revocation: a courtesy to commits in flight, the next owner ends them anyway


LaneFactory = Callable[["ChunkConsumer", TP, "asyncio.Task[None] | None"], Lane]


class _RawSchema(faust.Schema):  # type: ignore[misc]
    """Faust's topics hand the chunk through as it is."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> None:
        return None

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Chunk:
        chunk: Chunk = message.value
        return chunk


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """A Faust consumer whose messages are chunks, one partition in turn, each made for the lane that asked for it."""

    logger = logging.getLogger("faust.consumer")
    new_lane: LaneFactory
    on_dead: Callable[[str], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lanes: dict[TP, Lane] = {}
        self.ticked = time.monotonic()
        self._closing: dict[TP, asyncio.Task[None]] = {}
        self._room = asyncio.Event()

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    # Offsets are committed by the lanes' transactions: Faust commits nothing, waits for nothing, seeks nowhere.
    async def commit(self, *args: Any, **kwargs: Any) -> bool:
        return False

    async def wait_empty(self) -> None:
        return

    async def perform_seek(self) -> None:
        return

    async def verify_all_partitions_active(self) -> None:
        return

    async def _add_gap(self, *args: Any) -> None:
        return

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        for tp in assigned:
            if tp not in self.lanes:
                self.lanes[tp] = type(self).new_lane(self, tp, self._closing.get(tp))
        self.wake()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        await self.close_lanes()  # the eager protocol revokes everything, an eviction too

    async def on_stop(self) -> None:
        await self.close_lanes()
        await super().on_stop()

    async def close_lanes(self) -> None:
        """Tell every lane that it is over and give commits in flight a moment."""
        for tp, lane in self.lanes.items():
            lane.revoke()
            self._closing[tp] = lane.task
        self.lanes.clear()
        if self._closing:
            await asyncio.wait(self._closing.values(), timeout=DRAIN_SECONDS)
        self._closing = {tp: task for tp, task in self._closing.items() if not task.done()}

    def wake(self) -> None:
        """A lane has room again, or wants another position."""
        self._room.set()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109
        """Faust's drain loop asks here; yields chunks as messages."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if self.should_stop:
            return
        ready = {tp: lane for tp, lane in self.lanes.items() if lane.want is not None and lane.hungry()}
        if not ready:
            self._room.clear()
            await self._wait_for_room()
            return
        wanted = {tp: lane.want or 0 for tp, lane in ready.items()}
        patience = 1.0 if len(ready) == len(self.lanes) else 0.05
        found = await self._getmany(wanted, timeout=patience)
        self._pass_fetch_error(ready)
        if self.should_stop:
            return
        for chunk, tp in self._chunks(found, ready, wanted):
            if not self.flow_active:
                return
            self._read_offset[tp] = None  # else Faust's drain loop drops redeliveries as old
            yield tp, self._message(tp, chunk)

    async def _wait_for_room(self) -> None:
        try:
            await asyncio.wait_for(self._room.wait(), 0.5)
        except TimeoutError:
            return

    def _pass_fetch_error(self, ready: Mapping[TP, Lane]) -> None:
        failed, self._thread.failed = self._thread.failed, set()
        for tp in failed & ready.keys():
            ready[tp].fetch_failed()

    def _chunks(self, found: Fetched, ready: Mapping[TP, Lane], wanted: dict[TP, int]) -> Any:
        """Chunks of the fetched records, partitions in turn so that a full one does not starve the others."""
        turn = deque((TP(*tp), records, position, 0) for tp, (records, position) in found.items())
        while turn:
            tp, records, position, first = turn.popleft()
            lane = ready[tp]
            if self.lanes.get(tp) is not lane or lane.want != wanted[tp] or lane.edge is None:
                continue  # lost or rewound meanwhile: fetched again
            if not records:
                lane.want = position  # markers or aborted records only
                continue
            last, size = cut(records, first)
            end = records[last].offset if last < len(records) else position
            chunk = Chunk(lane, lane.edge, end, records[first:last], size)
            lane.handed(chunk)
            wanted[tp] = end
            if last < len(records):
                turn.append((tp, records, position, last))
            yield chunk, tp

    def _message(self, tp: TP, chunk: Chunk) -> ConsumerMessage:
        last = chunk.records[-1]
        generation = self.app.consumer_generation_id
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000,
            0,
            (),
            None,
            chunk,
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )

    @Service.task  # type: ignore[untyped-decorator]
    async def _watch_group(self) -> None:
        while not self.should_stop:
            await self.sleep(1.0)
            self.ticked = time.monotonic()
            if self._thread.thread_loop.is_running():
                self._thread.thread_loop.call_soon_threadsafe(self._check_group)

    def _check_group(self) -> None:
        dead = self._thread.check_group()
        if dead is not None and not self.should_stop:
            type(self).on_dead(dead)


def application(
    cluster: Cluster,
    group: str,
    topic: str,
    *,
    new_lane: LaneFactory,
    on_dead: Callable[[str], None],
    deliver: Callable[[Chunk], None],
    session_timeout: float,
    data_dir: Path,
) -> faust.App:
    """A Faust app that feeds the lanes of ``topic``; start and stop it as a service in the running loop.

    ``new_lane`` is called when a partition is assigned (with the task of our previous lane of it, if that still runs),
    ``deliver`` for each chunk that Faust delivers, ``on_dead`` from another thread when the group's loop cannot go on.
    """
    app = faust.App(
        group,
        broker=[f"kafka://{address.strip()}" for address in cluster.bootstrap.split(",")],
        broker_credentials=_credentials(cluster),
        broker_session_timeout=session_timeout,
        broker_heartbeat_interval=min(1.0, session_timeout / 6),
        broker_request_timeout=max(15.0, session_timeout + 5.0),
        broker_rebalance_timeout=15.0,
        broker_max_poll_interval=600.0,
        consumer_auto_offset_reset="none",
        consumer_metadata_max_age_ms=10_000,
        consumer_max_fetch_size=1 << 20,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_buffer_maxsize=4096,
        stream_recovery_delay=0.0,
        stream_wait_empty=False,
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
        datadir=str(data_dir),
    )
    consumer = type("LaneConsumer", (ChunkConsumer,), {"new_lane": staticmethod(new_lane), "on_dead": staticmethod(on_dead)})
    transport = type("LaneTransport", (driver.Transport,), {"Consumer": consumer})
    app.transport = transport(app.conf.broker_consumer, app)

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            deliver(event.value)

    app.agent(app.topic(topic, schema=_RawSchema()), name="lanes")(agent)
    quieten()
    return app


def _credentials(cluster: Cluster) -> Any:
    context = ssl.create_default_context() if cluster.security_protocol.endswith("SSL") else None
    if cluster.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=cluster.username, password=cluster.password.value, mechanism=cluster.sasl_mechanism, ssl_context=context
        )
    return faust.SSLCredentials(context) if context is not None else None

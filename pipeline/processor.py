"""The processor: raw events into clean ones, exactly once. Faust hosts the consumer group; the lanes do the work."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import schemas
from auditwire.redaction import detectors_for
from connectors.avro import RecordCodec, frame
from connectors.kafka import cluster_of
from connectors.kafka_chunks import Chunk
from connectors.kafka_faust import ChunkConsumer, application
from connectors.kafka_lanes import ALL_SAFE, GroupOffsets, Point, Safety, Session, nothing
from connectors.kafka_partitions import TopicError, may_join
from connectors.reference_topic import ReferenceTopic
from connectors.registry import RegistryError, SchemaRegistry, UnknownSchema
from connectors.series import REFERENCE, RULES, Series
from connectors.writer_schemas import WriterSchemas
from pipeline import admin, allocators, metrics, settings
from pipeline.chain import MAX_EVENT_BYTES, Context
from pipeline.enrichment import Reference
from pipeline.janitor import Janitor
from pipeline.lane import EXIT_REFUSED, EXIT_STUCK, Budget, Host, Lane
from pipeline.partition import PartitionWork, Shared, Topics
from pipeline.ruling import Age, Ruling
from pipeline.sealing import Sealer, SealingError

log = logging.getLogger(__name__)
MAX_PARTITIONS = 64
COMPUTED_AT_ONCE = 2  # a process is about one core; more batches at once only take memory
STALLED_AFTER = 120.0
COLLECT_EVERY = 20.0
LOOK_EVERY = 5.0
STOP_SECONDS = 4.0


def run(values: settings.Processor) -> int:
    """Process until SIGTERM or SIGINT (exit code 0). 75: start again; 78: an operator must act, the log says how."""
    return Processor(values).run()


class Processor:
    """One worker process. All but ``values`` exists for tests: leave it alone."""

    def __init__(
        self,
        values: settings.Processor,
        *,
        safety: Safety = ALL_SAFE,
        points: Point = nothing,
        deliver: Callable[[Chunk], None] = lambda chunk: chunk.lane.offer(chunk),
        lost_after: float = 10.0,
        stalled_after: float = STALLED_AFTER,
        follow_reference: bool = True,
    ) -> None:
        self._values, self._safety, self._points, self._deliver = values, safety, points, deliver
        self._lost_after, self._stalled_after, self._follow = lost_after, stalled_after, follow_reference
        self._cluster = cluster_of(dict(values))
        self._topics = Topics.of(values.namespace)
        self._budget, self._turn = Budget(values.hold_bytes), asyncio.Semaphore(COMPUTED_AT_ONCE)
        self._pool = ThreadPoolExecutor(MAX_PARTITIONS + 16, "lane")
        self._code, self._blocked = 0, False
        self._lanes: dict[int, Lane] = {}
        self._answered = time.monotonic()
        self._consumer: ChunkConsumer | None = None
        self._registry: SchemaRegistry | None = None
        self._reference: Reference | None = None
        self._ruling: Ruling | None = None

    def run(self) -> int:
        """Blocks; see `run` of this module."""
        try:
            self.prepare()
            may_join(self._cluster, self._topics.raw, self._offsets.group)
        except (RegistryError, SealingError, TopicError) as exc:
            log.critical("%s", exc)
            waiting_helps = isinstance(exc, RegistryError | TopicError) and not isinstance(exc, UnknownSchema)
            return EXIT_STUCK if waiting_helps else EXIT_REFUSED
        admin.serve("processor", self._values.admin_listen, self.healthy)
        allocators.collect_rarely()
        try:
            asyncio.run(self._serve())
        finally:
            self.close()
            self._pool.shutdown(wait=False, cancel_futures=True)
            if self._blocked or self._code:
                logging.shutdown()
                os._exit(self._code)  # a blocked call of the client must not hold the process back
        return self._code

    def prepare(self) -> None:
        """Schema ids and clients. Raises RegistryError or SealingError with what to do."""
        values = self._values
        self._sealer = Sealer(values.sealing_key.get_secret_value())
        registry = self._registry = SchemaRegistry(values.schema_registry_url)
        self._offsets = GroupOffsets(self._cluster, f"{values.namespace}-processor")
        ids = {
            name: registry.id_of(f"{topic}-value", schemas.schema_text(name))
            for name, topic in (
                ("audit_event", self._topics.events),
                ("quarantined_event", self._topics.quarantine),
                ("ledger_record", self._topics.ledger),
            )
        }
        self._reference = Reference(self._topic_of(REFERENCE), _classes(values), follow=self._follow)
        age = Age(values.rules_max_age_seconds, values.rules_outdated)
        detectors = detectors_for(values.redact_encoded)
        self._ruling = Ruling(self._topic_of(RULES), _classes(values), age, detectors=detectors, follow=self._follow)
        for followed in (self._reference, self._ruling):
            followed.start()
        self._shared = Shared(
            cluster=self._cluster,
            offsets=self._offsets,
            topics=self._topics,
            writers=WriterSchemas(registry),
            reference=self._reference,
            ruling=self._ruling,
            event_frame=frame(ids["audit_event"]),
            quarantine=RecordCodec("quarantined_event", ids["quarantined_event"]),
            ledger=RecordCodec("ledger_record", ids["ledger_record"]),
            window_hours=values.dedupe_window_hours,
            most_identities=values.dedupe_identities,
            new_session=self._new_session,
            safety=self._safety,
            max_reject_ratio=values.max_reject_ratio,
            reject_sample=values.reject_sample,
        )

    def _topic_of(self, series: Series) -> ReferenceTopic:
        values = self._values
        return ReferenceTopic(self._cluster, values.schema_registry_url, values.namespace, series, self._offsets.group)

    def close(self) -> None:
        """Close what `prepare` opened."""
        for followed in (self._reference, self._ruling):
            if followed is not None:
                followed.close()
        if self._registry is not None:
            self._registry.close()

    def work(self, partition: int) -> PartitionWork:
        """The work of one partition, after `prepare`."""
        context = Context(self._topics.raw, partition, self._values.retention_class, self._sealer, MAX_EVENT_BYTES)
        return PartitionWork(self._shared, context)

    def _new_session(self, partition: int) -> Session:
        topics = self._topics
        return Session(
            self._cluster,
            self._offsets,
            topics.raw,
            partition,
            outputs=[topics.ledger, topics.events],
            timeout_ms=self._values.transaction_timeout_ms,
            points=self._points,
            safety=self._safety,
        )

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self._over = loop, asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        app = application(
            self._cluster,
            self._offsets.group,
            self._topics.raw,
            new_lane=self._new_lane,
            on_dead=lambda why: self._stop(EXIT_STUCK, why),
            deliver=self._deliver,
            session_timeout=self._values.session_timeout_ms / 1000,
            data_dir=self._values.data_dir,
        )
        watch = loop.create_task(self._watch(app))
        janitor = loop.create_task(
            Janitor(self._cluster, self._offsets.group, self._topics.raw, self._values.raw_keep_minutes).run(self)
        )
        app.finalize()
        starting = loop.create_task(app.start())
        await asyncio.wait([starting, loop.create_task(self._over.wait())], return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and (failed := starting.exception()) is not None:
            self._stop(EXIT_STUCK, f"{self._unreachable()} ({type(failed).__name__})")
        await self._over.wait()
        for task in (watch, janitor):
            task.cancel()
        await self._end(app, starting)

    def _unreachable(self) -> str:
        cluster = self._cluster
        return (
            f"Kafka {cluster.bootstrap} did not let user {cluster.username} in: is it up, are AUDITWIRE_KAFKA_BOOTSTRAP and "
            "AUDITWIRE_PROCESSOR_KAFKA_PASSWORD right?"
        )

    async def _end(self, app: Any, starting: asyncio.Task[Any]) -> None:
        """Commits in flight get a second, leaving the group a few; whatever is left is ended by the next owner."""
        if self._consumer is not None:
            await self._consumer.close_lanes()
        try:
            await asyncio.wait_for(app.stop(), STOP_SECONDS)
        except Exception as exc:
            log.warning("leaving the group failed with %s", type(exc).__name__)
        starting.cancel()
        self._blocked = bool(self.owned())  # asked now: the loop cancels all tasks before it ends

    def _new_lane(self, consumer: ChunkConsumer, tp: Any, before: asyncio.Task[None] | None) -> Lane:
        if len(consumer.lanes) >= MAX_PARTITIONS:
            self._stop(EXIT_STUCK, f"more than {MAX_PARTITIONS} partitions were assigned to this process: start more processes")
        self._consumer = consumer
        values = self._values
        host = Host(
            self._pool,
            self._budget,
            batch_events=values.batch_events,
            linger=values.linger_ms / 1000,
            wake=consumer.wake,
            stop=self._stop,
            safety=self._safety,
            turn=self._turn,
            lost_after=self._lost_after,
        )
        lane = Lane(f"{tp.topic}[{tp.partition}]", self.work(tp.partition), host, before)
        self._lanes[tp.partition] = lane
        lane.task.add_done_callback(lambda _: self._forget(tp.partition, lane))
        return lane

    def _forget(self, partition: int, lane: Lane) -> None:
        """Somebody else may own the partition for days: its state is not needed here."""
        if self._lanes.get(partition) is lane:
            del self._lanes[partition]

    def _stop(self, code: int, why: str) -> None:
        """End the process, from any thread; within a few seconds whatever hangs."""
        log.critical("%s", why)
        self._code = code
        self._loop.call_soon_threadsafe(self._over.set)
        timer = threading.Timer(10.0, os._exit, (code,))
        timer.daemon = True
        timer.start()

    def owned(self) -> dict[int, Lane]:
        """Lanes of the partitions that this process has now."""
        return {partition: lane for partition, lane in list(self._lanes.items()) if not lane.task.done()}

    async def _watch(self, app: Any) -> None:
        while True:
            await asyncio.sleep(1.0)
            if app.crashed or (app.should_stop and not self._over.is_set()):
                self._stop(EXIT_STUCK, f"Faust stopped ({type(app.crash_reason).__name__}): start again")
            metrics.PROCESSOR_HELD_BYTES.set(self._budget.held)
            if time.monotonic() - self._collected > COLLECT_EVERY:
                self._collected = time.monotonic()
                gc.collect()  # a fetch that aiokafka drops half-read is a cycle around a megabyte and more
            if time.monotonic() - self._looked > LOOK_EVERY:
                await self._look()

    _looked = _collected = 0.0

    async def _look(self) -> None:
        """Ends of the owned partitions, by a client that has nothing to do with Faust's.

        Without any, the end of the first one: an outage takes the partitions away, and must show all the same.
        """
        self._looked = time.monotonic()
        loop, owned = asyncio.get_running_loop(), self.owned()
        for partition in owned or (0,):
            try:
                _, end = await loop.run_in_executor(self._pool, self._offsets.watermarks, self._topics.raw, partition)
            except Exception as exc:
                log.warning("the end of %s[%d] is not to be had: %s", self._topics.raw, partition, type(exc).__name__)
                return
            if partition in owned:
                metrics.PROCESSOR_LAG.labels(str(partition)).set(owned[partition].lag(end))
        self._answered = time.monotonic()
        self._note_owned()

    def _note_owned(self) -> None:
        owned = self.owned()
        metrics.OWNED.labels("processor").set(len(owned))
        for partition, lane in owned.items():
            metrics.PROCESSOR_BLOCKED.labels(str(partition)).set(lane.alarm)
        for partition in self._lanes.keys() - owned.keys():
            for gauge in metrics.OF_OWNED:
                with suppress(KeyError):
                    gauge.remove(str(partition))

    def healthy(self) -> str | None:
        """None, or what is wrong: called by the admin server's threads."""
        now = time.monotonic()
        for followed in (self._reference, self._ruling):
            if followed is not None and (missing := followed.missing()) is not None:
                return missing
        consumer = self._consumer
        if consumer is not None and now - consumer.ticked > self._stalled_after / 2:
            return f"the event loop has not run for {now - consumer.ticked:.0f} s: restart the process"
        for lane in self.owned().values():
            if lane.alarm:
                return f"{lane.name}: {lane.trouble}"
            if lane.behind and now - lane.moved > self._stalled_after:
                why = lane.trouble or "no error was reported"
                return f"{lane.name}: offset {lane.position} has not moved for {now - lane.moved:.0f} s ({why})"
        if now - self._answered > self._stalled_after:
            return f"Kafka {self._cluster.bootstrap} has not answered for {now - self._answered:.0f} s"
        return None


def _classes(values: settings.Processor) -> frozenset[str]:
    """Retention classes that an event may have."""
    return frozenset({values.retention_class, *(name.strip() for name in values.retention_classes.split(","))})

"""Stands in for producers, processor and sink, step by step on real servers, and remembers what must have been visible when."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from connectors import avro
from connectors.kafka import cluster_of, producer_config
from connectors.kafka_marks import Positions
from connectors.kafka_trim import delete_before
from pipeline import settings
from pipeline.export.watermark import Complete, Points, Safety, Watermark
from tests import export_service, processing
from tests.space import Space


@dataclass
class Raw:
    """A raw record: append time (ms), whether it becomes a clean event, and that event's offset once it is written."""

    offset: int
    time: int
    clean: bool
    event: dict[str, object]
    clean_offset: int | None = None


@dataclass
class Log:
    """One partition: its raw records, how many are processed, how many clean events are stored."""

    raw: list[Raw] = field(default_factory=list)
    processed: int = 0
    stored: int = 0

    @property
    def clean(self) -> list[Raw]:
        return [r for r in self.raw[: self.processed] if r.clean]


class World:
    """``space`` is provisioned. Nothing else may run on it."""

    def __init__(self, space: Space, partitions: int = 4) -> None:
        self.space, self.logs = space, [Log() for _ in range(partitions)]
        self.raw, self.events = f"{space.name}.raw", f"{space.name}.events"
        self.admin = processing.cluster(space, "admin")
        self._producer = Producer(producer_config(self.admin, linger_ms=50))
        self._lane = Producer(producer_config(self.admin, transactional_id=f"{space.name}-test"))
        self._lane.init_transactions(30)
        self._group = Consumer({**self.admin.config(), "group.id": f"{space.name}-processor"})
        self._clickhouse = export_service.connect(space, "export")
        self._positions = Positions(cluster_of(dict(space.settings(settings.Export))))
        self.asked: list[Complete] = []

    def close(self) -> None:
        self._group.close()
        self._clickhouse.close()

    def watermark(self, safety: Safety | None = None, points: Points = lambda _: None) -> Watermark:
        """One that remembers nothing yet, as the service's own user."""
        return Watermark(self.space.name, lambda: self._positions, self._clickhouse, 0.0, safety=safety, points=points, keep=-1.0)

    def append(self, partition: int, count: int = 1, clean: bool = True) -> None:
        """Records of one batch, so with one append time."""
        done: list[Message] = []
        for _ in range(count):
            self._producer.produce(self.raw, b"x", partition=partition, on_delivery=lambda _, m: done.append(m))
        assert self._producer.flush(30) == 0
        log = self.logs[partition]
        for message in done:
            event = {
                "event_id": str(uuid.uuid4()),
                "tenant_id": "demo",
                "occurred_at": 1_793_577_600_000_000,
                "processed_raw_partition": partition,
                "processed_raw_offset": message.offset(),
                "processed_ingested_at": message.timestamp()[1] * 1000,
            }
            log.raw.append(Raw(message.offset(), message.timestamp()[1], clean, event))

    def process(self, partition: int, count: int = 1000) -> None:
        """The next records in one transaction: clean events and the group's offset, as the processor does."""
        log = self.logs[partition]
        batch = log.raw[log.processed : log.processed + count]
        if not batch:
            return
        self._lane.begin_transaction()
        for record in batch:
            if record.clean:
                self._lane.produce(self.events, b"x", partition=partition, on_delivery=_noted(record))
        end = TopicPartition(self.raw, partition, batch[-1].offset + 1)
        self._lane.send_offsets_to_transaction([end], self._group.consumer_group_metadata(), 30)
        self._lane.commit_transaction(30)
        log.processed += len(batch)

    def store(self, partition: int, count: int = 1000) -> None:
        """The next clean events into ClickHouse, then the sink's commit; to the log's end where nothing is left."""
        log = self.logs[partition]
        rows = log.clean[log.stored : log.stored + count]
        if rows:
            batch = processing.batch([r.event for r in rows])
            offsets = [r.clean_offset or 0 for r in rows]
            export_service.store(self.space, avro.conform(batch), [partition] * len(rows), offsets)
            log.stored += len(rows)
            export_service.mark(self.space, {partition: offsets[-1] + 1})
        elif log.stored == len(log.clean):
            end = self._group.get_watermark_offsets(TopicPartition(self.events, partition), 30)[1]
            if end > 0:
                export_service.mark(self.space, {partition: end})

    def delete(self, partition: int) -> None:
        """What the janitor does: raw records that are processed."""
        log = self.logs[partition]
        if log.processed:
            delete_before(self.admin, self.raw, {partition: log.raw[log.processed - 1].offset + 1})

    def drain(self) -> None:
        """Everything processed and stored, the sink at the log's end."""
        for partition in range(len(self.logs)):
            self.process(partition)
            self.store(partition)
            self.store(partition)

    def ask(self, watermark: Watermark) -> Complete:
        self.asked.append(watermark.now())
        return self.asked[-1]

    def violations(self) -> list[tuple[int, int]]:
        """(partition, raw offset) of every event that an answer called complete but that its marks did not show."""
        found = []
        for complete in self.asked:
            until = int(complete.until.timestamp() * 1000)
            for partition, log in enumerate(self.logs):
                for r in log.raw:
                    shown = r.clean_offset is not None and r.clean_offset < complete.marks.ends[partition]
                    if r.clean and r.time < until and not shown:
                        found.append((partition, r.offset))
        return found

    def wander(self, steps: int, seed: int, safety: Safety | None = None) -> None:
        """Random steps of everybody on three partitions (the last one stays empty), with questions in between, then the end."""
        choice = random.Random(seed)
        kept = self.watermark(safety)
        for _ in range(steps):
            partition = choice.randrange(len(self.logs) - 1)
            step = choice.choice(["append", "append", "process", "store", "store", "delete", "ask", "ask"])
            if step == "append":
                self.append(partition, choice.randint(1, 3), clean=choice.random() < 0.7)
            elif step == "process":
                self.process(partition, choice.randint(1, 4))
            elif step == "store":
                self.store(partition, choice.randint(1, 4))
            elif step == "delete":
                self.delete(partition)
            else:
                self.ask(choice.choice([kept, self.watermark(safety)]))
        self.drain()


def _noted(record: Raw) -> object:
    def delivered(_: object, message: Message) -> None:
        record.clean_offset = message.offset()

    return delivered

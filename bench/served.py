"""The steps that need servers, each alone: produce, transaction, fetch, ClickHouse insert and read-back, S3; receiver; extract.

Each works through the pipeline's own code in this process (receiver and extract: in the part's process), CPU of the servers
beside it, at 0.6 and 2 KB with 30 % of events holding something to redact. `python -m bench.steps insert` runs one of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as AioPartition
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench import export, ingest
from bench.figures import Meter, Row, servers_of
from bench.peer_world import Figure
from bench.steps import SIZES, Case
from connectors import avro, parquet
from connectors.clickhouse.client import Client
from connectors.clickhouse.store import ClickHouseStore
from connectors.kafka import SILENT, cluster_of, producer_config
from connectors.kafka_faust_thread import FETCH_BYTES, FETCH_WAIT_MS
from connectors.kafka_lanes import GroupOffsets, Output, Session
from connectors.kafka_partitions import sink_config, topic_id_of
from connectors.ranges import Plan, Rows
from infra.stack import Stack
from pipeline import settings
from tests import archive_bucket, space
from tests.processing import PARTITIONS, event_frame, processor_cluster
from tests.waiting import until

MADE, SHARE = 10_000, 0.3
PRODUCED, COMMITTED = 40_000, 10_000
INSERTS, READ_BACKS, OBJECTS = 10, 3, 5


class Served:
    """Events of one size, and the clients of each step in a namespace. ``lane``: a partition of its own."""

    def __init__(self, one: space.Space, size: int, lane: int) -> None:
        self.space, self.lane, self.inserted = one, lane, 0
        self.servers = servers_of(one.env)
        self.values = one.settings(settings.Migrate)
        self.cluster = cluster_of(dict(self.values))
        self.case = Case(size, SHARE, MADE, one.folder)
        frame = event_frame(one)
        self.framed = [frame + body for body in avro.encode(self.case.clean.columns)]
        self.topic, self.held = f"{one.name}.step-{size}", 0
        admin = AdminClient({**self.cluster.config(), **SILENT})
        admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(30)
        self._session: Session | None = None
        self._plans: list[Plan] = []

    def produce(self) -> Figure:
        producer = Producer(producer_config(self.cluster, queue_buffering_max_messages=PRODUCED + 1))
        producer.list_topics(self.topic, 30)
        meter = Meter(self.servers)
        for n in range(PRODUCED):
            producer.produce(self.topic, self.framed[n % MADE], partition=n % PARTITIONS)
        left = producer.flush(120)
        self.held += PRODUCED
        if left:
            raise SystemExit(f"Kafka has not taken {left} of {PRODUCED} events")
        return meter.figure(PRODUCED)

    def transaction(self) -> Figure:
        """Produce and commit of an offset, in transactions of 10,000 events."""
        raw, events = f"{self.space.name}.raw", f"{self.space.name}.events"
        if self._session is None:
            cluster = processor_cluster(self.space)
            offsets = GroupOffsets(cluster, f"{self.space.name}-processor")
            self._session = Session(cluster, offsets, raw, self.lane, outputs=[events])
        outputs: list[Output] = [(events, b"key", value) for value in self.framed[:COMMITTED]]
        meter = Meter(self.servers)
        for _ in range(PRODUCED // COMMITTED):
            self._session.commit(outputs, self._session.position + COMMITTED)
        return meter.figure(PRODUCED)

    def fetch(self) -> Figure:
        """By librdkafka, as sinks do."""
        source = Consumer(sink_config(self.cluster, f"{self.space.name}-steps", "classic", 6000))
        source.list_topics(self.topic, 30)
        meter, seen = Meter(self.servers), 0
        source.assign([TopicPartition(self.topic, p, 0) for p in range(PARTITIONS)])
        while seen < self.held:
            seen += sum(1 for message in source.consume(10_000, 1.0) if message.error() is None)
        figure = meter.figure(seen)
        source.close()
        return figure

    def fetch_aiokafka(self) -> Figure:
        """By aiokafka, as the processor does."""
        return asyncio.run(self._fetch_aiokafka())

    async def _fetch_aiokafka(self) -> Figure:
        source = AIOKafkaConsumer(
            bootstrap_servers=self.cluster.bootstrap,
            security_protocol=self.cluster.security_protocol,
            sasl_mechanism=self.cluster.sasl_mechanism,
            sasl_plain_username=self.cluster.username,
            sasl_plain_password=self.cluster.password.value,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_min_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        await source.start()
        meter, seen = Meter(self.servers), 0
        source.assign([AioPartition(self.topic, p) for p in range(PARTITIONS)])
        while seen < self.held:
            seen += sum(map(len, (await source.getmany(timeout_ms=1000, max_records=10_000)).values()))
        figure = meter.figure(seen)
        await source.stop()
        return figure

    def insert(self) -> Figure:
        """Fenced inserts of planned ranges; the server's CPU with the merges that follow."""
        values, topic = self.space.settings(settings.ClickHouseSink), f"{self.space.name}.events"
        client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
        self._claim = ClickHouseStore(client, self.space.name).take_over(topic, topic_id_of(self.cluster, topic), self.lane)
        ranges = [(n, rows_at(self.case.clean, n)) for n in range(self.inserted, self.inserted + INSERTS * MADE, MADE)]
        place = (topic, str(self._claim.place["topic_id"]), self.lane)
        self._plans = [Plan(*place, at, at + MADE, MADE, avro.checksum(rows.digests)) for at, rows in ranges]
        meter = Meter(self.servers)
        for plan, (_, rows) in zip(self._plans, ranges, strict=True):
            memory = self._claim.open()
            memory.add(rows)
            self._claim.write(plan, memory)
        self.inserted += INSERTS * MADE
        return meter.figure(INSERTS * MADE, self._merged)

    def _merged(self) -> None:
        password = self.values.clickhouse_password.get_secret_value()
        client = Client(self.values.clickhouse_url, self.values.clickhouse_user, password)
        merging = "SELECT count() FROM system.merges WHERE database = {name:String}"
        until(lambda: client.rows(merging, {"name": self.space.name})[0][0] == 0, 20)
        client.close()

    def read_back(self) -> Figure:
        """The proof of what `insert` wrote."""
        meter = Meter(self.servers)
        for _ in range(READ_BACKS):
            for plan in self._plans:
                if not self._claim.prove(plan).equals(plan):
                    raise SystemExit(f"{plan}: ClickHouse holds something else")
        return meter.figure(READ_BACKS * INSERTS * MADE)

    def s3(self) -> Figure:
        """Create-only PUTs of Parquet objects."""
        path, bucket = self.space.folder / "object.parquet", archive_bucket.bucket(self.space, "archive")
        parquet.write(path, [parquet.columns_of(self.case.clean, self.lane)], {})
        meter = Meter(self.servers)
        for _ in range(OBJECTS):
            bucket.put(f"events/bench/{self.lane}-{time.monotonic_ns()}.parquet", path, {})
        return meter.figure(OBJECTS * MADE)


def rows_at(rows: Rows, start: int) -> Rows:
    """The same events at other offsets."""
    return Rows(rows.columns, rows.offsets + start, rows.timestamps, rows.digests)


CLIENTS: dict[str, Callable[[Served], Figure]] = {
    "produce": Served.produce,
    "transaction": Served.transaction,
    "fetch": Served.fetch,
    "fetch-aiokafka": Served.fetch_aiokafka,
    "insert": Served.insert,
    "read-back": Served.read_back,
    "s3": Served.s3,
}
STEPS = (*CLIENTS, "receiver", "extract")
NEEDS = {"fetch": "produce", "fetch-aiokafka": "produce", "read-back": "insert"}


def measure(one: space.Space, runs: int, wanted: Collection[str] = tuple(CLIENTS)) -> list[Row]:
    """A row for each step and size."""
    wanted = {*wanted, *(NEEDS[name] for name in wanted if name in NEEDS)}
    places = [Served(one, size, lane) for lane, size in enumerate(SIZES)]
    seen: dict[tuple[str, int], list[Figure]] = {}
    for _ in range(runs):
        for name in (n for n in CLIENTS if n in wanted):
            for place in places:
                seen.setdefault((name, place.lane), []).append(CLIENTS[name](place))
    return [Row.of("step", name, places[n].case.mean, SHARE, figures) for (name, n), figures in seen.items()]


def alone(folder: Path, runs: int, wanted: Collection[str]) -> list[Row]:
    """On a stack of its own."""
    rows: list[Row] = []
    with Stack(folder / "stack", namespaces=space.POOL[:2]) as stack:
        one = space.claim(stack, folder / "spaces")
        one.provision()
        if set(wanted) & set(CLIENTS):
            rows += measure(one, runs, wanted)
        if "receiver" in wanted:
            rows += [row for row, _ in ingest.rows(one, runs)]
        if "extract" in wanted:
            other = space.claim(stack, folder / "spaces")
            other.provision()
            rows.append(export.row(other, 250_000))
    return rows

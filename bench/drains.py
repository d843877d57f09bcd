"""One part of the pipeline, as one or more processes, with a topic of its own: drained from a standstill, or held at a low rate.

The load is one transaction: it becomes visible as a whole, when every process has its partitions, so neither the start of a
process nor a rebalance nor the load itself is in the figures.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self, cast

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

import schemas
from bench.shapes import Shape
from bench.watch import cpu_seconds, resident
from connectors import avro
from connectors.registry import SchemaRegistry
from infra.stack.server import base_environment
from infra.stack.servers.kafka import Kafka
from infra.stack.stack import CHECKOUT
from pipeline import settings
from tests import processing
from tests.space import Space
from tests.waiting import until

WARM, STEP = 8_000, 0.05
MADE = processing.PARTITIONS  # a topic has no fewer: a shape of less leaves the others empty
TOPICS = {"processor": "raw", "clickhouse-sink": "events", "archive-sink": "events"}
SERVERS = ("kafka", "clickhouse", "s3")


@dataclass
class Figures:
    """What a part did: CPU in seconds, of each of its processes and of the servers; ``peak_mb`` of the largest process."""

    part: str
    workers: int
    shape: dict[str, Any]
    bytes_an_event: float
    events: int
    seconds: float
    cpu: list[float]
    servers: dict[str, float]
    peak_mb: int
    rate: float = 0.0

    @property
    def events_a_second(self) -> float:
        return self.events / self.seconds

    @property
    def per_million(self) -> float:
        """CPU seconds of all its processes for a million events."""
        return sum(self.cpu) / self.events * 1e6


@dataclass
class Running:
    """``with Running(space, "processor", Shape(), 2) as r:`` all processes have partitions when the body begins.

    The space is provisioned and used by nobody else. ``written``: events in the topic; number n lies in partition
    n % partitions. ``tuning``: settings without AUDITWIRE_.
    """

    space: Space
    part: str
    shape: Shape
    workers: int = 1
    tuning: Mapping[str, object] = field(default_factory=dict)
    written: int = 0
    size: int = 0

    def __post_init__(self) -> None:
        self.topic, self.group = f"{self.space.name}.{TOPICS[self.part]}", f"{self.space.name}-{self.part}"
        self.client = cast(Kafka, self.space.stack.servers["kafka"]).client("admin")
        self._admin = AdminClient({**self.client, "log_level": 0})
        self._processes: list[subprocess.Popen[bytes]] = []
        registry = SchemaRegistry(self.space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
        self._frame = avro.frame(registry.id_of(f"{self.topic}-value", schemas.schema_text("audit_event")))
        registry.close()
        ids = {"transactional.id": f"{self.space.name}-load", "transaction.timeout.ms": 300_000}
        tuned = {"linger.ms": 50, "compression.type": "zstd", "queue.buffering.max.messages": 2_000_000, "log_level": 0}
        self._plain, self._producer = Producer({**self.client, **tuned}), Producer({**self.client, **ids, **tuned})
        self._producer.init_transactions(60)
        self._commits = Consumer({**self.client, "group.id": self.group, "log_level": 0})

    def __enter__(self) -> Self:
        if self.shape.partitions > MADE:
            names = [f"{self.space.name}.{name}" for name in ("raw", "events", "quarantine", "ledger")]
            for done in self._admin.create_partitions([NewPartitions(n, self.shape.partitions) for n in names]).values():
                done.result()
        self._processes = [self._start(number) for number in range(self.workers)]
        until(self._assigned, 90, self.text)
        self.load(WARM)
        until(self.done, 90, self.text)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(60)
        self._commits.close()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        folder = self.space.folder
        own = {"processor": "PROCESSOR_DATA_DIR", "archive-sink": "ARCHIVE_SINK_SPILL_DIR"}.get(self.part)
        tuning = {**({own: folder / f"{self.part}-{number}"} if own else {}), **self.tuning}
        env = {**base_environment(), **self.space.part_env(self.part, **tuning)}
        with (folder / f"{self.part}-{number}.log").open("wb") as out:
            argv = [sys.executable, "-m", "pipeline", self.part]
            return subprocess.Popen(argv, env=env, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def text(self) -> str:
        """The end of the processes' logs."""
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in self.space.folder.glob(f"{self.part}-*.log"))

    def _assigned(self) -> bool:
        """Every process is a member with partitions, and none is left over."""
        if any(process.poll() is not None for process in self._processes):
            raise RuntimeError(f"{self.part} has ended: {self.text()}")
        try:
            members = self._admin.describe_consumer_groups([self.group])[self.group].result().members
        except KafkaException:  # a broker that has just begun may still be loading its groups
            return False
        shares = [sum(p.topic == self.topic for p in m.assignment.topic_partitions) for m in members if m.assignment]
        return len(shares) == self.workers and all(shares) and sum(shares) == max(MADE, self.shape.partitions)

    def load(self, count: int) -> None:
        """So many events more, as one transaction."""
        self._producer.begin_transaction()
        self._produce(self._producer, count)
        self._producer.flush(120)
        self._producer.commit_transaction(120)

    def _produce(self, producer: Producer, count: int) -> None:
        bodies = self.shape.bodies(self.written, count, clean=self.topic.endswith(".events"))
        for number, body in enumerate(bodies, self.written):
            producer.produce(self.topic, self._frame + body, partition=number % self.shape.partitions)
            self.size += len(body)
        producer.poll(0)
        self.written += count

    def done(self) -> bool:
        """Whether the group has committed everything that was written."""
        ends = self._commits.get_watermark_offsets
        places = [TopicPartition(self.topic, p) for p in range(self.shape.partitions)]
        have = {p.partition: p.offset for p in self._commits.committed(places, 20)}
        return all(have[p.partition] >= ends(p, 20)[1] - 1 for p in places)  # the last of all is the transaction's marker

    def drained(self, count: int) -> Figures:
        """Load so many events and time until the group has committed them."""
        size = self.size
        self._producer.begin_transaction()
        self._produce(self._producer, count)
        self._producer.flush(120)
        before, servers, began = self._cpu(), self._server_cpu(), time.monotonic()
        self._producer.commit_transaction(120)
        until(self.done, 400, self.text)
        return self._figures(count, self.size - size, time.monotonic() - began, before, servers)

    def held(self, rate: float, seconds: float) -> Figures:
        """A steady trickle without transactions; what the processes and servers spent while it lasted."""
        size, first = self.size, self.written
        before, servers, began = self._cpu(), self._server_cpu(), time.monotonic()
        for step in range(1, int(seconds / STEP) + 1):
            self._produce(self._plain, int(step * STEP * rate) - (self.written - first))
            time.sleep(max(0.0, began + step * STEP - time.monotonic()))
        found = self._figures(self.written - first, self.size - size, time.monotonic() - began, before, servers)
        self._plain.flush(60)
        found.rate = rate
        return found

    def _cpu(self) -> list[float]:
        return [cpu_seconds({"": process.pid})[""] for process in self._processes]

    def _server_cpu(self) -> dict[str, float]:
        return cpu_seconds({name: self.space.stack.pid(name) for name in SERVERS})

    def _figures(self, events: int, size: int, seconds: float, before: list[float], servers: Mapping[str, float]) -> Figures:
        cpu = [round(now - then, 3) for now, then in zip(self._cpu(), before, strict=True)]
        spent = {name: round(used - servers[name], 3) for name, used in self._server_cpu().items()}
        peak = max(int(resident(process.pid)) for process in self._processes)
        bytes_an_event = round(size / events, 1)
        return Figures(self.part, self.workers, asdict(self.shape), bytes_an_event, events, round(seconds, 3), cpu, spent, peak)


def log_bytes(space: Space, topic: str) -> int:
    """Bytes of a topic's log on the broker's disk (one replica)."""
    found = [path for path in (space.stack.directory / "kafka").rglob(f"{space.name}.{topic}-*/*.log") if path.is_file()]
    return sum(path.stat().st_size for path in found)


def table_bytes(space: Space) -> tuple[int, int]:
    """Rows and bytes on disk of the table of events once all its parts are merged."""
    from connectors.clickhouse.client import Client

    secret = space.stack.state.secrets["clickhouse_ops"]
    with closing(Client(space.env["AUDITWIRE_CLICKHOUSE_URL"], "ops", secret, 300)) as client:
        client.command("OPTIMIZE TABLE events FINAL", database=space.name)
        where = "active AND database = {name:String} AND table = 'events'"
        sql = f"SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE {where}"
        rows, size = client.rows(sql, {"name": space.name})[0]
    return int(rows), int(size)


def archive_bytes(space: Space) -> tuple[int, int]:
    """Objects and bytes of the archive, manifests included."""
    from connectors.s3 import Bucket

    values = space.settings(settings.Operator)
    secret = values.s3_secret_access_key.get_secret_value()
    bucket = Bucket(values.s3_endpoint, values.s3_region, values.s3_bucket, values.s3_access_key_id, secret)
    sizes = [found.size for key in bucket.keys("events/") if (found := bucket.head(key)) is not None]
    return len(sizes), sum(sizes)

"""The processor and the sinks against what else one could run, on the same events, in the same run: ratios of CPU.

    python -m bench.peers [--events 200000] [--peer-events 20000] [--dirty 0.3] [--runs 1]

Starts a stack of its own. Each run: the processor drains a preloaded raw topic, the ClickHouse sink and the archive sink drain
what it wrote; a naive consumer (poll, fastavro, `re`, clickhouse-driver rows) and a stock Faust agent read the first events of
the same topic (`bench.naive`); and the limits: bare fetch, bare produce, INSERT SELECT on the server, memcpy. What the naive
consumer stored is compared with what the pipeline stored, field by field. Exit code 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from bench.archive_sink import peak_mb
from bench.stages import ABSENT, event
from connectors.clickhouse.client import Client
from connectors.kafka import SILENT, cluster_of, consumer_config, producer_config
from infra.stack import Stack
from pipeline import settings
from schemas import event_fields
from tests import space
from tests.archive_sink import ArchiveProcess
from tests.processing import PARTITIONS, Worker, bodies, committed, event_frame
from tests.sinks import SinkProcess
from tests.waiting import until

WRITTEN = ("processed_",)
SERVERS = {"kafka": "AUDITWIRE_KAFKA_BOOTSTRAP", "clickhouse": "AUDITWIRE_CLICKHOUSE_URL", "s3": "AUDITWIRE_S3_ENDPOINT"}


@dataclass(frozen=True)
class Figure:
    """CPU seconds of the client and of the servers, and how long it took, for so many events."""

    events: int
    cpu: float
    seconds: float
    servers: dict[str, float]
    peak_mb: float = float("nan")

    @property
    def per_million(self) -> float:
        return self.cpu / self.events * 1e6


class World:
    """A namespace with raw events, and who listens where."""

    def __init__(self, one: space.Space, count: int, dirty: float) -> None:
        self.space, self.count = one, count
        self.values = one.settings(settings.Migrate)
        self.cluster = cluster_of(dict(self.values))
        native = {"AUDITWIRE_CLICKHOUSE_NATIVE": f"127.0.0.1:{one.stack.state.ports['clickhouse_tcp']}"}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)} | one.env | native
        self._servers = {name: _listener(one.env[variable]) for name, variable in SERVERS.items()}
        self.size = self._preload(dirty)
        self.clickhouse = Client(
            self.values.clickhouse_url, self.values.clickhouse_user, self.values.clickhouse_password.get_secret_value(), 600
        )

    def _preload(self, dirty: float) -> float:
        rng, frame = random.Random(7), event_frame(self.space)
        made = [ABSENT | event(rng, i, rng.random() < dirty) for i in range(min(self.count, 20_000))]
        producer = Producer(producer_config(self.cluster, queue_buffering_max_messages=self.count + 1, linger_ms=50))
        total = 0
        for start in range(0, self.count, len(made)):
            ids = [
                {**one, "event_id": f"{start + n:08x}-0000-4000-8000-{n:012x}", "sequence": start + n}
                for n, one in enumerate(made)
            ]
            for n, body in enumerate(bodies(ids)):
                producer.produce(f"{self.space.name}.raw", frame + body, partition=n % PARTITIONS)
                total += len(body)
        if producer.flush(120):
            raise SystemExit("not all events were taken by Kafka")
        return total / self.count

    @contextmanager
    def servers(self, spent: dict[str, float]) -> Iterator[None]:
        """Adds the CPU seconds of the servers meanwhile."""
        before = {name: _cpu(process) for name, process in self._servers.items()}
        yield
        spent.update({name: _cpu(process) - before[name] for name, process in self._servers.items()})

    def drained(self, pid: int, ready: Callable[[], bool], done: Callable[[], int], events: int) -> Figure:
        """Measure a process from where it is ``ready`` until ``done`` says ``events``."""
        process, spent = psutil.Process(pid), dict[str, float]()
        until(ready, 120)
        with self.servers(spent):
            before, cpu, began = done(), _cpu(process), time.monotonic()
            until(lambda: done() >= events, 900)
            used, seconds = _cpu(process) - cpu, time.monotonic() - began
        return Figure(max(1, events - before), used, seconds, spent, peak_mb(pid))


def _listener(address: str) -> psutil.Process:
    port = int(address.rpartition(":")[2].rstrip("/"))
    found = (c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port)
    return psutil.Process(next(pid for pid in found if pid))


def _cpu(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


def processor(world: World) -> Figure:
    worker = Worker(world.space, "bench")
    try:

        def done() -> int:
            return sum(max(0, offset) for offset in committed(world.space))

        return world.drained(worker.process.pid, lambda: done() > 0, done, world.count)
    finally:
        worker.stop()


def clickhouse_sink(world: World) -> Figure:
    with SinkProcess(world.space, overrides={"CLICKHOUSE_SINK_FLUSH_MS": 500}) as sink:
        assert sink.process is not None
        figure = world.drained(
            sink.process.pid, lambda: "assigned" in sink.log.read_text(), lambda: _stored(world, "events"), world.count
        )
        sink.end(signal.SIGTERM)
    return figure


def archive_sink(world: World) -> Figure:
    limits = {"ARCHIVE_SINK_FLUSH_BYTES": 32 << 20, "ARCHIVE_SINK_FLUSH_SECONDS": 5}
    group = f"{world.space.name}-archive-sink"
    with ArchiveProcess(world.space, overrides=limits) as sink:
        figure = world.drained(
            sink.process.pid, lambda: "assigned" in sink.text(), lambda: _committed(world, group), _ends(world)
        )
        sink.end(signal.SIGTERM)
    return Figure(world.count, figure.cpu, figure.seconds, figure.servers, figure.peak_mb)


def _stored(world: World, table: str) -> int:
    return int(world.clickhouse.rows(f"SELECT count() FROM {table}", database=world.space.name)[0][0])


def _committed(world: World, group: str) -> int:
    from connectors.kafka_lanes import GroupOffsets

    offsets = GroupOffsets(world.cluster, group)
    found = sum(offsets.committed(f"{world.space.name}.events", p) or 0 for p in range(PARTITIONS))
    offsets.close()
    return found


def _ends(world: World) -> int:
    """Where the archive sink's commits end: behind the last event of each partition."""
    query = "SELECT sum(end) FROM (SELECT max(kafka_offset) + 1 AS end FROM events GROUP BY kafka_partition)"
    return int(world.clickhouse.rows(query, database=world.space.name)[0][0])


def _create(world: World, topic: str) -> None:
    admin = AdminClient({**world.cluster.config(), **SILENT})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        made.result(30)


def peer(world: World, name: str, count: int) -> Figure:
    """A program of `bench.naive`."""
    ns = world.space.name
    if name == "consumer":
        world.clickhouse.command("CREATE TABLE naive AS events", database=ns)
    topic = f"{ns}.stock-{time.monotonic_ns()}"
    _create(world, topic)
    argv = [sys.executable, "-m", "bench.naive", name, "--count", str(count), "--topic", topic]
    spent: dict[str, float] = {}
    with world.servers(spent):
        done = subprocess.run(argv, env=world.env, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"bench.naive {name}: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    return Figure(said["events"], said["cpu"], said["seconds"], spent, said["peak_mb"])


def fetch(world: World) -> Figure:
    """Bare fetch of the raw topic."""
    source = Consumer({**consumer_config(world.cluster, f"{world.space.name}-bare"), "auto.offset.reset": "earliest"})
    source.subscribe([f"{world.space.name}.raw"])
    while not (first := source.consume(1, 1.0)):
        pass

    def step() -> None:
        seen = len(first)
        while seen < world.count:
            seen += len(source.consume(10_000, 1.0))

    figure = _timed(world, step)
    source.close()
    return figure


def produce(world: World) -> Figure:
    """Bare produce of as many bytes, acknowledged by all replicas."""
    topic, value = f"{world.space.name}.bare", os.urandom(int(world.size) // 2) + b" " * (int(world.size) // 2)
    _create(world, topic)
    target = Producer(producer_config(world.cluster, queue_buffering_max_messages=world.count + 1))

    def step() -> None:
        for n in range(world.count):
            target.produce(topic, value, partition=n % PARTITIONS)
        target.flush(120)

    return _timed(world, step)


def insert_select(world: World) -> Figure:
    """INSERT SELECT of all events on the server."""
    world.clickhouse.command("CREATE TABLE copied AS events", database=world.space.name)
    return _timed(world, lambda: world.clickhouse.command("INSERT INTO copied SELECT * FROM events", database=world.space.name))


def memcpy(world: World) -> Figure:
    """A copy of as many bytes in memory."""
    source = np.ones(int(world.size * world.count), np.uint8)
    target = np.zeros_like(source)
    return _timed(world, lambda: np.copyto(target, source))


def _timed(world: World, step: Callable[[], object]) -> Figure:
    spent: dict[str, float] = {}
    with world.servers(spent):
        cpu, began = time.process_time(), time.monotonic()
        step()
        used, seconds = time.process_time() - cpu, time.monotonic() - began
    return Figure(world.count, used, seconds, spent)


def differences(world: World) -> list[str]:
    """Events that the naive consumer stored otherwise than the pipeline, by what producers gave."""
    if not _stored(world, "naive"):
        return ["(nothing was stored by the naive consumer)"]
    names = [name for name in event_fields() if not name.startswith(WRITTEN)]
    columns = ", ".join(names)
    sql = f"SELECT event_id FROM (SELECT {columns} FROM naive EXCEPT SELECT {columns} FROM events) LIMIT 5"
    return [str(row[0]) for row in world.clickhouse.rows(sql, database=world.space.name)]


def run(stack: Stack, folder: Path, args: argparse.Namespace, say: Callable[[str], None]) -> tuple[dict[str, Figure], list[str]]:
    """All figures of one run in a namespace of its own, and where the results differ."""
    one = space.claim(stack, folder)
    one.provision()
    world = World(one, args.events, args.dirty)
    say(f"{args.events} events of {world.size:.0f} bytes, {args.dirty:.0%} with something to redact")
    found: dict[str, Figure] = {}
    steps: dict[str, Callable[[], Figure]] = {
        "processor": lambda: processor(world),
        "ClickHouse sink": lambda: clickhouse_sink(world),
        "archive sink": lambda: archive_sink(world),
        "naive Python, Kafka to ClickHouse": lambda: peer(world, "consumer", args.peer_events),
        "stock Faust agent, Kafka to Kafka": lambda: peer(world, "faust", args.peer_events),
        "bare fetch": lambda: fetch(world),
        "bare produce": lambda: produce(world),
        "INSERT SELECT on the server": lambda: insert_select(world),
        "memcpy": lambda: memcpy(world),
    }
    for name, step in steps.items():
        found[name] = step()
        say(f"{name}: {found[name].per_million:.2f} CPU s/M, {found[name].events / found[name].seconds:,.0f} events/s")
    differ = differences(world)
    world.clickhouse.close()
    return found, differ


def table(runs: list[dict[str, Figure]]) -> Table:
    """The medians for people, and what they come to against the peers."""
    made = Table("what", "client CPU s/M", "servers CPU s/M", "events/s", "peak MB", "lowest–highest")
    median = {name: statistics.median(r[name].per_million for r in runs) for name in runs[0]}
    for name in runs[0]:
        figures = [r[name] for r in runs]
        spent = {s: statistics.median(f.servers[s] / f.events * 1e6 for f in figures) for s in SERVERS}
        rate = statistics.median(f.events / f.seconds for f in figures)
        cpu = [f.per_million for f in figures]
        servers = ", ".join(f"{s} {v:.1f}" for s, v in spent.items() if v >= 0.05)
        made.add_row(
            name,
            f"{median[name]:.2f}",
            servers,
            f"{rate:,.0f}",
            f"{max(f.peak_mb for f in figures):.0f}",
            f"{min(cpu):.2f}–{max(cpu):.2f}",
        )
    ours = median["processor"] + median["ClickHouse sink"]
    made.add_section()
    made.add_row("naive Python ÷ (processor + ClickHouse sink)", f"{median['naive Python, Kafka to ClickHouse'] / ours:.1f}")
    made.add_row("stock Faust agent ÷ processor", f"{median['stock Faust agent, Kafka to Kafka'] / median['processor']:.1f}")
    limits = median["bare fetch"] + median["bare produce"]
    made.add_row("processor ÷ (bare fetch + bare produce)", f"{median['processor'] / limits:.1f}")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--peer-events", type=int, default=20_000, help="how many the slow peers read")
    parser.add_argument("--dirty", type=float, default=0.3, help="share of events that hold something to redact")
    parser.add_argument("--runs", type=int, default=1)
    args = parser.parse_args()
    console = Console(stderr=True, soft_wrap=True)
    runs, differ = [], list[str]()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), namespaces=space.POOL, fast_jvm=True) as stack:
        for _ in range(args.runs):
            found, wrong = run(stack, Path(folder) / "spaces", args, lambda text: console.print(text, style="dim"))
            runs.append(found)
            differ += wrong
    Console(soft_wrap=True).print(table(runs))
    for identity in differ:
        console.print(f"DIFFERENT: {identity} is not in both stores with the same fields")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())

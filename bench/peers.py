"""The processor and the sinks against what else one could run, on the same events, in the same run: ratios of CPU.

    python -m bench.peers [--events 400000] [--peer-events 20000] [--dirty 0.3] [--runs 1]

Starts a stack of its own. Each run: the processor drains a preloaded raw topic, the ClickHouse sink and the archive sink drain
what it wrote. The same topic is read from its beginning by the peers: a compiled consumer (Go, `bench.compiled_peer`; left out
where there is no Go), once as one would write it and once with the patterns alone; the pipeline's own code in one process
without its promises (`bench.bare`); a naive consumer and a stock Faust agent (`bench.naive`), which are slow and get
--peer-events. Last the limits: bare fetch, bare produce, INSERT SELECT on the server, memcpy. What the peers stored is compared
with what the pipeline stored, field by field. Exit code 1 where they differ.

CPU is that of a process from its first instruction to its last event; "warm" is without the first fifth of the events (or the
first block that ends behind it). Compare the warm ratios: the runs differ in length, and so in what warm-up weighs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Producer
from rich.console import Console

from bench import compiled_peer
from bench.peer_table import BARE, COMPILED, NAIVE, PLAIN, STOCK, table
from bench.peer_world import SERVERS, Figure, World
from connectors.kafka import consumer_config, producer_config
from infra.stack import Stack
from tests import space
from tests.archive_sink import ArchiveProcess
from tests.processing import PARTITIONS, Worker, committed
from tests.sinks import SinkProcess

__all__ = ["SERVERS", "Figure", "World"]  # what the other programs here take from this one


def processor(world: World) -> Figure:
    worker = Worker(world.space, "bench")
    try:

        def done() -> int:
            return sum(max(0, offset) for offset in committed(world.space))

        return world.drained(worker.process.pid, lambda: True, done, world.count)
    finally:
        worker.stop()


def clickhouse_sink(world: World) -> Figure:
    with SinkProcess(world.space, overrides={"CLICKHOUSE_SINK_FLUSH_MS": 500}) as sink:
        assert sink.process is not None
        figure = world.drained(sink.process.pid, lambda: True, lambda: world.stored("events"), world.count)
        sink.end(signal.SIGTERM)
    return figure


def archive_sink(world: World) -> Figure:
    limits = {"ARCHIVE_SINK_FLUSH_BYTES": 32 << 20, "ARCHIVE_SINK_FLUSH_SECONDS": 5}
    group = f"{world.space.name}-archive-sink"
    with ArchiveProcess(world.space, overrides=limits) as sink:
        figure = world.drained(sink.process.pid, lambda: True, lambda: _committed(world, group), _ends(world))
        sink.end(signal.SIGTERM)
    return figure


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


def peer(world: World, *argv: str) -> Figure:
    """A program that prints its own figures as one line of JSON."""
    spent: dict[str, float] = {}
    with world.servers(spent):
        done = subprocess.run(argv, env=world.env, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    warm = said["warm"] and Figure(said["warm"]["events"], said["warm"]["cpu"], said["warm"]["seconds"], {})
    return Figure(said["events"], said["cpu"], said["seconds"], spent, said["peak_mb"], warm)


def python_peer(world: World, module: str, count: int, *argv: str) -> Figure:
    return peer(world, sys.executable, "-m", module, *argv, "--count", str(count))


def faust(world: World, count: int) -> Figure:
    topic = f"{world.space.name}.stock-{time.monotonic_ns()}"
    world.create_topic(topic)
    return python_peer(world, "bench.naive", count, "faust", "--topic", topic)


def storing(world: World, table: str, count: int, step: Callable[[], Figure]) -> tuple[Figure, list[str]]:
    """The figure of a peer that fills a table, and what is different in it."""
    world.create_table(table)
    return step(), world.differences(table, count)


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
    world.create_topic(topic)
    target = Producer(producer_config(world.cluster, queue_buffering_max_messages=world.count + 1))

    def step() -> None:
        for n in range(world.count):
            target.produce(topic, value, partition=n % PARTITIONS)
        target.flush(120)

    return _timed(world, step)


def insert_select(world: World) -> Figure:
    """INSERT SELECT of all events on the server."""
    world.create_table("copied")
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


LIMITS: dict[str, Callable[[World], Figure]] = {
    "bare fetch": fetch,
    "bare produce": produce,
    "INSERT SELECT on the server": insert_select,
    "memcpy": memcpy,
}
FOOTNOTE = (
    "Peers store at least once, without transactions, deduplication, ledger, fence, read-back, quarantine and enrichment. "
    "ClickHouse's Kafka engine is not among them: it does not start in the server that the local stack has (chdb 4.4.0)."
)


def storing_peers(world: World, program: Path | None, small: int) -> dict[str, tuple[str, int, Callable[[], Figure]]]:
    """Peers that fill a table: its name, how many events they read, how they run."""

    def compiled(table: str, count: int, plain: bool) -> Figure:
        task = compiled_peer.task(world.space.folder / f"{table}.json", table, count, world.space.name, plain)
        return peer(world, str(program), "-task", str(task))

    many, found = world.count, dict[str, tuple[str, int, Callable[[], Figure]]]()
    if program:
        found[COMPILED] = ("compiled", many, lambda: compiled("compiled", many, plain=False))
        found[PLAIN] = ("compiled_plain", small, lambda: compiled("compiled_plain", small, plain=True))
    found[BARE] = ("bare", many, lambda: python_peer(world, "bench.bare", many, "--table", "bare"))
    found[NAIVE] = ("naive", small, lambda: python_peer(world, "bench.naive", small, "consumer", "--table", "naive"))
    return found


def run(
    stack: Stack, folder: Path, args: argparse.Namespace, program: Path | None, say: Callable[[str], None]
) -> tuple[dict[str, Figure], list[str]]:
    """All figures of one run in a namespace of its own, and where the results differ."""
    one = space.claim(stack, folder)
    one.provision()
    world = World(one, args.events, args.dirty)
    say(f"{args.events} events of {world.size:.0f} bytes, {args.dirty:.0%} with something to redact")
    found, differ = dict[str, Figure](), list[str]()

    def note(name: str, figure: Figure) -> None:
        found[name] = figure
        warm = figure.steady
        say(f"{name}: {figure.per_million:.2f} CPU s/M, warm {warm.per_million:.2f}, {warm.events / warm.seconds:,.0f} events/s")

    for part, own in {"processor": processor, "ClickHouse sink": clickhouse_sink, "archive sink": archive_sink}.items():
        note(part, own(world))
    for name, (stored, count, step) in storing_peers(world, program, args.peer_events).items():
        figure, wrong = storing(world, stored, count, step)
        note(name, figure)
        differ += wrong
    note(STOCK, faust(world, args.peer_events))
    for name, limit in LIMITS.items():
        note(name, limit(world))
    world.clickhouse.close()
    return found, differ


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--peer-events", type=int, default=20_000, help="how many the slow peers read")
    parser.add_argument("--dirty", type=float, default=0.3, help="share of events that hold something to redact")
    parser.add_argument("--runs", type=int, default=1)
    args = parser.parse_args()
    console = Console(stderr=True, soft_wrap=True)
    runs, differ, program, left_out = [], list[str](), None, ""
    try:
        program = compiled_peer.build()
    except compiled_peer.LeftOutError as exc:
        left_out = f"The compiled peer is left out: {exc}."
        console.print(left_out)
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), namespaces=space.POOL, fast_jvm=True) as stack:
        for _ in range(args.runs):
            found, wrong = run(stack, Path(folder) / "spaces", args, program, lambda text: console.print(text, style="dim"))
            runs.append(found)
            differ += wrong
    out = Console(soft_wrap=True, width=170)
    out.print(table(runs))
    out.print(" ".join((FOOTNOTE, left_out)).strip())
    for identity in differ:
        console.print(f"DIFFERENT: {identity} is not what the pipeline stored")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())

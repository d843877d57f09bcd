"""The whole path under load: 200,000 events through the SDK and 20,000 through the receiver, every part and server running.

Checks: acknowledged ⊆ stored ⊆ attempted, no (tenant, event id) twice, ClickHouse = archive = extract = clean topic as
positions and digests. Prints events/s per stage, CPU seconds per million events per process, emit → queryable p50 and p99.
Exit code 1 when a check fails. `make faults` does the like while everything is broken on purpose.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import start_load
from bench.oracle import account
from bench.places import all_places
from bench.watch import Offsets, Probe, cpu_seconds, percentile
from infra.stack import Stack, env, own
from infra.stack.supervisor import Supervisor
from pipeline import settings

TENANTS = ["bench-a", "bench-b", "demo", "probe"]
TUNING = {"AUDITWIRE_ARCHIVE_SINK_FLUSH_SECONDS": "10"}


def main() -> int:
    """Exit code 0 when every check held."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.e2e", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sdk-events", type=int, default=200_000)
    parser.add_argument("--receiver-events", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=0.0, help="spread the load over so long (default: as fast as it goes)")
    parser.add_argument("--keep", action="store_true", help="keep the state directory")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    console = Console(stderr=True, soft_wrap=True)
    directory = Path(mkdtemp(prefix="auditwire-bench-"))
    try:
        figures = run(args, directory, console)
    finally:
        if not args.keep:
            shutil.rmtree(directory, ignore_errors=True)
    Console(soft_wrap=True).print(tables(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if figures["ok"] else 1


def run(args: argparse.Namespace, directory: Path, console: Console) -> dict[str, Any]:
    """Start everything, load it, wait until it is stored, compare. Returns the figures."""
    stack = Stack(directory / "state")
    token = _principal(directory / "state", stack)
    started = time.monotonic()
    with Supervisor(
        stack, own.settings_for(TUNING, stack.env, False), lambda text: console.print(text.splitlines()[0], style="dim")
    ) as up:
        seen = {**up.env, **env.looker_in(stack.state, up.env)}
        console.print(f"everything answers after {time.monotonic() - started:.1f} s; state in {directory}")
        over = threading.Event()
        probe, offsets = Probe(seen, over.is_set), Offsets(settings.load(settings.Operator, seen))
        probe.start()
        steady = _steady(seen, directory, probe)
        pids = {name: up.pid(name) for name in stack.names}
        before, load_start = cpu_seconds(pids), time.monotonic()
        loads = _loads(args, args.seconds, seen, directory)
        while any(load.poll() is None for load in loads):
            offsets.poll()
            time.sleep(0.2)
        load_seconds = time.monotonic() - load_start
        console.print(f"load has ended after {load_seconds:.1f} s")
        over.set()
        probe.join(60)
        offsets.drained(300)
        console.print(f"everything is stored {time.monotonic() - load_start:.1f} s after the load began; comparing")
        after = cpu_seconds(pids)
        said = [json.loads(load.communicate()[0]) for load in loads]
        places, differences, stored = all_places(seen, token, TENANTS, directory)
        total = args.sdk_events + args.receiver_events
        figures = {
            "load": said,
            "load_seconds": load_seconds,
            "events_per_second": {s: offsets.rate(s, total) for s in offsets.series},
            "cpu_per_million": {n: (after[n] - before[n]) / total * 1e6 for n in before},
            "latency_steady": _latency(steady),
            "latency_load": _latency(probe.seconds[len(steady) :]),
            "held": {p.name: len(p) for p in places},
            "differences": differences,
        }
        offsets.close()
    figures |= account(directory.glob("claims-*.txt"), stored)
    figures["ok"] = not (differences or figures["lost"] or figures["invented"] or figures["twice"])
    return figures


def _principal(directory: Path, stack: Stack) -> str:
    """A compliance officer of every tenant of the benchmark, beside the demo's."""
    token = secrets.token_urlsafe(32)
    env.write_token_files(directory, stack.state)
    with (directory / "export-principals.yaml").open("a", encoding="utf-8") as file:
        file.write(f"- name: bench\n  token_sha256: {hashlib.sha256(token.encode()).hexdigest()}\n")
        file.write(f"  tenants: {json.dumps(TENANTS)}\n  rights: [extract]\n")
    return token


def _loads(args: argparse.Namespace, seconds: float, seen: dict[str, str], directory: Path) -> list[subprocess.Popen[str]]:
    half = args.sdk_events // 2
    ways = [
        ("sdk", "bench-a", half, 1),
        ("sdk", "bench-b", args.sdk_events - half, 2),
        ("receiver", "demo", args.receiver_events, 3),
    ]
    return [
        _load(way, tenant, count, seed, count / seconds if seconds else 0.0, seen, directory) for way, tenant, count, seed in ways
    ]


def _load(
    way: str, tenant: str, count: int, seed: int, rate: float, seen: dict[str, str], directory: Path
) -> subprocess.Popen[str]:
    return start_load(way, tenant, count, seed, rate, seen, directory / f"claims-{way}-{tenant}-{seed}.txt")


def _steady(seen: dict[str, str], directory: Path, probe: Probe) -> list[float]:
    """Latency at 1,000 events/s for 15 seconds."""
    _load("sdk", "bench-a", 15_000, 9, 1000.0, seen, directory).wait()
    return list(probe.seconds)


def _latency(seconds: list[float]) -> dict[str, float]:
    return {"p50": percentile(seconds, 0.5), "p99": percentile(seconds, 0.99), "probes": len(seconds)}


def tables(figures: dict[str, Any]) -> Table:
    """The figures for people."""
    table = Table("figure", "value", title="End to end: " + ("every check held" if figures["ok"] else "A CHECK FAILED"))
    for name in ("attempted", "acknowledged", "stored", "probes", "lost", "invented", "twice"):
        table.add_row(name, f"{figures[name]:,}")
    for name, count in figures["held"].items():
        table.add_row(f"positions in {name}", f"{count:,}")
    for text in figures["differences"]:
        table.add_row("DIFFERENCE", text)
    for stage, rate in figures["events_per_second"].items():
        table.add_row(f"events/s {stage}", f"{rate:,.0f}")
    for load in figures["load"]:
        rate = load["count"] / (load["ended"] - load["started"])
        table.add_row(f"events/s {load['way']} (acknowledged)", f"{rate:,.0f} ({load['failed']} not acknowledged)")
    for name, cpu in figures["cpu_per_million"].items():
        table.add_row(f"CPU s per million: {name}", f"{cpu:.1f}")
    for name in ("latency_steady", "latency_load"):
        found = figures[name]
        table.add_row(
            f"emit → queryable, {name[8:]}", f"p50 {found['p50']:.2f} s, p99 {found['p99']:.2f} s ({found['probes']} probes)"
        )
    return table


if __name__ == "__main__":
    sys.exit(main())

"""From an emitted event to a query that finds it, at given rates: p50, p99, the longest, and what each process spends meanwhile.

    python -m bench.latency [--rates 100 1000 5000] [--seconds 30] [--set PROCESSOR_LINGER_MS=100 …]

Starts a stack and all parts of its own. The load comes from two processes with the SDK; a third emits 20 events a second and
looks for each. The first five seconds of a rate are not counted. ``--set`` compares settings: give it in runs of their own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.archive_sink import peak_mb
from bench.load import start_load
from bench.watch import Probe, cpu_seconds, percentile
from infra.stack import Stack, env, own
from infra.stack.supervisor import Supervisor

WARM_UP = 5.0
SHOWN = ("processor", "clickhouse-sink", "archive-sink", "kafka", "clickhouse")


def main() -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 1_000.0, 5_000.0], help="events a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each rate is held")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings, without AUDITWIRE_")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    directory = Path(mkdtemp(prefix="auditwire-latency-"))
    try:
        found = run(directory, args.rates, args.seconds, {f"AUDITWIRE_{n}": v for n, v in (s.split("=", 1) for s in args.set)})
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    Console(soft_wrap=True).print(table(found, " ".join(args.set)))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def run(directory: Path, rates: list[float], seconds: float, tuning: Mapping[str, str]) -> list[dict[str, Any]]:
    """A record for each rate; latencies in seconds, CPU in seconds per million events of the load, peaks since the start."""
    stack, found = Stack(directory / "state"), []
    with Supervisor(stack, own.settings_for(tuning, stack.env, False), lambda _: None) as up:
        seen = {**up.env, **env.looker_in(stack.state, up.env)}
        pids = {name: up.pid(name) for name in stack.names}
        for number, rate in enumerate(rates):
            over = threading.Event()
            probe = Probe(seen, over.is_set)
            count = int(rate / 2 * (seconds + WARM_UP))
            loads = [
                start_load("sdk", tenant, count, number + 1, rate / 2, seen, directory / f"claims-{tenant}-{number}.txt")
                for tenant in ("bench-a", "bench-b")
            ]
            time.sleep(WARM_UP)
            probe.start()
            before = cpu_seconds(pids)
            given = [json.loads(one.communicate()[0]) for one in loads]
            over.set()
            spent = {name: used - before[name] for name, used in cpu_seconds(pids).items()}
            probe.join(120)
            events = sum(one["count"] for one in given) * seconds / (seconds + WARM_UP)
            found.append(
                {
                    "rate": rate,
                    "given_a_second": sum(o["count"] for o in given)
                    / (max(o["ended"] for o in given) - min(o["started"] for o in given)),
                    "probes": len(probe.seconds),
                    "p50": percentile(probe.seconds, 0.5),
                    "p99": percentile(probe.seconds, 0.99),
                    "longest": max(probe.seconds, default=float("nan")),
                    "cpu_per_million": {name: used / events * 1e6 for name, used in spent.items()},
                    "peak_mb": {name: peak_mb(pid) for name, pid in pids.items() if pid is not None},
                }
            )
    return found


def table(found: list[dict[str, Any]], title: str) -> Table:
    """The figures for people."""
    columns = ("events/s", "given", "probes", "p50 s", "p99 s", "longest s", *(f"{name} CPU s/M" for name in SHOWN))
    made = Table(*columns, title=f"emit → queryable {title}")
    for one in found:
        cpu = [f"{one['cpu_per_million'].get(name, 0.0):.0f}" for name in SHOWN]
        times = [f"{one[name]:.2f}" for name in ("p50", "p99", "longest")]
        made.add_row(f"{one['rate']:,.0f}", f"{one['given_a_second']:,.0f}", str(one["probes"]), *times, *cpu)
    return made


if __name__ == "__main__":
    sys.exit(main())

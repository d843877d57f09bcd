"""A rate held for minutes, then a burst of five times the mean: does every stage keep up, is memory flat, is anything lost?

The load is three processes (two with the SDK, one posting to the receiver) on the machine of servers and parts; the archive sink
closes its objects after a minute, deduplication remembers 750,000 identities a partition. Printed for each phase: the rate given,
how far each stage was behind (events: most, and at the end of the load), how long it took until everything was stored, and the
memory of every process. In the end: acknowledged ⊆ stored ⊆ attempted, nothing twice, and `auditwired fsck`. Exit code 1 when a
check fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import start_load
from bench.oracle import OWN_EVENTS, account
from bench.watch import Memory, Offsets, cpu_seconds
from connectors.clickhouse.client import Client
from infra.stack import Stack, env, own
from infra.stack.supervisor import Supervisor
from pipeline import settings

EVERY = 2.0
# A day of identities would only grow in ten minutes: bounded, it is seen whether memory is flat once the bound is met.
TUNING = {"AUDITWIRE_ARCHIVE_SINK_FLUSH_SECONDS": "60", "AUDITWIRE_PROCESSOR_DEDUPE_IDENTITIES": "750000"}
RECEIVED = 0.1  # share of the load that goes through the receiver
IDENTITIES = "SELECT tenant_id, event_id, event_type FROM events"


@dataclass
class Bench:
    """A running pipeline and what is seen of it. ``behind``: (when, stage → events behind) every few seconds."""

    directory: Path
    seen: Mapping[str, str]
    offsets: Offsets
    memory: Memory
    seed: int = 0
    behind: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def load(self, rate: float, seconds: float) -> list[subprocess.Popen[str]]:
        """So many events a second for so long: half of it for each of two tenants, a part through the receiver."""
        shares = [("sdk", "bench-a", (1 - RECEIVED) / 2), ("sdk", "bench-b", (1 - RECEIVED) / 2), ("receiver", "demo", RECEIVED)]
        return [self._process(way, tenant, rate * share, seconds) for way, tenant, share in shares]

    def _process(self, way: str, tenant: str, rate: float, seconds: float) -> subprocess.Popen[str]:
        self.seed += 1
        out = self.directory / f"claims-{self.seed}.txt"
        return start_load(way, tenant, int(rate * seconds), self.seed, rate, self.seen, out)

    def watch(self, until: Callable[[], bool], seconds: float) -> bool:
        """Look at offsets and memory every few seconds until ``until``; False when that is not so after ``seconds``."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            self.behind.append((time.monotonic(), self.offsets.behind()))
            self.memory.look()
            time.sleep(EVERY)
        return True

    def phase(self, what: str, loads: Sequence[subprocess.Popen[str]], begin: float, patience: float) -> dict[str, Any]:
        """Watch until the load has ended and everything is stored; the record of it."""
        while not self.watch(lambda: all(load.poll() is not None for load in loads), 3600):
            pass
        end = time.monotonic()
        at_end = self.offsets.behind()
        self.watch(self.offsets.poll, patience)
        drained, done = self.offsets.poll(), time.monotonic()
        said = [json.loads(load.communicate()[0]) for load in loads]
        lag = [behind for at, behind in self.behind if begin <= at <= end]
        return {
            "phase": what,
            "events": sum(one["count"] for one in said),
            "not_acknowledged": sum(one["failed"] for one in said),
            "given_a_second": sum(one["count"] for one in said)
            / (max(o["ended"] for o in said) - min(o["started"] for o in said)),
            "behind_most": {stage: max(one[stage] for one in lag) for stage in at_end},
            "behind_at_end": at_end,
            "stored_after": round(done - end, 1),
            "stored": drained,
            "memory": self.memory.between(begin, end),
        }


def main() -> int:
    """Exit code 0 when every check held."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.sustained", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=10_000.0, help="events a second to hold")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long")
    parser.add_argument("--mean", type=float, default=2_000.0, help="events a second around the burst")
    parser.add_argument("--burst-seconds", type=float, default=60.0, help="how long five times the mean arrives (0: no burst)")
    parser.add_argument("--keep", action="store_true", help="keep the state directory")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    directory = Path(mkdtemp(prefix="auditwire-sustained-"))
    console = Console(stderr=True, soft_wrap=True)
    try:
        figures = run(args, directory, lambda text: console.print(text.splitlines()[0], style="dim"))
    finally:
        if not args.keep:
            shutil.rmtree(directory, ignore_errors=True)
    for table in tables(figures):
        Console(soft_wrap=True).print(table)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if figures["ok"] else 1


def run(args: argparse.Namespace, directory: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Start everything, hold the rate, let the burst come, compare. Returns the figures."""
    stack = Stack(directory / "state")
    with Supervisor(stack, own.settings_for(TUNING, stack.env, False), say) as up:
        seen = {**up.env, **env.looker_in(stack.state, up.env)}
        values = settings.load(settings.Operator, seen)
        pids = {name: up.pid(name) for name in stack.names}
        with closing(Offsets(values)) as offsets:
            bench = Bench(directory, seen, offsets, Memory(lambda: {name: up.pid(name) for name in stack.names}))
            before, begin = cpu_seconds(pids), time.monotonic()
            phases = [bench.phase("held", bench.load(args.rate, args.minutes * 60), begin, 1800)]
            cpu = {name: used - before[name] for name, used in cpu_seconds(pids).items()}
            say(f"held: {phases[0]}")
            if args.burst_seconds:
                phases.append(burst(bench, args.mean, args.burst_seconds))
                say(f"burst: {phases[1]}")
        figures = {"rate": args.rate, "minutes": args.minutes, "mean": args.mean, "phases": phases}
        figures["cpu_per_million"] = {name: round(used / phases[0]["events"] * 1e6, 1) for name, used in cpu.items()}
        figures |= account(directory.glob("claims-*.txt"), stored(values))
        say("acknowledged, stored and attempted are compared; auditwired fsck compares the stores")
        figures |= fsck(up.env)
    wrong = figures["lost"] or figures["invented"] or figures["twice"] or figures["fsck"]
    return {**figures, "ok": not wrong and all(phase["stored"] for phase in phases)}


def burst(bench: Bench, mean: float, seconds: float) -> dict[str, Any]:
    """The mean for a minute, five times as much for so long on top of it, and the mean for two more minutes."""
    begin = time.monotonic()
    loads = bench.load(mean, seconds + 180)
    bench.watch(lambda: False, 60)
    quiet = {stage: max(behind[stage] for at, behind in bench.behind if at >= begin + 10) for stage in bench.behind[-1][1]}
    loads += bench.load(4 * mean, seconds)
    bench.watch(lambda: all(load.poll() is not None for load in loads[3:]), seconds * 10)
    over = time.monotonic()
    bench.watch(lambda: all(behind <= quiet[stage] for stage, behind in bench.behind[-1][1].items()), 600)
    caught_up = time.monotonic() - over
    return {**bench.phase("burst", loads, begin, 1800), "caught_up_after": round(caught_up, 1), "behind_before": quiet}


def stored(values: settings.Operator) -> list[str]:
    """Identity of every stored event that the pipeline did not record itself."""
    with closing(
        Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value(), 300)
    ) as client:
        found = []
        for batch in client.batches(IDENTITIES, database=values.namespace, output_format_arrow_string_as_string=1):
            rows = zip(*(batch.column(name).to_pylist() for name in ("tenant_id", "event_id", "event_type")), strict=True)
            found += [f"{tenant} {event_id}" for tenant, event_id, kind in rows if not kind.startswith(OWN_EVENTS)]
    return found


def fsck(environment: Mapping[str, str]) -> dict[str, Any]:
    """Exit code, first findings and seconds of `auditwired fsck`."""
    began = time.monotonic()
    argv = [sys.executable, "-m", "pipeline", "fsck", "--json"]
    done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    findings = json.loads(done.stdout)["findings"][:5] if done.returncode in (0, 1) else [done.stderr[-500:]]
    return {"fsck": done.returncode, "fsck_findings": findings, "fsck_seconds": round(time.monotonic() - began, 1)}


def tables(figures: Mapping[str, Any]) -> list[Table]:
    """The figures for people."""
    checks = Table("figure", "value", title="Sustained: " + ("every check held" if figures["ok"] else "A CHECK FAILED"))
    for name in ("attempted", "acknowledged", "stored", "lost", "invented", "twice", "fsck", "fsck_findings", "fsck_seconds"):
        checks.add_row(name, str(figures[name]))
    for phase in figures["phases"]:
        checks.add_section()
        for name, value in phase.items():
            if name != "memory":
                checks.add_row(name, str(value))
    sizes = Table(
        "process", "CPU s per million", "MB first", "most", "last", "MB a minute, second half", title="While the rate was held"
    )
    for name, memory in figures["phases"][0]["memory"].items():
        row = [figures["cpu_per_million"].get(name, ""), *(memory[key] for key in ("first", "most", "last", "growth_a_minute"))]
        sizes.add_row(name, *map(str, row))
    return [checks, sizes]


if __name__ == "__main__":
    sys.exit(main())

"""Where each process spends its CPU while events flow: seconds by thread, and a profile by area and function.

    python -m bench.profiles [--rate 5000] [--seconds 15] [--parts processor export …] [--json docs/plots/profiles.json]

Starts a stack and all parts of its own. Load: two processes with the SDK; for `ingest` a process that posts GitLab's events in
arrays; for `export` one extract after the other of what is stored by then. For so many seconds only the CPU of processes and
threads is counted (/proc); then py-spy samples one process after the other. Threads that py-spy cannot see (librdkafka's,
Arrow's) count as a whole, the rest as the samples are spread. A part that is next to idle is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.__main__ import commit, machine
from bench.latency import WARM_UP
from bench.load import start_load
from bench.profile_areas import Samples, Thread, by_name, costliest, sampled, shares
from bench.spy import Spy, SpyError, between, used
from bench.watch import Offsets, cpu_seconds, say
from infra.stack import Stack, env, own
from infra.stack.state import PARTS
from infra.stack.supervisor import Supervisor
from pipeline import settings

LEAST = 0.01  # cores; a part that uses less counts as idle
LONG = 600.0  # a load lasts longer than anything here, and is ended
Hold = Callable[[float], int]  # lets a load go on for so many seconds; how many events it was meanwhile


def main() -> int:
    """Prints a table for each process."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.profiles", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=5_000.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long CPU is read, and each process sampled")
    parser.add_argument("--hertz", type=int, default=100, help="samples a second; each stops the process for milliseconds")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    directory = Path(mkdtemp(prefix="auditwire-profiles-"))
    try:
        found = run(directory, Spy.found(), args)
    except SpyError as exc:
        raise SystemExit(str(exc)) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    for one in found["processes"]:
        Console(soft_wrap=True).print(table(one))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def run(directory: Path, spy: Spy, args: argparse.Namespace) -> dict[str, Any]:
    """Records of the processes; CPU in seconds per million events of the load, shares of the process's CPU."""
    stack, found, idle = Stack(directory / "state"), list[dict[str, Any]](), dict[str, float]()
    with Supervisor(stack, own.settings_for({}, stack.env, False), say) as up:
        seen = {**up.env, **env.looker_in(stack.state, up.env)}
        loads = {
            "SDK": (
                {*PARTS} - {"ingest", "export"},
                events(seen, directory, "sdk", args.rate, 2),
            ),  # extracts read what it leaves
            "GitLab's arrays": ({"ingest"}, events(seen, directory, "receiver", args.rate, 1)),
            "extracts": ({"export"}, extracts(seen)),
        }
        for what, (fed, load) in loads.items():
            names = [part for part in args.parts if part in fed]
            if not names and what != "SDK":
                continue
            with load as hold:
                hold(WARM_UP)
                for one in measured({name: up.pid(name) or 0 for name in names}, spy, hold, args, directory):
                    if "areas" in one:
                        found.append({"load": what, **one})
                    else:
                        idle[one["name"]] = one["cores"]
    about = {"commit": commit(), "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    return {**about, "rate": args.rate, "seconds": args.seconds, "hertz": args.hertz, "idle": idle, "processes": found}


@contextmanager
def events(seen: Mapping[str, str], directory: Path, way: str, rate: float, processes: int) -> Iterator[Hold]:
    """Processes that record or post events; they are counted in the raw topic."""
    with closing(Offsets(settings.load(settings.Operator, seen))) as offsets:
        loads, each = [], rate / processes
        for seed in range(processes):
            out = directory / f"claims-{way}-{seed}.txt"
            loads.append(start_load(way, "demo", int(each * LONG), seed + 1, each, seen, out))

        def hold(seconds: float) -> int:
            before = sum(offsets.ends("processor"))
            time.sleep(seconds)
            if ended := [one for one in loads if one.poll() is not None]:
                raise SystemExit(f"a load ended with exit code {ended[0].returncode}; what it said is above")
            return sum(offsets.ends("processor")) - before

        try:
            yield hold
        finally:
            for one in loads:
                one.terminate()
            for one in loads:
                one.communicate()


@contextmanager
def extracts(seen: Mapping[str, str]) -> Iterator[Hold]:
    """Whole extracts of the demo's tenant, one after the other; their rows are the events."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    request = {"tenant": "demo", "from": (today - timedelta(1)).isoformat(), "to": (today + timedelta(2)).isoformat()}
    bearer = {"Authorization": f"Bearer {seen['AUDITWIRE_EXPORT_TOKEN']}"}
    with httpx.Client(base_url=seen["AUDITWIRE_EXPORT_URL"] + "/v1", headers=bearer, timeout=60) as client:

        def hold(seconds: float) -> int:
            end, rows = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                made = client.post("/extracts", json=request).raise_for_status().json()
                while made["state"] != "done":
                    if made["state"] in ("failed", "cancelled"):
                        raise SystemExit(f"the extract has {made['state']}: {made['error']}")
                    time.sleep(0.25)
                    made = client.get(f"/extracts/{made['id']}").raise_for_status().json()
                rows += made["counts"]["rows"]
            return rows

        yield hold


def measured(pids: Mapping[str, int], spy: Spy, hold: Hold, args: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """A record for each process; of one that is next to idle without `areas`."""
    whole, before, began = cpu_seconds(pids), {name: used(pid) for name, pid in pids.items()}, time.monotonic()
    events = hold(args.seconds)
    took, now = time.monotonic() - began, cpu_seconds(pids)
    after = {name: used(pid) for name, pid in pids.items()}
    for name, pid in pids.items():
        spent, cores = now[name] - whole[name], (now[name] - whole[name]) / took
        record: dict[str, Any] = {"name": name, "cores": cores, "events_a_second": events / took}
        if cores >= LEAST:
            say(f"sampling {name}, {cores:.3f} cores busy")
            threads = between(before[name], after[name], spy.names(pid))
            samples = sampled(spy.record(pid, args.seconds, args.hertz, folder / f"{name}.raw", hold))
            record |= {"cpu_per_million": spent / max(1, events) * 1e6, **profile(samples, threads, spent)}
        yield record


def profile(samples: Samples, threads: Sequence[Thread], spent: float) -> dict[str, Any]:
    """Shares of a process's CPU: by thread, by area, and of its most expensive functions."""
    python = 1 - min(1.0, sum(thread.cpu for thread in threads if thread.area) / spent)
    return {
        "threads": {name: cpu / spent for name, cpu in by_name(threads, spent).items()},
        "samples": samples.areas.total(),
        "areas": shares(samples.areas, threads, spent),
        "functions": costliest(samples, python),
    }


def table(one: Mapping[str, Any]) -> Table:
    """A process, for people."""
    title = f"{one['name']} ({one['load']}): {one['events_a_second']:,.0f} events/s, {one['cpu_per_million']:.1f} CPU s/M"
    made = Table(
        "", "share", "CPU s/M", title=f"{title}, {one['cores']:.2f} cores, {one['samples']} samples", title_justify="left"
    )
    functions = [(f"{name}: {area}", share) for name, area, share in one["functions"]]
    for what, rows in (("thread", one["threads"].items()), ("area", one["areas"].items()), ("function: area", functions)):
        made.add_section()
        made.add_row(what, style="bold")
        for name, share in rows:
            if share >= 0.005:
                made.add_row(escape(name), f"{share:.1%}", f"{share * one['cpu_per_million']:.2f}")
    return made


if __name__ == "__main__":
    sys.exit(main())

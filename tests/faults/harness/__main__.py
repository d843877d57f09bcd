"""Break the pipeline on purpose; prove after each run that nothing is lost, doubled or altered: `make faults`.

    --runs N --faults N   so many runs of so many faults each, drawn with --seed; every kind comes up before one comes again
    --only KIND …         only these kinds; --list names them
    --off MECHANISM       with that mechanism switched off, under the fault that only it survives: must end red
    --outage SERVER       instead of faults: that server away for --minutes under load, memory watched
Results are added to --out, a JSON line a run; ``python -m tests.faults.harness.report`` makes the tables of docs/faults.md of it.
Exit code 0: every run held; 1: one did not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from infra.stack.stack import CHECKOUT
from tests.faults.harness.controls import CONTROLS
from tests.faults.harness.kinds import KINDS, Kind, draw
from tests.faults.harness.outage import lines, outage
from tests.faults.harness.producer import NotSettled
from tests.faults.harness.verdict import stored, verdict
from tests.faults.harness.world import SERVERS, World

RECOVERY_SECONDS = 180.0


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    args = _arguments(argv)
    if args.list:
        print("\n".join(f"{kind.name:30} {kind.text}" for kind in KINDS.values()))
        return 0
    red = 0
    for record in outages(args) if args.outage else results(args):
        with args.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        red += not record["ok"]
    _say(f"{red} runs were red" if red else "every run held")
    return 1 if red else 0


def outages(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One record: a server is away."""
    with _folder(args) as folder, World(folder, None, args.rate, _heard, args.fast, flush_seconds=30.0) as world:
        record = {"commit": _commit(), "began": time.time(), "rate": args.rate}
        record |= outage(world, args.outage, args.minutes, max(args.patience, args.minutes * 120))
    print("\n".join(lines(record)))
    yield record


def results(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A record a run; a new world after so many runs, and after one that was red."""
    control = CONTROLS[args.off] if args.off else None
    names = [control.kind] if control else args.only or [kind.name for kind in KINDS.values() if not kind.last]
    runs = list(enumerate(draw(names, args.seed, args.runs, args.faults)))
    for number in itertools.count():
        if not runs:
            return
        with _folder(args) as folder, World(folder, control, args.rate, _heard, args.fast, number % 2 == 0) as world:
            for _ in range(args.runs_per_world):
                record = one_run(world, *runs.pop(0), args)
                yield record
                if not (runs and record["ok"]) or record["last"]:
                    break


def one_run(world: World, number: int, kinds: list[Kind], args: argparse.Namespace) -> dict[str, Any]:
    """Faults under load, each with its recovery; then the load pauses, everything settles, and everything is compared."""
    began, dice = time.time(), random.Random(f"{args.seed}/{number}")
    time.sleep(3.0)  # something to lose
    record: dict[str, Any] = {"seed": args.seed, "run": number, "commit": _commit(), "began": began, "off": args.off}
    record |= {"rate": args.rate, "faults": [], "last": [kind.name for kind in kinds if kind.last]}
    try:
        for kind in kinds:
            if not kind.last:
                record["faults"].append(_strike(world, kind, dice, 0 if args.hurry else args.patience))
        settle(world, args.patience)
        found = verdict(world)
        record |= {"verdict": found.as_json(), "ok": found.holds}
        for kind in kinds:
            if kind.last:
                record["faults"].append(_strike(world, kind, dice, args.patience))
                record["ok"] = record["ok"] and stored(world) == (found.stored, found.stored)
        world.load.tell("go")
    except (NotSettled, AssertionError, OSError, subprocess.SubprocessError) as exc:
        record |= {"ok": False, "error": f"{type(exc).__name__}: {exc}", "trace": traceback.format_exc()[-1500:]}
    record["seconds"] = round(time.time() - began, 1)
    _say(f"{'held' if record['ok'] else 'RED'}: seed {args.seed} run {number}, {record.get('error') or record['verdict']}")
    return record


def settle(world: World, patience: float) -> None:
    """Every producer knows what became of its events, and everything is stored."""
    world.load.tell("pause")
    world.sent_on("ingest", patience)
    world.recover(patience)


def _strike(world: World, kind: Kind, dice: random.Random, patience: float) -> dict[str, Any]:
    """One fault. ``recovery``: seconds from its beginning until everything that was in Kafka at its end is stored."""
    time.sleep(dice.uniform(0.5, 2.0))
    began = time.monotonic()
    detail = kind.run(world, dice)
    lasted = time.monotonic() - began
    record = {"kind": kind.name, "detail": detail, "seconds": round(lasted, 2)}
    if patience and not kind.last:
        world.recover(patience)
        record["recovery"] = round(time.monotonic() - began, 2)
    _say(f"{kind.name}: {detail}; {lasted:.1f} s, all stored after {record.get('recovery', '?')} s")
    return record


@contextmanager
def _folder(args: argparse.Namespace) -> Iterator[Path]:
    """A folder for one world; it stays with --keep."""
    folder = Path(mkdtemp(prefix="auditwire-faults-"))
    try:
        yield folder
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.strip()


def _heard(text: str) -> None:
    """What the supervisor says, without the ends of logs."""
    _say("  " + text.splitlines()[0])


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.harness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--faults", type=int, default=5, help="faults a run")
    parser.add_argument("--only", nargs="*", choices=KINDS, default=[])
    parser.add_argument("--off", choices=CONTROLS)
    parser.add_argument("--outage", choices=SERVERS)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the server is away")
    parser.add_argument("--rate", type=float, default=300.0, help="events a second")
    parser.add_argument("--runs-per-world", type=int, default=3)
    parser.add_argument("--patience", type=float, default=RECOVERY_SECONDS, help="seconds until all must be stored")
    parser.add_argument("--out", type=Path, default=CHECKOUT / ".auditwire" / "faults.jsonl")
    parser.add_argument("--hurry", action="store_true", help="the next fault strikes before the last one is got over")
    parser.add_argument("--fast", action="store_true", help="servers that start quickly and run slowly")
    parser.add_argument("--keep", action="store_true", help="keep the folders with logs and data")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args(argv)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    sys.exit(main())

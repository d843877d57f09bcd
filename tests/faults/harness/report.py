"""The tables of `docs/faults.md` from what the harness wrote down: ``python -m tests.faults.harness.report FILE… [--write]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from infra.stack.stack import CHECKOUT
from tests.faults.harness.controls import CONTROLS
from tests.faults.harness.kinds import KINDS

PAGE = CHECKOUT / "docs" / "faults.md"
BEGIN, END = "<!-- results: python -m tests.faults.harness.report -->", "<!-- end of results -->"
Record = dict[str, Any]


def read(paths: Iterable[Path]) -> list[Record]:
    """Every record in the files, oldest first."""
    found = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(found, key=lambda record: record["began"])


def tables(records: Sequence[Record]) -> str:
    """Markdown: totals, faults by kind with their recovery, runs by seed, the controls that were seen red, outages."""
    runs = [record for record in records if "faults" in record and not record["off"]]
    controls = [record for record in records if record.get("off")]
    outages = [record for record in records if "server" in record]
    parts = (_totals(runs), _by_kind(runs), _by_seed(runs), _controls(controls), _outages(outages))
    return "\n\n".join("\n".join(part) for part in parts if part)


def _totals(runs: Sequence[Record]) -> Iterator[str]:
    faults = sum(len(run["faults"]) for run in runs)
    checked = [run["verdict"] for run in runs if "verdict" in run]
    red = [run for run in runs if not run["ok"]]
    yield (
        f"{faults} faults of {len({f['kind'] for run in runs for f in run['faults']})} kinds in {len(runs)} runs: "
        f"{sum(v['lost'] for v in checked)} lost, {sum(v['twice'] for v in checked)} stored twice, "
        f"{sum(v['invented'] for v in checked)} that nobody sent, fsck clean after {sum(v['fsck'] == 0 for v in checked)} runs, "
        f"{len(red)} runs red."
    )
    for run in red:
        yield f"- red: seed {run['seed']} run {run['run']}: {run.get('error') or run['verdict']}"


def _by_kind(runs: Sequence[Record]) -> Iterator[str]:
    yield "| Fault | what it is | times | longest recovery, s |"
    yield "|---|---|---:|---:|"
    for name, kind in KINDS.items():
        seen = [fault.get("recovery", 0.0) for run in runs for fault in run["faults"] if fault["kind"] == name]
        longest = "" if not seen else "refused" if kind.last else f"{max(seen):.1f}"
        yield f"| `{name}` | {kind.text} | {len(seen)} | {longest} |"


def _by_seed(runs: Sequence[Record]) -> Iterator[str]:
    yield "| Commit | seed | runs | faults | events acknowledged | red |"
    yield "|---|---:|---:|---:|---:|---:|"
    for key in dict.fromkeys((run["commit"], run["seed"]) for run in runs):
        mine = [run for run in runs if (run["commit"], run["seed"]) == key]
        faults, red = sum(len(run["faults"]) for run in mine), sum(not run["ok"] for run in mine)
        yield f"| `{key[0]}` | {key[1]} | {len(mine)} | {faults} | {_acknowledged(mine):,} | {red} |"


def _acknowledged(runs: Sequence[Record]) -> int:
    """A verdict counts from the beginning of its world: a smaller number begins another one."""
    total = before = 0
    for count in (run["verdict"]["acknowledged"] for run in runs if "verdict" in run):
        total += count - before if count >= before else count
        before = count
    return total


def _controls(records: Sequence[Record]) -> Iterator[str]:
    yield "| Mechanism | switched off | under the fault | does | seen | test of the suite |"
    yield "|---|---|---|---|---|---|"
    for name, control in CONTROLS.items():
        seen = [record for record in records if record["off"] == name]
        red = sum(not record["ok"] for record in seen)
        commits = ", ".join(sorted({f"`{record['commit']}`" for record in seen}))
        said = f"red in {red} of {len(seen)} runs ({commits})" if seen else "not run"
        yield f"| {control.what} | `--off {name}` | `{control.kind}` | {control.shows} | {said} | `{control.test}` |"


def _outages(records: Sequence[Record]) -> Iterator[str]:
    yield "| Away | minutes | events/s | most MB (growth a minute in the second half) | caught up | lost, twice | fsck | commit |"
    yield "|---|---:|---:|---|---|---|---|---|"
    for record in records:
        found = record["verdict"]
        memory = ", ".join(f"{n} {m['most']:.0f} ({m['growth_a_minute']:+.0f})" for n, m in record["memory"].items())
        caught = f"{record['caught_up_after']:.0f} s at {record['caught_up_a_second']:.0f}/s"
        held = f"{found['lost']}, {found['twice']} | {found['fsck']}"
        yield (
            f"| {record['server']} | {record['minutes']:g} | {record['rate']:g} | {memory} | {caught} | {held} "
            f"| `{record['commit']}` |"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=[CHECKOUT / ".auditwire" / "faults.jsonl"])
    parser.add_argument("--write", action="store_true", help="into docs/faults.md")
    args = parser.parse_args(argv)
    made = tables(read(args.files))
    if args.write:
        text = PAGE.read_text(encoding="utf-8")
        head, _, rest = text.partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n\n{made}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    else:
        sys.stdout.write(made + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

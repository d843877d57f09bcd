"""Rules published and taken back while events flow: nothing starts again or is lost, and events say which rules they were under.

A third of the time under the first revision, a third under a second one that gives calls of tools another retention class and
masks their message, and a third under the first again (published anew: that is the rollback). Looked at in ClickHouse: in each
partition the revisions follow one another without going back; every event is what the revision on it says; how long after the
command the first event under a revision was received, and the last one under the revision before. Exit code 1 when a check fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import start_load
from bench.oracle import account
from bench.sustained import fsck, stored
from bench.watch import Offsets
from connectors.clickhouse.client import Client
from infra.stack import Stack, env, own
from infra.stack.supervisor import Supervisor
from pipeline import settings

TENANTS = ("bench-a", "bench-b")
PARTS = ("ingest", "processor", "clickhouse-sink", "archive-sink", "export")
CLASSES = "kind: retention_class\nname: standard\nmonths: 12\n---\nkind: retention_class\nname: extended\nmonths: 24\n"
CHANGED = """---
kind: retention
name: calls-longer
when: event_type LIKE 'tool.%'
class: extended
---
kind: redaction
name: no-messages-of-calls
when: event_type LIKE 'tool.%'
fields: [message]
action: mask
"""
SEQUENCES = """
SELECT processed_raw_partition, arrayCompact(groupArray(processed_rules_revision)) FROM (
    SELECT processed_raw_partition, processed_rules_revision FROM events WHERE tenant_id LIKE 'bench-%'
    ORDER BY processed_raw_partition, processed_raw_offset)
GROUP BY processed_raw_partition ORDER BY processed_raw_partition
"""
SIDES = """
SELECT processed_rules_revision, count(), toUnixTimestamp64Milli(min(processed_ingested_at)),
       toUnixTimestamp64Milli(max(processed_ingested_at)), countIf(event_type LIKE 'tool.%'),
       countIf(processed_retention_class = 'extended'),
       countIf((processed_retention_class = 'extended') != (event_type LIKE 'tool.%')),
       countIf(arrayExists(f -> endsWith(f, 'rule:no-messages-of-calls'), processed_redacted_fields))
FROM events WHERE tenant_id LIKE 'bench-%' GROUP BY processed_rules_revision ORDER BY 3
"""


@dataclass(frozen=True)
class Side:
    """The events under one revision; times of receipt in seconds since 1970."""

    revision: str
    events: int
    first: float
    last: float
    calls: int
    extended: int
    mixed: int
    masked: int

    @property
    def changed(self) -> bool:
        """Whether all its events are what the second revision says; False where none is."""
        return self.extended > 0


def main() -> int:
    """Exit code 0 when every check held."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.rules_live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=5_000.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    args = parser.parse_args()
    console = Console(stderr=True, soft_wrap=True)
    with TemporaryDirectory(prefix="auditwire-rules-live-") as folder:
        figures = run(args.rate, args.seconds, Path(folder), lambda text: console.print(text.splitlines()[0], style="dim"))
    table = Table("figure", "value", title="Rules live: " + ("every check held" if not figures["wrong"] else "A CHECK FAILED"))
    for name, value in figures.items():
        table.add_row(name, str(value))
    Console(soft_wrap=True).print(table)
    return 1 if figures["wrong"] else 0


def run(rate: float, seconds: float, directory: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures; ``wrong`` names the checks that failed."""
    first, second = _rules(directory / "first", CLASSES), _rules(directory / "second", CLASSES + CHANGED)
    stack = Stack(directory / "state")
    with Supervisor(stack, own.settings_for({"AUDITWIRE_ARCHIVE_SINK_FLUSH_SECONDS": "5"}, stack.env, False), say) as up:
        seen = {**up.env, **env.looker_in(stack.state, up.env)}
        values = settings.load(settings.Operator, seen)
        publish(first, up.env)
        before = {name: up.pid(name) for name in PARTS}
        with closing(Offsets(values)) as offsets:
            loads = [
                start_load("sdk", t, int(rate * seconds / 2), n, rate / 2, seen, directory / f"claims-{n}.txt")
                for n, t in enumerate(TENANTS)
            ]
            changes, began = [], time.monotonic()
            for number, folder in enumerate((second, first), 1):
                time.sleep(max(0.0, began + number * seconds / 3 - time.monotonic()))
                changes.append((time.time(), publish(folder, up.env)))
                say(f"published {folder.name}: {changes[-1][1]:.1f} s")
            said = [json.loads(load.communicate()[0]) for load in loads]
            _drained(offsets)
        after = {name: up.pid(name) for name in PARTS}
        found = account(directory.glob("claims-*.txt"), stored(values))
        sides, sequences = look(values)
        checked = fsck(up.env)
    given = sum(one["count"] for one in said) / (max(o["ended"] for o in said) - min(o["started"] for o in said))
    return {
        "given_a_second": round(given),
        **found,
        **checked,
        **judged(sides, sequences, changes, before == after, {**found, **checked}),
    }


def judged(
    sides: list[Side], sequences: list[list[str]], changes: list[tuple[float, float]], same: bool, found: Mapping[str, Any]
) -> dict[str, Any]:
    """What is wrong, and the times. ``changes``: when each change was asked for, and how long the command took (seconds)."""
    order = [side.revision for side in sides]
    wrong = [name for name in ("lost", "invented", "twice", "fsck") if found[name]]
    wrong += [] if same else ["a part started again"]
    wrong += [] if [side.changed for side in sides] == [False, True, False] else [f"the sides are {order}"]
    wrong += [] if all(one == order for one in sequences) else ["a partition went back"]
    wrong += [f"under {s.revision} events are mixed" for s in sides if s.masked not in (0, s.calls) or (s.changed and s.mixed)]
    live = [
        {"command": round(took, 2), "first_after": round(new.first - at, 2), "last_before": round(old.last - at, 2)}
        for (at, took), old, new in zip(changes, sides, sides[1:], strict=False)
    ]
    wrong += ["not live in 5 seconds"] if any(max(one["first_after"], one["last_before"]) > 5 for one in live) else []
    return {"events": {s.revision: s.events for s in sides}, "live": live, "partitions": len(sequences), "wrong": wrong}


def look(values: settings.Operator) -> tuple[list[Side], list[list[str]]]:
    """The events by revision in order of receipt, and the revisions of each partition in order of offset."""
    with closing(
        Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value(), 300)
    ) as client:
        rows = client.rows(SIDES, database=values.namespace)
        order = client.rows(SEQUENCES, database=values.namespace)
    return [Side(r, n, low / 1000, high / 1000, *rest) for r, n, low, high, *rest in rows], [found for _, found in order]


def publish(folder: Path, environment: Mapping[str, str]) -> float:
    """Seconds that `auditwired rules publish` took; ends this program where it failed."""
    began = time.monotonic()
    argv = [sys.executable, "-m", "pipeline", "rules", "publish", str(folder), "--reason", "a change under load"]
    done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench.rules_live: {done.stdout}{done.stderr}")
    return time.monotonic() - began


def _rules(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "rules.yaml").write_text(text, encoding="utf-8")
    return folder


def _drained(offsets: Offsets, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not offsets.poll():
        if time.monotonic() > end:
            sys.exit(f"bench.rules_live: not stored {seconds:.0f} s after the load: {offsets.behind()}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())

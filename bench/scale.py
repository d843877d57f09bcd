"""A table of 200 million rows, made on the server: which of the questions that are asked in service stay flat, and which grow?

    python -m bench.scale [--rows 1000000 10000000 50000000 200000000] [--folder DIR] [--minutes 8] [--fill] [--json FILE]

Starts a stack of its own, adds one day of a million events after the other (`bench.scale_rows`) and stops at each size to ask
everything of `bench.scale_queries`, five times each (fewer where an answer takes seconds). Printed: the median of the seconds,
rows and megabytes read (`system.query_log`). With ``--folder`` it goes on where it stopped: ``--minutes`` ends it between two
days (exit code 3: call it again), ``--fill`` adds rows only. Needs up to 180 bytes of disk a row while parts are merged, half
of that afterwards, and says so before.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.scale_queries import Asked, Measure
from bench.scale_rows import DAY, Made, add_day, days_stored
from bench.watch import say
from connectors.clickhouse.client import ClickHouseError, Client
from connectors.kafka import cluster_of
from connectors.kafka_partitions import topic_id_of
from infra.stack import Stack
from pipeline import settings
from tests import space

SIZES = [1_000_000, 10_000_000, 50_000_000, 200_000_000]
BYTES_A_ROW = 180
RUNS, PATIENCE = 5, 10.0
READ = """SELECT sum(read_rows), sum(read_bytes), sum(ProfileEvents['ReadCompressedBytes']), max(memory_usage), count()
    FROM system.query_log WHERE type != 'QueryStart' AND user != 'ops'
        AND query_start_time_microseconds >= fromUnixTimestamp64Micro({begin:Int64})
        AND query_start_time_microseconds <= fromUnixTimestamp64Micro({end:Int64})"""
PARTS = """SELECT count(), sum(rows), sum(bytes_on_disk), sum(data_uncompressed_bytes), sum(secondary_indices_compressed_bytes),
        (SELECT sum(bytes_on_disk) FROM system.projection_parts
            WHERE active AND database = {database:String} AND table = 'events')
    FROM system.parts WHERE active AND database = {database:String} AND table = 'events'"""


@dataclass(frozen=True)
class World:
    """A namespace on a running stack; ``ops`` is ClickHouse's user without limits."""

    space: space.Space
    ops: Client
    topic_id: str
    ledger_id: str

    def connect(self, user: str) -> Client:
        return Client(self.space.env["AUDITWIRE_CLICKHOUSE_URL"], user, self.space.stack.state.secrets[f"clickhouse_{user}"], 600)

    def made(self) -> Made:
        return Made(days_stored(self.ops, self.space.name), self.topic_id, self.ledger_id)


def main() -> int:
    """0: every size was measured; 3: time was up before; 1: there is not enough room."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="sizes to measure at, rounded up to whole days")
    parser.add_argument("--folder", type=Path, help="keep the stack there and go on with it (default: a temporary folder)")
    parser.add_argument("--minutes", type=float, default=1e6, help="end after about so many minutes, between two days")
    parser.add_argument("--fill", action="store_true", help="add rows, measure nothing")
    parser.add_argument("--only", default="", help="measure only what has this in its name")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()
    with ExitStack() as held:
        folder = args.folder or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="auditwire-scale-")))
        folder.mkdir(parents=True, exist_ok=True)
        done = run(folder, args)
        found = figures(folder)
    Console(width=150).print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return done


def run(folder: Path, args: argparse.Namespace) -> int:
    """Fill and measure below the folder; an exit code."""
    deadline = time.monotonic() + args.minutes * 60
    with Stack(folder / "stack", namespaces=space.POOL[:1]) as stack, closing(_client(stack, "ops")) as ops:
        one = space.Space(stack, space.POOL[0], folder / "space")
        one.provision()
        cluster = cluster_of(dict(one.settings(settings.Migrate)))
        world = World(one, ops, *(topic_id_of(cluster, f"{one.name}.{topic}") for topic in ("events", "ledger")))
        if not _room(folder, max(args.rows) - world.made().rows):
            return 1
        for rows in sorted(args.rows):
            if not fill(world, -(-rows // DAY), deadline):
                return 3
            settled(ops, max(10.0, deadline - time.monotonic()) if args.fill else 60.0)
            if not args.fill:
                keep(folder / f"measured-{world.made().rows}.json", world, args.only)
    return 0


def keep(path: Path, world: World, only: str) -> None:
    """Measure and write it down, over what was measured before under the same names."""
    before = json.loads(path.read_text(encoding="utf-8"))["measured"] if path.exists() else []
    named = {row["name"]: row for row in [*before, *measured(world, only)]}
    found = {"rows": world.made().rows, **stored(world), "measured": list(named.values())}
    path.write_text(json.dumps(found), encoding="utf-8")


def _client(stack: Stack, user: str) -> Client:
    return Client(stack.env["AUDITWIRE_CLICKHOUSE_URL"], user, stack.state.secrets[f"clickhouse_{user}"], 900)


def _room(folder: Path, rows: int) -> bool:
    free, needed = shutil.disk_usage(folder).free, max(0, rows) * BYTES_A_ROW
    say(f"{rows:,} rows to add need {needed / 1e9:.0f} GB at most; {free / 1e9:.0f} GB are free")
    return free > needed + 4e9


def fill(world: World, days: int, deadline: float) -> bool:
    """Add days up to so many; False: time is up."""
    made, begun = world.made(), time.monotonic()
    first = made.days
    while made.days < days:
        if time.monotonic() > deadline:
            say(f"{made.rows:,} rows after {time.monotonic() - begun:.0f} s: time is up, call again")
            return False
        made = add_day(world.ops, world.space.name, made)
    if made.days > first:
        seconds = time.monotonic() - begun
        say(f"{made.rows:,} rows; {(made.days - first) * DAY / seconds:,.0f} a second")
    return True


def settled(ops: Client, seconds: float) -> None:
    """Until no parts are being merged, but not for ever."""
    deadline = time.monotonic() + seconds
    while ops.rows("SELECT count() FROM system.merges")[0][0] and time.monotonic() < deadline:
        time.sleep(0.5)


def stored(world: World) -> dict[str, float]:
    """Parts and bytes of the table, indexes and projections included."""
    parts, rows, disk, plain, indexes, projections = world.ops.rows(PARTS, {"database": world.space.name})[0]
    sizes = {"disk": disk, "uncompressed": plain, "indexes": indexes, "projections": projections}
    return {"parts": parts, **{f"{name}_bytes_a_row": round(size / rows, 1) for name, size in sizes.items()}}


def measured(world: World, only: str = "") -> list[dict[str, Any]]:
    """Everything asked again and again; one record a question."""
    with ExitStack() as held:
        asked = Asked(world.space.name, world.made(), world.connect, held)
        timed = [(name, *_timed(measure)) for name, measure in asked.measures().items() if only in name]
    world.ops.command("SYSTEM FLUSH LOGS")
    return [{"name": n, **_read(world, *window, len(s)), "seconds": s, "refused": r} for n, s, window, r in timed]


def _timed(measure: Measure) -> tuple[list[float], tuple[int, int], str]:
    """Seconds of each run, when they began and ended (µs since 1970), and why the server refused, if it did."""
    seconds: list[float] = []
    refused, begin = "", _now()
    while len(seconds) < RUNS and sum(seconds) < PATIENCE and not refused:
        started = time.perf_counter()
        try:
            measure()
        except ClickHouseError as exc:
            refused = exc.name or str(exc)
        seconds.append(round(time.perf_counter() - started, 4))
    return seconds, (begin, _now()), refused


def _now() -> int:
    return int(datetime.now(UTC).timestamp() * 1e6)


def _read(world: World, begin: int, end: int, runs: int) -> dict[str, Any]:
    """What the server read for one run: rows, MB out of compression and MB compressed, most memory of a query, queries."""
    rows, size, compressed, memory, count = world.ops.rows(READ, {"begin": begin, "end": end})[0]
    read = {"rows_read": rows // runs, "mb": round(size / runs / 1e6, 1), "mb_compressed": round(compressed / runs / 1e6, 1)}
    return {**read, "memory_mb": round(memory / 1e6), "queries": round(count / runs)}


def figures(folder: Path) -> list[dict[str, Any]]:
    """Everything that was measured below the folder, the smallest table first."""
    found = [json.loads(path.read_text()) for path in folder.glob("measured-*.json")]
    return sorted(found, key=lambda one: int(one["rows"]))


def table(found: list[dict[str, Any]]) -> Table:
    """Seconds (rows read) of each question at each size."""
    made = Table("question", *(f"{one['rows'] / 1e6:,.0f} million" for one in found), title="Seconds, rows read")
    sizes = [{row["name"]: row for row in one["measured"]} for one in found]
    for name in {name: None for size in sizes for name in size}:
        made.add_row(name, *(_cell(size.get(name)) for size in sizes))
    return made


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    shown = f"{statistics.median(row['seconds']):.3f} s, {row['rows_read'] / 1e6:.2f} M"
    return f"{shown}, {row['refused']}" if row["refused"] else shown


if __name__ == "__main__":
    sys.exit(main())

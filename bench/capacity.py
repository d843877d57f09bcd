"""What events cost, measured for the capacity model (`bench.capacity_model`), and the page made of it.

    python -m bench.capacity measure --file runs.json [--parts processor] [--events 100000] [--held 12]
    python -m bench.capacity page [--write]      # the generated part of docs/capacity.md

``measure`` starts a stack of its own and adds to the file: each part alone, drained from a standstill with events of other size,
dirtiness, number of tenants, partitions and columns; held at low rates; and the bytes that events take in each place. Runs of the
whole pipeline (``whole`` in bench/capacity.json) come from `bench.latency --json`: ``whole --file runs.json --latency FILE``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.capacity_model import DATA, fit, load
from bench.capacity_page import PAGE, page, written
from bench.drains import TOPICS, Running, archive_bytes, log_bytes, table_bytes
from bench.shapes import Shape
from bench.stages import batches
from bench.watch import say
from infra.stack import Stack
from pipeline.stages.detectors import DETECTORS
from pipeline.stages.redact import redact
from tests import space

LARGE = 2_000
FULL: dict[str, list[Shape]] = {
    "processor": [
        *(Shape(), Shape(dirty=0.05), Shape(dirty=1.0), Shape(size=LARGE), Shape(size=LARGE, dirty=1.0)),
        *(Shape(tenants=1), Shape(tenants=1000), Shape(partitions=1), Shape(partitions=16), Shape(fill="few"), Shape(fill="all")),
    ],
    "clickhouse-sink": [Shape(), Shape(size=LARGE), Shape(partitions=1), Shape(fill="all")],
    "archive-sink": [Shape(), Shape(size=LARGE), Shape(partitions=1), Shape(fill="all")],
}
HELD = [(100.0, Shape()), (1_000.0, Shape()), (1_000.0, Shape(partitions=16))]
TUNING: dict[str, dict[str, object]] = {"archive-sink": {"ARCHIVE_SINK_FLUSH_SECONDS": 5}}


def measure(args: argparse.Namespace) -> None:
    """Add to the file what it has not; each run is there as soon as it has ended."""
    empty: dict[str, Any] = {"runs": [], "whole": [], "storage": [], "rules": rules()}
    data = load(args.file) if args.file.exists() else empty
    runs = [(part, *run) for part in args.parts for run in [*((0.0, shape) for shape in FULL[part]), *HELD]]
    seen = [(r["part"], r["rate"], Shape(**r["shape"])) for r in data["runs"]]
    runs = [run for run in runs if run not in seen]
    with tempfile.TemporaryDirectory(prefix="auditwire-capacity-") as name:
        folder = Path(name)
        with Stack(folder / "stack", namespaces=space.POOL[:60]) as stack:
            for number, (part, rate, shape) in enumerate([*runs[:1], *runs]):  # the first warms the servers up
                one = space.claim(stack, folder / "spaces")
                one.provision()
                with Running(one, part, shape, 1, TUNING.get(part, {})) as running:
                    found = running.held(rate, args.held) if rate else running.drained(args.events)
                if number == 0:
                    continue
                data["runs"].append(asdict(found))
                if not rate and shape in (Shape(), Shape(size=LARGE)):
                    _add_bytes(data, one, part, running)
                args.file.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
                cores = sum(found.cpu) / found.seconds
                say(f"{part} {shape} {rate:g}/s: {found.per_million:.1f} CPU s/M, {cores:.3f} cores, {found.servers}")
                one.drop()


def rules() -> list[tuple[int, float]]:
    """Number of detectors → CPU seconds per million events of the stage redact, the median of three."""
    made, _ = batches(20_000, 0.3)
    found = []
    for number in (5, 10, len(DETECTORS)):
        costs = []
        for _ in range(4):
            begun = time.process_time()
            for batch in made:
                redact(batch, DETECTORS[:number])
            costs.append((time.process_time() - begun) / 20_000 * 1e6)
        found.append((number, round(statistics.median(costs[1:]), 2)))
    return found


def _add_bytes(data: dict[str, Any], one: space.Space, part: str, running: Running) -> None:
    """Bytes an event at this size, in the places that the part writes."""
    kb = round(running.size / running.written / 1000, 3)
    row = next((r for r in data["storage"] if abs(r["kb"] - kb) < 0.1), None)
    if row is None:
        data["storage"].append(row := {"kb": kb})
    if part == "processor":
        names = {"raw": "raw", "clean": "events", "ledger": "ledger"}
        row |= {name: round(log_bytes(one, topic) / running.written, 1) for name, topic in names.items()}
    elif part == "clickhouse-sink":
        rows, size = table_bytes(one)
        row["clickhouse"] = round(size / rows, 1)
    else:
        row["parquet"] = round(archive_bytes(one)[1] / running.written, 1)


def whole(args: argparse.Namespace) -> None:
    """Put runs of `bench.latency` into the file as cores by process; ``--fit``: rates that the servers' costs are fitted to."""
    data: dict[str, Any] = json.loads(args.file.read_text())
    data["whole"] = [_cores(run, args.kb, args.fit) for run in json.loads(args.latency.read_text())]
    args.file.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _cores(run: Mapping[str, Any], kb: float, fitted: list[float]) -> dict[str, Any]:
    """CPU seconds per million of the nominal rate as cores at the rate that was given."""
    cores = {name: round(used * run["rate"] / 1e6, 4) for name, used in run["cpu_per_million"].items()}
    return {"rate": round(run["given_a_second"]), "kb": kb, "fit": run["rate"] in fitted, "cores": cores}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["measure", "whole", "page"])
    parser.add_argument("--file", type=Path, default=DATA)
    parser.add_argument("--parts", nargs="+", default=list(TOPICS), choices=list(TOPICS))
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--held", type=float, default=12.0, help="seconds of a low rate")
    parser.add_argument("--latency", type=Path, help="what `bench.latency --json` wrote")
    parser.add_argument("--kb", type=float, default=0.8, help="mean size of its events")
    parser.add_argument("--fit", type=float, nargs="+", default=[], help="rates that are fitted; the others check the model")
    parser.add_argument("--write", action="store_true", help="put the page's part in its place")
    args = parser.parse_args()
    if args.what == "page":
        made = page(data := load(args.file), fit(data))
        if args.write:
            PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
        else:
            sys.stdout.write(made)
    else:
        {"measure": measure, "whole": whole}[args.what](args)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An extract of many events: rows per second and the peak memory of the export service. `python -m bench.export --rows 2000000`.

Starts a stack of its own, makes the events inside ClickHouse, and runs the service as a process.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path

from infra.stack import Stack
from tests import export_service, space
from tests.export_service import Running, ask, wait


def peak(running: Running) -> float:
    """Highest resident memory so far, MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{running.process.pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def measure(running: Running, rows: int, form: str) -> dict[str, object]:
    """One extract of everything."""
    with running.client() as client:
        began = time.monotonic()
        found = wait(client, ask(client, format=form), seconds=3600)
        seconds = time.monotonic() - began
    if found["counts"]["rows"] != rows:
        raise SystemExit(f"the extract has {found['counts']} of {rows} events: {found['error']}")
    size = found["counts"]["bytes"] / rows
    return {
        "format": form,
        "rows": rows,
        "rows_per_second": round(rows / seconds),
        "bytes_per_row": round(size),
        "files": found["counts"]["files"],
        "peak_mib": round(peak(running)),
    }


def compare(folder: Path, rows: int, forms: list[str]) -> None:
    """Each format by a service of its own; prints a line of JSON each."""
    with Stack(folder / "stack", namespaces=space.POOL[:1]) as stack:
        made = space.claim(stack, folder / "spaces")
        made.provision()
        export_service.write_principals(made.folder / "export-principals.yaml")
        for first in range(0, rows, 1_000_000):
            export_service.generate(made, min(1_000_000, rows - first), first=first)
        export_service.mark(made, dict.fromkeys(range(4), rows))
        for form in forms:
            with export_service.start(made) as running:
                sys.stdout.write(json.dumps(measure(running, rows, form)) + "\n")
                sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--formats", nargs="+", default=["parquet", "jsonl", "csv"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="auditwire-bench-") as folder:
        compare(Path(folder), args.rows, args.formats)
    return 0


if __name__ == "__main__":
    sys.exit(main())

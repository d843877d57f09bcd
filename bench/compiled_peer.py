"""Builds the compiled consumer (Go, bench/compiled/) and writes down its task: table, columns and the processor's detectors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench.naive import CONTENT
from bench.peer_detectors import DETECTORS
from connectors.clickhouse import ddl
from pipeline.stages.redact import IDENTITY, WRITTEN
from schemas import event_fields

SOURCE = Path(__file__).parent / "compiled"
BUILT = SOURCE.parent.parent / ".cache" / "bench"
ROWS = 50_000  # an insert, as the ClickHouse sink has it


class LeftOutError(Exception):
    """The program cannot be built here; the text says why."""


def build(package: str = ".", source: Path = SOURCE, into: Path = BUILT) -> Path:
    """The program, built anew where its source changed. Raises LeftOutError."""
    go = shutil.which("go")
    if go is None:
        raise LeftOutError("there is no `go` on PATH; with Go 1.26 or newer it takes part")
    target = into / (source / package).resolve().name
    argv = [go, "build", "-trimpath", "-buildvcs=false", "-o", str(target), package]
    plain = {**os.environ, "CGO_ENABLED": "0"}  # needs no C compiler
    done = subprocess.run(argv, cwd=source, env=plain, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise LeftOutError(f"`go build` in {source} failed: {done.stderr.strip()[-500:]}")
    return target


def rules() -> dict[str, Any]:
    """The detectors of the processor as Go's regexp takes them, and the columns that they are for."""
    detectors = [
        {
            "name": one.name,
            "pattern": one.pattern,
            "replacement": re.sub(r"\\(\d)", r"${\1}", one.replacement),
            "keep": [f"({before})@({after})" for before, after in one.keep],
            "personal": one.personal,
        }
        for one in DETECTORS
    ]
    untouched = [name for name in event_fields() if name in IDENTITY or name.startswith(WRITTEN)]
    return {"detectors": detectors, "untouched": untouched, "content": list(CONTENT)}


def task(path: Path, table: str = "", count: int = 0, namespace: str = "", plain: bool = False) -> Path:
    """The file that the program gets. ``plain``: every pattern runs over every text."""
    types = ddl.columns()
    made = {
        "events": count,
        "rows": min(ROWS, max(1, count // 4)),
        "plain": plain,
        "group": f"{namespace}-{table}",
        "topic": f"{namespace}.raw",
        "table": table,
        "columns": [{"name": name, "type": types[name]} for name in event_fields()],
        "rules": rules(),
    }
    path.write_text(json.dumps(made))
    return path

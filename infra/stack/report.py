"""What people see of a running stack, and the files that lookers-in and operators read."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from infra.stack import state
from infra.stack.supervisor import Row, Status, status_file
from pipeline import settings


def read(directory: Path) -> Status | None:
    """What the supervisor says of itself; None when it has said nothing yet. One that was killed leaves its last words."""
    try:
        found: dict[str, Any] = json.loads(status_file(directory).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Status(found["pid"], found["up"], [Row(**row) for row in found["rows"]])


def table(rows: Iterable[Row], directory: Path) -> None:
    """The endpoints, for people."""
    shown = Table("name", "endpoint", "pid", title="Auditwire runs", title_justify="left")
    for row in rows:
        shown.add_row(row.name, row.endpoint, str(row.pid or ""))
    console = Console(soft_wrap=True)
    console.print(shown)
    console.print(f"[bold]. {directory}/env[/bold] sets addresses and credentials for looking around; logs: {directory}/log/")


def lines(rows: Iterable[Row]) -> list[str]:
    """A line each: name, pid, state, endpoint."""
    rows = list(rows)
    wide = max((len(r.name) for r in rows), default=0)
    return [f"{r.name:<{wide}} {r.pid or '-':<8} {r.state:<11} {r.endpoint}" for r in rows]


def exports(env: Mapping[str, str]) -> str:
    """``env`` as text that a shell reads with ``.``."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(env.items()))


def write_files(directory: Path, env: Mapping[str, str], looker_in: Mapping[str, str]) -> None:
    """`env` for lookers-in; `operator.env` for the tools of `auditwired`; `scrape.json` for Prometheus. All of mode 0600."""
    tools = (model for name, model in settings.ALL.items() if name not in settings.PARTS)
    names = {n for model in tools for n in settings.names_of(model)}
    state.private(directory / "env", exports(looker_in))
    state.private(directory / "operator.env", exports({n: v for n, v in env.items() if n in names}))
    state.private(directory / "scrape.json", json.dumps(targets(looker_in["AUDITWIRE_METRICS_URLS"]), indent=1))


def targets(urls: str) -> list[dict[str, Any]]:
    """Where Prometheus finds the parts (for ``file_sd_configs``), from AUDITWIRE_METRICS_URLS, which lists them in order."""
    hosts = [urlsplit(url).netloc for url in urls.split(",")]
    return [{"targets": [host], "labels": {"service": part}} for part, host in zip(state.PARTS, hosts, strict=True)]

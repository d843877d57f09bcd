"""What was measured, in the one form that table, JSON file and page share; and the meter that measures it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import psutil
from rich.table import Table

from bench.archive_sink import peak_mb
from bench.clickhouse_sink import cpu, server
from bench.peer_world import SERVERS, Figure


@dataclass
class Row:
    """One step, process, peer or limit, seen in several rounds: CPU seconds per million events, and events a second, once warm.

    ``size``: bytes of an event on average; ``dirty``: share of events with something to redact, None where that does not matter.
    ``whole``: CPU with the start of the process, where that was measured too.
    """

    part: str
    name: str
    size: int
    dirty: float | None
    cpu: list[float]
    rate: list[float]
    servers: dict[str, list[float]] = field(default_factory=dict)
    peak_mb: float | None = None
    whole: list[float] | None = None

    @classmethod
    def of(cls, part: str, name: str, size: float, dirty: float | None, figures: Sequence[Figure]) -> Self:
        """The rounds of one thing."""
        spent = {s: [f.servers.get(s, 0.0) / f.events * 1e6 for f in figures] for s in SERVERS}
        much = max(0.1, max(map(statistics.median, spent.values())) / 10)  # less is what an idle server spends anyway
        peak = max((f.peak_mb for f in figures if not math.isnan(f.peak_mb)), default=None)
        return cls(
            part,
            name,
            round(size),
            dirty,
            [round(f.steady.per_million, 3) for f in figures],
            [round(f.steady.events / f.steady.seconds) for f in figures],
            {s: [round(v, 3) for v in seen] for s, seen in spent.items() if statistics.median(seen) >= much},
            None if peak is None else round(peak),
            [round(f.per_million, 3) for f in figures] if any(f.warm for f in figures) else None,
        )

    def server_cpu(self, name: str) -> float:
        """Median of a server's CPU seconds per million events."""
        return statistics.median(self.servers.get(name, [0.0]))


class Meter:
    """From its making to `figure`: CPU of this process, or of ``pid``, and of the servers."""

    def __init__(self, servers: Mapping[str, psutil.Process] | None = None, pid: int | None = None) -> None:
        self._servers, self._pid = dict(servers or {}), pid
        self._before = {name: cpu(process) for name, process in self._servers.items()}
        self._cpu, self._began = self._used(), time.monotonic()

    def figure(self, events: int, settle: Callable[[], object] = lambda: None) -> Figure:
        """What it came to for so many events. ``settle`` waits for what servers do later; its time is theirs alone."""
        used, seconds = self._used() - self._cpu, time.monotonic() - self._began
        settle()
        spent = {name: cpu(process) - self._before[name] for name, process in self._servers.items()}
        peak = float("nan") if self._pid is None else float(peak_mb(self._pid))
        return Figure(events, used, max(seconds, 1e-9), spent, peak)

    def _used(self) -> float:
        return time.process_time() if self._pid is None else cpu(psutil.Process(self._pid))


def servers_of(env: Mapping[str, str]) -> dict[str, psutil.Process]:
    """The processes that listen where settings say that the servers are."""
    found = {name: server(f"//{env[variable].rpartition('//')[2]}") for name, variable in SERVERS.items()}
    return {name: process for name, process in found.items() if process is not None}


def table(rows: Iterable[Row]) -> Table:
    """Medians for people."""
    columns = ("what", "bytes", "dirty", "CPU s/M", "lowest–highest", "servers CPU s/M", "events/s", "peak MB")
    made, part = Table(*columns), ""
    for row in rows:
        if part not in ("", row.part):
            made.add_section()
        part = row.part
        servers = ", ".join(f"{name} {row.server_cpu(name):.1f}" for name in row.servers)
        made.add_row(
            row.name,
            str(row.size),
            "" if row.dirty is None else f"{row.dirty:.0%}",
            f"{statistics.median(row.cpu):.2f}",
            f"{min(row.cpu):.2f}–{max(row.cpu):.2f}",
            servers,
            f"{statistics.median(row.rate):,.0f}",
            "" if row.peak_mb is None else str(row.peak_mb),
        )
    return made

"""The targets of performance, and how what was measured stands to them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NAIVE, COMPILED = "naive Python ÷ (processor + ClickHouse sink)", "(processor + ClickHouse sink) ÷ compiled (Go)"
THREE, FIFTY = "chain, 3 rules", "chain, 50 rules"
EXTRACT = "export service: extract to Parquet"


@dataclass(frozen=True)
class Target:
    """``seen`` must be at most ``goal``, or at least where ``least``; ``later`` is the goal after it."""

    what: str
    unit: str
    goal: float
    seen: float | None
    least: bool = False
    later: float | None = None

    @property
    def verdict(self) -> str:
        """met or missed, by how much."""
        if self.seen is None:
            return "not measured"
        if self._holds(self.goal):
            return "met" if self.later is None else f"met; {self.later:g} later: {self._against(self.later)}"
        return self._against(self.goal)

    def _holds(self, goal: float) -> bool:
        return self.seen is not None and (self.seen >= goal if self.least else self.seen <= goal)

    def _against(self, goal: float) -> str:
        if self.seen is None or self._holds(goal):
            return "met"
        ratio = goal / self.seen if self.least else self.seen / goal
        return f"**missed**, {ratio:.1f} times"


class Seen:
    """Medians of a run's figures by name; None where something was not measured."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self._rows = {row["name"]: row for row in data["rows"] if row["part"] != "step" or row["dirty"] is None}

    def cpu(self, name: str) -> float | None:
        """CPU seconds of the client per million events."""
        return self._of(name, lambda row: statistics.median(row["cpu"]))

    def server(self, name: str, server: str) -> float | None:
        """CPU seconds of a server per million events."""
        return self._of(name, lambda row: statistics.median(row["servers"].get(server, [0.0])))

    def rate(self, name: str) -> float | None:
        """Events a second."""
        return self._of(name, lambda row: statistics.median(row["rate"]))

    def peak(self, name: str) -> float | None:
        """Megabytes."""
        return self._of(name, lambda row: float(row["peak_mb"]))

    def times(self, name: str) -> float | None:
        """A ratio."""
        found: float | None = self.data.get("ratios", {}).get(name)
        return found

    def call(self, mode: str, pace: int, which: str) -> float | None:
        """Microseconds of a call of `record()`."""
        found = [c for c in self.data.get("calls", []) if (c["mode"], c["pace"]) == (mode, pace)]
        return statistics.median(found[0][which]) if found else None

    def latency(self, rate: float, which: str) -> float | None:
        """Seconds from emit to queryable."""
        return next((one[which] for one in self.data.get("latency", []) if one["rate"] == rate), None)

    def steps(self, name: str) -> dict[tuple[int, float], float]:
        """(bytes of an event, share of dirty ones) → CPU seconds of a step per million events."""
        rows = (row for row in self.data["rows"] if (row["part"], row["name"]) == ("step", name))
        return {(row["size"], row["dirty"]): statistics.median(row["cpu"]) for row in rows}

    def _of(self, name: str, what: Callable[[Mapping[str, Any]], float]) -> float | None:
        return what(self._rows[name]) if name in self._rows else None


def ratio(one: float | None, other: float | None) -> float | None:
    """How many times ``other``."""
    return one / other if one is not None and other else None


def dearest(some: Mapping[tuple[int, float], float], others: Mapping[tuple[int, float], float]) -> float | None:
    """The greatest ratio of the two, over the cases that both have."""
    return max((some[case] / others[case] for case in some.keys() & others.keys()), default=None)


def targets(data: Mapping[str, Any]) -> list[Target]:
    """Each target with what was seen."""
    seen = Seen(data)
    extract = seen.rate(EXTRACT)
    a_core = ratio(1e6, seen.cpu("processor"))
    receiver = {n: seen.rate(f"receiver, {n} a request") for n in ("one event", "100 events")}
    made = [
        Target("processor, all stages, transactions", "CPU s/M", 13, seen.cpu("processor"), later=10),
        Target("the same", "events/s a core", 80_000, a_core, least=True),
        Target("its stages with 50 rules ÷ with 3, at most", "times", 1.5, dearest(seen.steps(FIFTY), seen.steps(THREE))),
        Target(NAIVE, "times", 8, seen.times(NAIVE), least=True),
        Target(COMPILED, "times", 2, seen.times(COMPILED)),
        Target("ClickHouse sink, client", "CPU s/M", 7, seen.cpu("ClickHouse sink")),
        Target("ClickHouse sink, server", "CPU s/M", 7, seen.server("ClickHouse sink", "clickhouse")),
        Target("ClickHouse sink", "events/s", 80_000, seen.rate("ClickHouse sink"), least=True),
        Target("archive sink", "CPU s/M", 9, seen.cpu("archive sink"), later=6),
        Target("receiver, GitLab's 2 KB, one a request, one core", "events/s", 4_000, receiver["one event"], least=True),
        Target("receiver, GitLab's 2 KB, in arrays, one core", "events/s", 20_000, receiver["100 events"], least=True),
        Target("emit → queryable at 1,000/s, p99", "s", 2, seen.latency(1_000, "p99"), later=1),
        Target("extract of a million events to Parquet", "s", 10, ratio(1e6, extract)),
        Target("extract, peak memory", "MB", 400, seen.peak(EXTRACT)),
    ]
    for mode in ("best_effort", "spooled"):
        made.append(Target(f"`record()`, {mode}, 1,000/s, p50", "µs", 20, seen.call(mode, 1_000, "p50")))
        made.append(Target(f"`record()`, {mode}, 1,000/s, p99", "µs", 80, seen.call(mode, 1_000, "p99")))
    made += [
        Target(f"{name}, peak memory", "MB", 600, seen.peak(name)) for name in ("processor", "ClickHouse sink", "archive sink")
    ]
    return made

"""What `bench.peers` prints: medians of its runs, and what the pipeline comes to against the peers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from rich.table import Table

from bench.peer_world import SERVERS, Figure

OURS = ("processor", "ClickHouse sink")
COMPILED, PLAIN, BARE = "compiled (Go)", "compiled (Go), patterns alone", "own code without its promises"
NAIVE, STOCK = "naive Python", "stock Faust agent"
RATIOS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "(processor + ClickHouse sink) ÷ compiled (Go)": (OURS, (COMPILED,)),
    "own code without its promises ÷ compiled (Go)": ((BARE,), (COMPILED,)),
    "compiled (Go), patterns alone ÷ (processor + ClickHouse sink)": ((PLAIN,), OURS),
    "naive Python ÷ (processor + ClickHouse sink)": ((NAIVE,), OURS),
    "stock Faust agent ÷ processor": ((STOCK,), ("processor",)),
    "processor ÷ (bare fetch + bare produce)": (("processor",), ("bare fetch", "bare produce")),
}


def table(runs: list[dict[str, Figure]]) -> Table:
    """The medians for people, and what they come to against the peers."""
    made = Table("what", "events", "CPU s/M whole", "warm", "lowest–highest", "servers CPU s/M", "events/s warm", "peak MB")
    for name in runs[0]:
        figures = [r[name] for r in runs]
        warm = [f.steady.per_million for f in figures]
        spent = {s: statistics.median(f.servers[s] / f.events * 1e6 for f in figures) for s in SERVERS}
        rate = statistics.median(f.steady.events / f.steady.seconds for f in figures)
        made.add_row(
            name,
            f"{figures[0].events:,}",
            f"{statistics.median(f.per_million for f in figures):.2f}",
            f"{statistics.median(warm):.2f}" if figures[0].warm else "",
            f"{min(warm):.2f}–{max(warm):.2f}",
            ", ".join(f"{s} {v:.1f}" for s, v in spent.items() if v >= 0.05),
            f"{rate:,.0f}",
            f"{max(f.peak_mb for f in figures):.0f}",
        )
    made.add_section()
    for name, (above, below) in RATIOS.items():
        if all(part in runs[0] for part in (*above, *below)):
            made.add_row(name, "", *(_ratio(runs, above, below, which) for which in (_whole, _warm)))
    return made


def _whole(figure: Figure) -> float:
    return figure.per_million


def _warm(figure: Figure) -> float:
    return figure.steady.per_million


def _ratio(runs: list[dict[str, Figure]], above: Sequence[str], below: Sequence[str], which: Callable[[Figure], float]) -> str:
    """Of medians."""
    first, second = (sum(statistics.median(which(r[name]) for r in runs) for name in names) for names in (above, below))
    return f"{first / second:.1f}"

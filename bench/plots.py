"""Plots as small SVG files: bars and dots, written as text. Colours are readable on white and on black."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, LINE = 800, 330, 70, 18
COLOURS = ("#3b82c4", "#d9822b", "#3a9a5b", "#9a6fc4")
STYLE = (
    "<style>text{font:12px sans-serif;fill:#444}.g{stroke:#8888;stroke-width:.5}.t{font-weight:bold}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>"
)


@dataclass(frozen=True)
class Group:
    """One thing, and a value for each series (None: none)."""

    name: str
    values: Sequence[float | None]


def bars(title: str, unit: str, series: Sequence[str], groups: Sequence[Group]) -> str:
    """Horizontal bars from zero, one colour a series, the value behind each."""
    most = max((v for g in groups for v in g.values if v is not None), default=1.0)
    out, y = _head(title, series), 44
    for group in groups:
        values = [(n, v) for n, v in enumerate(group.values) if v is not None]
        out.append(_text(LEFT - 6, y + LINE * len(values) / 2 + 1, group.name, "end"))
        for n, value in values:
            length = value / most * (WIDTH - LEFT - RIGHT)
            out.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{LINE - 5}" fill="{COLOURS[n]}"/>')
            out.append(_text(LEFT + length + 5, y + LINE - 7, f"{short(value)} {unit}"))
            y += LINE
        y += 5
    return _whole(out, y)


def dots(title: str, unit: str, series: Sequence[str], groups: Sequence[Group], base: float = 10.0) -> str:
    """Dots on a logarithmic scale, for values that differ by hundreds."""
    values = [v for g in groups for v in g.values if v]
    low, high = math.floor(math.log(min(values), base)), math.ceil(math.log(max(values), base))
    wide = (WIDTH - LEFT - RIGHT) / max(1, high - low)
    out, bottom = _head(title, series), 44 + (LINE + 3) * len(groups)
    for power in range(low, high + 1):
        x = LEFT + (power - low) * wide
        out.append(f'<line class="g" x1="{x:.1f}" y1="40" x2="{x:.1f}" y2="{bottom}"/>')
        out.append(_text(x, bottom + 14, f"{base**power:g} {unit}", "middle"))
    for row, group in enumerate(groups):
        y = 44 + (LINE + 3) * row + LINE / 2
        out.append(_text(LEFT - 6, y + 4, group.name, "end"))
        for n, value in enumerate(group.values):
            if value:
                x = LEFT + (math.log(value, base) - low) * wide
                out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[n]}"/>')
                if len(group.values) == 1:
                    out.append(_text(x + 9, y + 4, short(value)))
    return _whole(out, bottom + 22)


def short(value: float) -> str:
    """Three digits that count."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}" if value >= 0.005 else "0"


def _head(title: str, series: Sequence[str]) -> list[str]:
    out, x = [f'<text class="t" x="8" y="16">{escape(title)}</text>'], float(LEFT)
    for n, name in enumerate(series if len(series) > 1 else ()):
        out.append(f'<rect x="{x:.0f}" y="25" width="10" height="10" fill="{COLOURS[n]}"/>')
        out.append(_text(x + 14, 34, name))
        x += 30 + 7 * len(name)
    return out


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _whole(parts: Sequence[str], height: float) -> str:
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{STYLE}\n' + "\n".join(parts) + "\n</svg>\n"

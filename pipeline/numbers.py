"""Sets of whole numbers as ranges, ends included."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers as ranges in order that do not touch."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def without(ranges: Sequence[Range], taken: Sequence[Range]) -> list[Range]:
    """The numbers of ``ranges`` that are not in ``taken``; both as `merged` gives them."""
    found: list[Range] = []
    ends = [last for _, last in taken]
    for first, last in ranges:
        at = first
        for index in range(bisect_left(ends, first), len(taken)):
            low, high = taken[index]
            if low > last:
                break
            if low > at:
                found.append((at, low - 1))
            at = high + 1
        if at <= last:
            found.append((at, last))
    return found


def swept(edges: Iterable[Range]) -> list[Range]:
    """What ranges cover of which only edges are known: (number, how many more begin there than end right before it)."""
    found: list[Range] = []
    depth = begun = 0
    for number, step in sorted(edges):
        if depth <= 0 < depth + step:
            begun = number
        elif depth + step <= 0 < depth:
            found.append((begun, number - 1))
        depth += step
    return merged(found)

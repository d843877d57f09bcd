"""Cuts a range of time into slices of a bounded number of events, by counting; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

BUCKETS = 1024
HOUR = 3_600_000_000
# (start, end, width) → (bucket number from start, events) of the buckets that have any, in order; times in microseconds.
Count = Callable[[int, int, int], list[tuple[int, int]]]


@dataclass(frozen=True)
class Slice:
    """The ``rows`` events with ``start <= occurred_at < end`` (microseconds since 1970, UTC)."""

    start: int
    end: int
    rows: int


def slices(start: int, end: int, count: Count, most: int) -> Iterator[Slice]:
    """The slices of ``[start, end)`` that have events, in order, each with at most ``most`` of them.

    A single microsecond with more stays one slice. Neighbours are joined, so that there are few.
    """
    held: Slice | None = None
    for found in _cut(start, end, count, most):
        if held is not None and held.rows + found.rows <= most:
            held = Slice(held.start, found.end, held.rows + found.rows)
            continue
        if held is not None:
            yield held
        held = found
    if held is not None:
        yield held


def _cut(start: int, end: int, count: Count, most: int) -> Iterator[Slice]:
    width = -(-(end - start) // BUCKETS)
    if width > HOUR:  # the table is ordered by hour: whole hours are read without their neighbours
        width = -(-width // HOUR) * HOUR
    for number, rows in count(start, end, width):
        low = start + number * width
        high = min(low + width, end)
        if rows > most and high - low > 1:
            yield from _cut(low, high, count, most)
        else:
            yield Slice(low, high, rows)

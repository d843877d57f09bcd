"""Slices of a range: nothing twice, nothing left out, none too large, whatever the events' times."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.export.slices import Slice, slices

MOST = 7


def cut(times: list[int], start: int, end: int, most: int = MOST) -> tuple[list[Slice], int]:
    """The slices of these times, and how often was counted."""
    asked = 0

    def count(low: int, high: int, width: int) -> list[tuple[int, int]]:
        nonlocal asked
        asked += 1
        return sorted(Counter((t - low) // width for t in times if low <= t < high).items())

    return list(slices(start, end, count, most)), asked


@given(
    st.lists(st.one_of(st.integers(0, 10**15), st.integers(10**9, 10**9 + 50)), max_size=200),
    st.integers(0, 10**12),
    st.integers(1, 10**15),
)
def test_slices_cover_each_event_once_and_stay_small(times: list[int], start: int, length: int) -> None:
    end = start + length
    found, _ = cut(times, start, end)
    inside = [t for t in times if start <= t < end]
    assert sum(s.rows for s in found) == len(inside)
    for piece in found:
        assert start <= piece.start < piece.end <= end
        assert piece.rows == sum(piece.start <= t < piece.end for t in times)
        assert piece.rows <= MOST or piece.end - piece.start == 1
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))


def test_few_events_are_one_slice_after_one_count() -> None:
    hour, end = 3_600_000_000, 10**15
    found, asked = cut([5, 10**12], 0, end)
    assert [(s.start, s.rows) for s in found] == [(0, 2)]
    assert found[0].end % hour == 0
    assert asked == 1


def test_a_crowded_moment_in_a_long_range_is_found_in_a_few_counts() -> None:
    crowd = list(range(10**14, 10**14 + 1000))
    found, asked = cut(crowd, 0, 230 * 365 * 86_400 * 1_000_000, most=100)
    assert sum(s.rows for s in found) == 1000
    assert len(found) <= 20
    assert asked <= 20

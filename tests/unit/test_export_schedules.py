"""Periods: in UTC, half-open, without a gap, and only those that are over."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.definitions import Every
from pipeline.export.schedules import CATCH_UP, begin_of, over

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))
EVERY = st.sampled_from(["day", "week", "month"])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text + "Z")


@pytest.mark.parametrize(
    ("every", "begin"), [("day", "2026-11-22T00:00:00"), ("week", "2026-11-16T00:00:00"), ("month", "2026-11-01T00:00:00")]
)
def test_periods_begin_at_midnight_on_monday_and_on_the_first(every: Every, begin: str) -> None:
    assert begin_of(at("2026-11-22T23:59:59.999999"), every) == at(begin)
    east = timezone(timedelta(hours=5))
    assert begin_of(at("2026-11-22T23:59:59.999999").astimezone(east), every) == at(begin)


@pytest.mark.parametrize(
    ("since", "until", "starts"),
    [
        ("2026-11-22T12:00:00", "2026-11-30T23:59:59", []),
        ("2026-11-22T12:00:00", "2026-12-01T00:00:00", ["2026-11-01T00:00:00"]),
        ("2026-12-01T00:00:00", "2026-12-31T00:00:00", []),
        ("2026-11-22T12:00:00", "2027-02-05T00:00:00", ["2027-01-01T00:00:00", "2026-12-01T00:00:00", "2026-11-01T00:00:00"]),
    ],
)
def test_the_first_period_is_the_one_of_the_saving_and_the_newest_come_first(since: str, until: str, starts: list[str]) -> None:
    assert [start for start, _ in over(at(since), at(until), "month")] == [at(s) for s in starts]


@given(since=MOMENTS, length=st.timedeltas(timedelta(0), timedelta(days=4000)), every=EVERY)
def test_periods_are_over_touch_each_other_and_are_bounded(since: datetime, length: timedelta, every: Every) -> None:
    until = since + length
    found = over(since, until, every)
    assert len(found) <= CATCH_UP
    assert all(start < end <= until and end > since for start, end in found)
    assert all(older[1] == newer[0] for newer, older in itertools.pairwise(found))
    assert all(begin_of(start, every) == start and begin_of(end, every) == end for start, end in found)
    if found:
        assert begin_of(until, every) == found[0][1]
    else:
        assert begin_of(until, every) <= since

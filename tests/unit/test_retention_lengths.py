"""How long a class is kept: held against a model that looks at every day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.postgres.reference import Revision
from pipeline.retention.lengths import End, Term, Unit, begin_of, end_of, later, terms
from pipeline.rules.model import canonical

DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 30), max_size=2)


def day(number: int) -> datetime:
    return FIRST + number * DAY


def daily(unit: Unit, known: list[Term], now: datetime) -> int | None:
    """The greatest length that any day from a day before the month until now had."""
    found, at = [], begin_of(unit.month) - DAY + timedelta(seconds=1)
    while at <= now:
        found += [
            t.months[unit.retention_class]
            for t in known
            if t.since <= at and (t.until is None or at < t.until)
            if unit.retention_class in t.months
        ]
        at = min(at + DAY, now) if at < now else now + DAY
    return max(found, default=None)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 300), MONTHS), max_size=5, unique_by=lambda one: one[0]),
    st.integers(0, 9),
    st.integers(0, 120),
)
def test_it_is_the_greatest_length_of_any_day_since_the_month_began(
    applied: list[tuple[int, dict[str, int]]], month: int, after: int
) -> None:
    applied.sort(key=lambda one: one[0])
    ends: list[datetime | None] = [*(day(number) for number, _ in applied[1:]), None]
    known = [Term(i + 1, "", day(applied[i][0]), ends[i], applied[i][1], FIRST) for i in range(len(applied))]
    unit = Unit("a", later("2026-01", month))
    now = begin_of(unit.month) + after * DAY
    found = end_of(unit, known, now)
    assert (found.months if found else None) == daily(unit, known, now)
    if found:
        assert found.at == begin_of(later(unit.month, found.months + 1))


def revision(number: int, applied: datetime, published: datetime | None, **classes: int) -> Revision:
    text = canonical({"retention_class": [{"name": n, "months": m} for n, m in classes.items()]})
    return Revision(number, applied, "ana@example.com", "rules", "a test", f"sha{number}", text, published)


@pytest.mark.parametrize(
    ("month", "months", "ends", "by"),
    [
        ("2026-01", 24, "2028-02", 1),  # shorter later: nothing changes for what is stored
        ("2026-03", 24, "2028-04", 1),  # part of the month was still under the longer one
        ("2026-04", 12, "2027-05", 2),
    ],
)
def test_a_shorter_length_is_for_new_events_only(month: str, months: int, ends: str, by: int) -> None:
    known = terms([revision(1, day(0), day(0), a=24), revision(2, day(70), day(70), a=12)])
    assert end_of(Unit("a", month), known, day(400)) == End(begin_of(ends), months, by, f"sha{by}")


def test_a_longer_length_is_for_stored_events_too() -> None:
    known = terms([revision(1, day(0), day(0), a=6), revision(2, day(200), day(200), a=36)])
    assert end_of(Unit("a", "2026-01"), known, day(199)) == End(begin_of("2026-08"), 6, 1, "sha1")
    assert end_of(Unit("a", "2026-01"), known, day(201)) == End(begin_of("2029-02"), 36, 2, "sha2")


def test_what_kafka_does_not_have_yet_lengthens_and_shortens_nothing() -> None:
    longer = terms([revision(1, day(0), day(0), a=6), revision(2, day(40), None, a=36)])
    assert end_of(Unit("a", "2026-01"), longer, day(41)) == End(begin_of("2029-02"), 36, 2, "sha2")
    shorter = terms([revision(1, day(0), day(0), a=36), revision(2, day(10), None, a=6)])
    assert end_of(Unit("a", "2026-05"), shorter, day(200)) == End(begin_of("2029-06"), 36, 1, "sha1")


def test_what_was_kept_for_ever_is_not_shortened_by_a_revision_that_kafka_does_not_have() -> None:
    first = revision(1, day(0), day(0), b=6)
    assert end_of(Unit("a", "2026-01"), terms([first, revision(2, day(40), None, a=1)]), day(400)) is None
    assert end_of(Unit("a", "2026-01"), terms([first, revision(2, day(40), day(40), a=1)]), day(400)) is not None


def test_what_processors_are_behind_a_revision_shortens_nothing() -> None:
    """They may be minutes behind: what they take in as the next month begins is still under the longer one."""
    known = [revision(1, day(0), day(0), a=36), revision(2, day(31) - timedelta(minutes=2), day(31) - timedelta(minutes=2), a=1)]
    lengths = [end.months for month in ("2026-02", "2026-03") if (end := end_of(Unit("a", month), terms(known), day(400)))]
    assert lengths == [36, 1]


def test_a_class_that_was_gone_for_a_time_keeps_what_it_had_and_gets_what_it_has() -> None:
    known = terms([revision(1, day(0), day(0), a=12), revision(2, day(70), day(70)), revision(3, day(130), day(130), a=6)])
    lengths = [end.months for n in range(7) if (end := end_of(Unit("a", later("2026-01", n)), known, day(800)))]
    assert lengths == [12, 12, 12, 6, 6, 6, 6]
    assert end_of(Unit("a", "2026-04"), known, day(129)) is None, "for ever, until a revision says otherwise"


def test_of_two_revisions_in_a_month_the_longest_holds_for_it() -> None:
    known = terms([revision(n + 1, day(5 * n), day(5 * n), a=months) for n, months in enumerate((24, 36, 6))])
    lengths = [end.months for month in ("2026-01", "2026-02") if (end := end_of(Unit("a", month), known, day(400)))]
    assert lengths == [36, 6]


def test_without_any_rules_all_is_kept_for_ever() -> None:
    assert terms([]) == []
    assert end_of(Unit("a", "2026-01"), [], day(4000)) is None


def test_a_class_without_a_length_is_kept_for_ever() -> None:
    known = terms([revision(1, day(0), day(0), a=6), revision(2, day(40), day(40), b=6)])
    assert end_of(Unit("c", "2026-01"), known, day(4000)) is None
    assert end_of(Unit("", "2026-01"), known, day(4000)) is None
    assert end_of(Unit("a", "2026-02"), known, day(4000)) is not None
    assert end_of(Unit("a", "2026-03"), known, day(4000)) is None, "nothing says how long since"
    assert end_of(Unit("b", "2026-01"), known, day(4000)) is not None, "from its first revision on"


def test_months_are_calendar_months() -> None:
    assert [later("2026-11", n) for n in (0, 1, 2, 13, 1200)] == ["2026-11", "2026-12", "2027-01", "2027-12", "2126-11"]

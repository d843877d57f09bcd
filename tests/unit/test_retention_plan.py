"""What is due, what blocks it, and what counts as the same: the pure parts between rules and stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from connectors import avro, positions
from connectors.clickhouse.retention import HeldRows, _named
from connectors.deletions import CERTIFICATE, Place, kept, objects_of, place_of, unit_of
from connectors.manifest import Manifest, Part, object_key
from connectors.ranges import Plan as Range
from pipeline.fsck.compare import window
from pipeline.fsck.ledger import Book, Tally
from pipeline.retention import plan as planning
from pipeline.retention.certificate import Deletion, Object, Removed
from pipeline.retention.deleted import Deletions
from pipeline.retention.lengths import End, Unit, begin_of
from pipeline.retention.plan import Line, Plan, agreed, within
from pipeline.retention.runner import audit_event
from schemas import schema_text

NOW = datetime(2028, 5, 1, tzinfo=UTC)
UNIT = Unit("standard", "2026-03")
ENDED = End(begin_of("2028-04"), 24, 7, "ab" * 32)
ROWS = [HeldRows("id", 0, 3, 3, 30, 5, 9, 12), HeldRows("id", 1, 1, 1, 8, 0, 0, -1)]
PARTS = [
    planning.Part("audit.events", "id", 0, 2, 20),
    planning.Part("audit.events", "id", 0, 1, 10),
    planning.Part("audit.events", "id", 1, 1, 8),
]
REMOVED = (Removed("audit.events", "id", 0, 3, 30, 5, 9, 12), Removed("audit.events", "id", 1, 1, 8, 0, 0, -1))
DUE = Line(UNIT, 4, 99, (Object("events/x", "v1", 7, marker=False),), ENDED, NOW, removed=REMOVED)


def test_what_both_stores_have_is_what_goes() -> None:
    assert agreed(ROWS, PARTS) == (REMOVED, [])


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (ROWS[:1], PARTS),
        (ROWS, PARTS[1:]),
        ([replace(ROWS[0], unique=2), ROWS[1]], PARTS),
        ([replace(ROWS[0], checksum=31), ROWS[1]], PARTS),
        ([*ROWS, replace(ROWS[0], topic_id="another")], PARTS),
    ],
)
def test_where_they_do_not_have_the_same_it_says_so(rows: list[HeldRows], parts: list[planning.Part]) -> None:
    assert len(agreed(rows, parts)[1]) == 1


def test_a_rest_of_what_was_to_go_may_be_gone_on_with_and_nothing_else() -> None:
    assert within(ROWS, REMOVED) is None and within([], REMOVED) is None
    assert within([replace(ROWS[0], count=1, checksum=4, first=6, last=6)], REMOVED) is None
    for odd in ({"count": 4}, {"checksum": 31}, {"last": 10}, {"first": 4}, {"partition": 2}, {"topic_id": "another"}):
        assert within([replace(ROWS[0], **odd)], REMOVED) is not None, odd


def test_a_line_says_what_becomes_of_it() -> None:
    states = {
        "due": DUE,
        "kept": replace(DUE, end=replace(ENDED, at=begin_of("2028-06"))),
        "kept for ever": replace(DUE, end=None),
        "blocked": replace(DUE, blocked=("why",)),
        "begun": replace(DUE, begun=True),
    }
    assert {name: line.state for name, line in states.items()} == {name: name for name in states}
    plan = Plan("audit", [*states.values()])
    assert plan.due == [DUE]
    with pytest.raises(ValueError, match="not due"):
        states["kept"].intent("audit", "ana", "why", "")


def test_a_plan_is_another_one_when_anything_it_would_do_is() -> None:
    same = Plan("audit", [replace(DUE, now=NOW.replace(day=2), bytes=1)])
    others = (
        replace(DUE, objects=(Object("events/x", "v2", 7, marker=False),)),
        replace(DUE, removed=REMOVED[:1]),
        replace(DUE, end=replace(ENDED, revision=8)),
        replace(DUE, unit=Unit("standard", "2026-02")),
    )
    of = Plan("audit", [DUE]).identity
    assert same.identity == of
    assert len({of, Plan("audit", []).identity, *(Plan("audit", [other]).identity for other in others)}) == 6


def test_names_in_the_bucket_say_class_and_month() -> None:
    for name in ("standard", "", "a/b=c"):
        place = Place(name, "2026-03", CERTIFICATE)
        assert place_of(place.key) == place
        key = object_key(Range("audit.events", "id", 0, 0, 9, 9, 1), name, int(begin_of("2026-03").timestamp() * 1000))
        assert unit_of(key) == (name, "2026-03") and key.startswith(objects_of(name, "2026-03"))
    assert place_of("deletions/class=a/month=2026-03/other.json") is None and unit_of("events/odd") is None
    assert _named("('it\\'s',202603)") == ("it's", "2026-03")


def test_what_is_left_of_a_range_is_what_is_not_deleted() -> None:
    keys = [object_key(Range("t", "id", 0, 0, 9, 9, 1), n, int(begin_of("2026-03").timestamp() * 1000)) for n in ("a", "b")]
    parts = (Part(keys[0], "a", 4, 2**64 - 1, 1, ""), Part(keys[1], "b", 5, 3, 1, ""))
    whole = Manifest("t", "id", 0, 0, 9, 9, 2, 79, 1, parts)
    assert kept(whole, set()) == whole
    rest = kept(whole, {("a", "2026-03"), ("b", "2026-04")})
    assert (rest.parts, rest.count, rest.checksum) == (parts[1:], 5, 3)


def test_certificates_add_up_by_partition() -> None:
    one = Deletion("audit", UNIT, ENDED, REMOVED, (), "ana", "why", "", NOW, NOW)
    two = replace(one, unit=Unit("standard", "2026-02"), removed=(replace(REMOVED[0], count=2, checksum=2**64 - 1),))
    found = Deletions({one.unit: one, two.unit: two})
    assert (found.last_raw("id", 0), found.last_raw("another", 0)) == (12, -1)
    assert found.of("id", 0) == (5, 29) and found.of("id", 1) == (1, 8) and found.of("another", 0) == (0, 0)


def test_the_audit_event_is_the_same_however_often_it_is_made() -> None:
    certificate = Deletion("audit", UNIT, ENDED, REMOVED, DUE.objects, "ana@example.com", "why", "p", NOW, NOW)
    key, body = audit_event(certificate)
    assert (key, body) == audit_event(replace(certificate))
    (found,) = avro.decode([body], schema_text("audit_event")).to_pylist()
    assert (found["event_type"], found["actor_id"], found["target_id"]) == (
        "retention.deleted",
        "ana@example.com",
        "standard/2026-03",
    )
    assert {a["key"]: a["value"] for a in found["attributes"]}["events"] == "4"
    assert audit_event(replace(certificate, by="bob"))[1] != body


def held(offsets: list[int], gone: list[int]) -> positions.Positions:
    found = positions.empty(len(offsets))
    found["offset"], found["stored"], found["digest"], found["own"] = offsets, offsets, offsets, True
    found["gone"] = np.isin(offsets, gone)
    return found


def test_fsck_misses_nothing_that_is_certified_and_finds_what_is_there_all_the_same() -> None:
    topic = held([1, 2, 3, 4], [2, 3])
    stores = {"clickhouse": held([1, 4], []), "archive": held([1, 3], [3])}
    found = {(f.kind, f.text, f.first) for f in window("t[0]", topic, stores)[1]}
    assert found == {("missing_in_archive", "", 4), ("not_deleted", "in archive", 3)}


def test_events_of_a_class_and_month_are_known() -> None:
    names = ["standard", "short", "standard"]
    empty = avro.empty()
    columns = [pa.array(names) if f.name == "processed_retention_class" else pa.nulls(3, f.type) for f in empty.schema]
    events = pa.RecordBatch.from_arrays(columns, names=empty.schema.names)
    times = np.array([int(begin_of(month).timestamp() * 1000) for month in ("2026-03", "2026-03", "2026-04")])
    assert positions.gone(events, times, {UNIT_KEY}).tolist() == [True, False, False]
    assert positions.gone(events, times - 1, {UNIT_KEY}).tolist() == [False, False, True]


UNIT_KEY = ("standard", "2026-03")


def tally(gone: tuple[int, int] | None, *lost: int, last: int = 50) -> list[str]:
    """Findings where transactions of ten events lack some; digests are the offsets."""
    fixed = {"raw_topic": "raw", "raw_partition": 0, "quarantined": 0, "duplicates": 0, "lost": 0, "reasons": [], "resolved": []}
    entries = []
    for number in range(5):
        first, end = 10 * number, 10 * number + 10
        counted = {"start_offset": first, "end_offset": end, "read": 10, "clean": 10, "checksum": sum(range(first, end))}
        entries.append((number, {**fixed, **counted}))
    of = Tally(Book("ledger[0]", ("raw", 0)).take(entries), "t[0]")
    offsets = np.array([n for n in range(50) if n not in lost])
    of.feed("clickhouse", offsets, offsets, offsets.astype(np.uint64))
    return [f.kind for f in of.end(whole=True, gone=gone, last_gone=last)]


def test_the_ledger_counts_with_what_is_certified_by_count_and_checksum() -> None:
    assert tally((0, 0)) == []
    assert tally((0, 0), 3, 44) == ["ledger_differs", "ledger_differs"], "without certificates each transaction is named"
    assert tally((2, 47), 3, 44) == []
    assert tally((2, 48), 3, 44) == tally((1, 44), 3, 44) == tally((2, 47), 3) == tally((2, 47)) == ["certified_differs"]
    assert tally((12, sum(range(10, 20)) + 3 + 44), *range(10, 20), 3, 44) == [], "a whole transaction too"
    assert tally(None, 3, 44) == [], "nobody knows of which transactions they were"
    assert tally(None, 3, 44, last=39) == tally(None, 44, last=-1) == ["ledger_differs"], (
        "but not of those behind all that is gone"
    )
    assert tally(None, 3, 44, last=40) == []

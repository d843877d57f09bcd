"""Names of the archive's objects, and manifests: what is written is what is read, and names sort as ranges do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import manifest
from connectors.manifest import Manifest, Part
from connectors.ranges import Plan

PLAN = Plan("audit.events", "mz0Gx-_TQ7aVw1c2d3e4fg", 2, 100, 4100, 3999, 2**64 - 1)
PART = Part("events/class=a/dt=2026-11-01/x.parquet", "a", 3999, 2**64 - 1, 12, "ab" * 32)
NUMBERS = st.integers(0, 2**63 - 1)


def test_a_manifest_survives_json() -> None:
    whole = Manifest.of(PLAN, (PART, replace(PART, retention_class="")))
    assert Manifest.from_json(whole.to_json()) == whole
    assert b"ffffffffffffffff" in whole.to_json()


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"v": 2}', b'{"v": 1, "parts": [{"key": 1}]}'])
def test_what_is_not_a_manifest_is_said_so(text: bytes) -> None:
    with pytest.raises(ValueError, match="not an archive manifest"):
        Manifest.from_json(text)


def test_other_bytes_are_the_same_events_and_other_events_are_not() -> None:
    mine = Manifest.of(PLAN, (PART,))
    assert mine.same_events(replace(mine, parts=(replace(PART, size=99, sha256="cd" * 32),)))
    assert not mine.same_events(replace(mine, parts=(replace(PART, checksum=1),)))
    assert not mine.same_events(replace(mine, checksum=1))
    assert not mine.same_events(replace(mine, parts=()))


@given(start=NUMBERS, end=NUMBERS)
def test_a_manifests_name_gives_its_range(start: int, end: int) -> None:
    assert manifest.range_of(replace(Manifest.of(PLAN, ()), start=start, end=end).key) == (start, end)


@given(ends=st.lists(NUMBERS, min_size=2, max_size=2), offset=NUMBERS)
def test_names_sort_by_end_and_a_listing_shows_what_reaches_beyond_an_offset(ends: list[int], offset: int) -> None:
    one, other = (replace(Manifest.of(PLAN, ()), end=e).key for e in ends)
    assert (one < other) == (ends[0] < ends[1])
    assert (one > manifest.after("audit.events", PLAN.topic_id, 2, offset)) == (ends[0] > offset)


@pytest.mark.parametrize("key", ["ranges/t/i/000/x.json", "events/1-2.json", "ranges/t/i/000/1-2.txt", "ranges/t/i/000/12.json"])
def test_other_names_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not the name of a manifest"):
        manifest.range_of(key)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("standard", "class=standard"), ("a/b c%", "class=a%2Fb%20c%25"), ("ä", "class=%C3%A4"), ("", f"class={manifest.NO_CLASS}")],
)
def test_an_object_is_found_by_class_and_day(name: str, folder: str) -> None:
    key = manifest.object_key(PLAN, name, 1_793_577_599_999)
    assert key == (
        f"events/{folder}/dt=2026-11-01/audit.events-{PLAN.topic_id}-002-"
        f"00000000000000000100-00000000000000004100-v{PLAN.schema}.parquet"
    )


def test_a_key_says_which_range_it_is_of() -> None:
    plan = replace(PLAN, topic="audit-x.events-1")
    key = manifest.object_key(plan, "a-1", 0)
    assert manifest.object_of(key) == manifest.ObjectName(manifest.stem_of("audit-x.events-1", PLAN.topic_id), 2, 100, 4100)
    assert manifest.object_of(key + "x") is None
    assert manifest.object_of("events/notes.txt") is None


def test_a_topic_made_anew_has_names_of_its_own() -> None:
    assert manifest.object_key(PLAN, "a", 0) != manifest.object_key(replace(PLAN, topic_id="another"), "a", 0)


@given(st.lists(st.text(max_size=20), min_size=2, max_size=2, unique=True))
def test_no_two_classes_share_a_key(classes: list[str]) -> None:
    assert len({manifest.object_key(PLAN, c, 0) for c in classes}) == 2


def test_the_place_of_a_plan_is_where_the_archive_stood() -> None:
    place = manifest.place_of(manifest.plan_key(PLAN.topic, PLAN.topic_id, PLAN.partition, 17, 2))
    assert place == manifest.ObjectName(manifest.stem_of(PLAN.topic, PLAN.topic_id), PLAN.partition, 17, 18)


def test_the_place_of_an_object_and_of_a_manifest_is_read_back() -> None:
    key = manifest.object_key(PLAN, "a", 0)
    place = manifest.ObjectName(manifest.stem_of(PLAN.topic, PLAN.topic_id), 2, 100, 4100)
    assert manifest.place_of(key) == manifest.place_of(Manifest.of(PLAN, ()).key) == place
    assert manifest.place_of("ranges/other") is manifest.place_of("events/notes.txt") is None

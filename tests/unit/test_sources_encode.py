"""The receiver's encoder of few columns makes the very bytes of the SDK's, and leaves to it what is large or wrong."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditwire import AuditEvent, InvalidEventError, encode, within_limits
from auditwire._event import KINDS
from connectors.sources import encode as ours
from connectors.sources.encode import body_of
from connectors.sources.fields import GITLAB_IDS, Fields, Unmappable, uuid5

NEEDED: Fields = {"event_type": "tool.invoked", "occurred_at": 1_772_343_833_000_000}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT | st.sampled_from([63, 64, 8_191, 8_192, 40_000]).map(lambda size: "é" + "x" * size),
    "time": st.integers(0, 7_258_118_399_999_999),
    "long": st.integers(-(1 << 63), (1 << 63) - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "strings": st.lists(TEXT, max_size=3) | st.integers(120, 300).map(lambda count: ["x"] * count),
    "pairs": st.dictionaries(TEXT, TEXT, max_size=3)
    | st.integers(120, 300).map(lambda count: {str(n): "x" for n in range(count)}),
}
COLUMNS = sorted(KINDS.keys() - NEEDED.keys())


@st.composite
def some_fields(draw: st.DrawFn) -> Fields:
    names = draw(st.lists(st.sampled_from(COLUMNS), unique=True, max_size=8))
    return {**{name: draw(VALUES[KINDS[name]]) for name in names}, **NEEDED}


@settings(max_examples=60)
@given(fields=some_fields())
def test_bytes_are_those_of_the_sdk(fields: Fields) -> None:
    wanted = encode(within_limits(AuditEvent(**fields)))
    assert body_of(fields) == wanted
    assert ours._small(fields) in (wanted, None)


@pytest.mark.parametrize("name", COLUMNS)
def test_each_column_alone_takes_its_place(name: str) -> None:
    value = {"string": "é x", "long": 70, "double": 0.5, "strings": ["a", "é"], "pairs": {"a": "é"}}[KINDS[name]]
    fields = {name: value, **NEEDED}
    assert ours._small(fields) == encode(AuditEvent(**fields))


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": 1},
        {"message": "\ud800"},
        {"input_tokens": "1"},
        {"input_tokens": 1 << 63},
        {"cost_usd": float("nan")},
        {"tools_offered": [1]},
        {"attributes": {"a": None}},
        {"occurred_at": -1},
    ],
)
def test_what_the_sdk_refuses_is_refused_in_its_words(wrong: Fields) -> None:
    fields = {**NEEDED, **wrong}
    with pytest.raises(InvalidEventError) as said:
        encode(AuditEvent(**fields))
    with pytest.raises(Unmappable) as caught:
        body_of(fields)
    assert (caught.value.reason, caught.value.detail) == ("bad_value", str(said.value))


def test_a_time_is_needed() -> None:
    with pytest.raises(Unmappable, match="occurred_at"):
        body_of({"event_type": "tool.invoked"})


@settings(max_examples=60)
@given(name=TEXT)
def test_ids_are_uuids_of_version_5(name: str) -> None:
    assert uuid5(GITLAB_IDS, name) == str(uuid.uuid5(GITLAB_IDS, name))

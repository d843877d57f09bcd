"""Leftovers become pairs, bounded, and none overwrites another."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.outbox import Record
from connectors.sources.attributes import KEY_BYTES, MORE, PAIRS, attributes_of
from connectors.sources.encode import body_of
from connectors.sources.fields import Origin, Unmappable
from connectors.sources.gitlab import event
from tests.ingest import events_of, payload


def test_paths_of_nested_objects() -> None:
    assert attributes_of({"b": 1, "a": {"x": True, "y": {"z": {"deep": [None]}}}, "n": None, "e": {}, "f": 1.5}) == {
        "a.x": "true",
        "a.y.z": '{"deep":[null]}',
        "b": "1",
        "e": "{}",
        "f": "1.5",
    }


def test_equal_paths_are_both_kept() -> None:
    pairs = attributes_of({"a.b": "one", "a": {"b": "two"}, MORE: "mine"})
    assert pairs["a.b"] == "one"
    assert json.loads(pairs[MORE]) == [["a.b", "two"], [MORE, "mine"]]


@given(st.integers(0, 600))
def test_however_many_keys_there_are_none_is_lost(count: int) -> None:
    pairs = attributes_of({f"key{i}": f"value{i}" for i in range(count)})
    assert len(pairs) <= PAIRS
    rest = dict(json.loads(pairs.pop(MORE, "[]")))
    assert {**pairs, **rest} == {f"key{i}": f"value{i}" for i in range(count)}


def test_long_keys_go_into_one_pair() -> None:
    pairs = attributes_of({"ä" * KEY_BYTES: "x", "k": "y"})
    assert pairs == {"k": "y", MORE: json.dumps([["ä" * KEY_BYTES, "x"]], ensure_ascii=False, separators=(",", ":"))}


def stored(element: dict[str, Any]) -> dict[str, Any]:
    body = body_of(event(element, Origin("demo", "gitlab", b"")))
    return events_of([Record("audit.raw", b"", b"\0\0\0\0\7" + body)])[0]


def test_a_two_megabyte_tool_result_is_cut_with_its_true_length() -> None:
    element = payload("ai_tool_response_received")
    element["details"] |= {"response_content": "ü" * (1 << 20), "response_length": 1 << 20}
    row = stored(element)
    assert len(row["tool_result"].encode()) == 64 * 1024
    assert row["content_length"] == 2 << 20
    assert row["truncated_fields"] == [f"tool_result={2 << 20}"]


def test_a_long_list_is_cut_with_its_true_count() -> None:
    element = payload("ai_llm_input_sent")
    element["details"]["tools_bound"] = [f"tool{i}" for i in range(300)]
    row = stored(element)
    assert (len(row["tools_offered"]), row["truncated_fields"]) == (256, ["tools_offered[]=300"])


def test_a_cut_at_the_source_shows() -> None:
    element = payload("ai_user_input_received")
    element["details"]["content_length"] = 900_000
    assert stored(element)["content_length"] == 900_000


def test_an_event_never_gets_too_large_for_kafka() -> None:
    element = payload("ai_llm_input_sent")
    element["details"] |= {f"k{i}": "x" * 70_000 for i in range(300)}
    assert len(body_of(event(element, Origin("demo", "gitlab", b"")))) <= 512 * 1024


def test_nul_characters_are_replaced_and_named() -> None:
    element = payload("ai_tool_response_received")
    element["details"] |= {"response_content": "a\0b", "ex\0tra": "c\0"}
    row = stored(element)
    assert row["tool_result"] == "a\ufffdb"
    pairs = {pair["key"]: pair["value"] for pair in row["attributes"]}
    assert pairs["details.ex\ufffdtra"] == "c\ufffd"
    assert pairs["nul_replaced"] == "attributes,tool_result"


def test_a_type_that_is_too_long_is_for_quarantine() -> None:
    try:
        stored({**payload("unknown_type"), "event_type": "x" * 257})
    except Unmappable as exc:
        assert exc.reason == "bad_event_type"
    else:
        raise AssertionError("it was taken")

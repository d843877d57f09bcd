"""Auditwire's own JSON: names of the schema, strict, with errors that say how to mend."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.sources import auditwire_json
from connectors.sources.fields import COLUMNS, Fields, Origin, Unmappable

ORIGIN = Origin("demo", "agents", b"k" * 32)
BASE = {"event_type": "tool.invoked", "occurred_at": "2026-01-31T12:00:00Z", "source_event_id": "7"}
UUID = "5f1c2a07-7d3e-4b7a-9c55-0d9f6a1b2c3d"


def mapped(**fields: Any) -> Fields:
    return auditwire_json.event({**BASE, **fields}, ORIGIN)


def test_every_field_that_a_sender_may_give_is_taken() -> None:
    examples = {"text": "x", "content": "x", "whole": 5, "real": 1.5, "texts": ["a", "b"]}
    fields = {name: examples[COLUMNS[name]] for name in auditwire_json.PLAIN}
    event = mapped(**fields, attributes={"k": "v", "n": {"a": 1}})
    assert {name: event[name] for name in fields} == fields
    assert event["attributes"] == {"k": "v", "n": '{"a":1}'}


def test_tenant_and_source_are_those_of_the_token() -> None:
    event = mapped(tenant_id="demo", source="agents")
    assert (event["tenant_id"], event["source"]) == ("demo", "agents")
    for field in ("tenant_id", "source"):
        with pytest.raises(Unmappable, match="the token says it"):
            mapped(**{field: "other"})


def test_ids_given_derived_and_missing() -> None:
    assert mapped(event_id=UUID)["event_id"] == UUID
    assert mapped(event_id=UUID, source_event_id=None)["source_event_id"] == UUID
    assert mapped()["event_id"] == mapped(tool_name="x")["event_id"]
    first, second = mapped(source_event_id=None), mapped(source_event_id=None, tool_name="x")
    assert first == mapped(source_event_id=None)
    assert first["event_id"] != second["event_id"]
    for bad in (UUID.upper(), "7", 7, f"{{{UUID}}}"):
        with pytest.raises(Unmappable, match="lower-case UUID"):
            mapped(event_id=bad)


def test_times_as_text_or_microseconds() -> None:
    assert mapped()["occurred_at"] == mapped(occurred_at=1769860800000000)["occurred_at"] == 1769860800000000


def test_attributes_as_pairs() -> None:
    assert mapped(attributes=[{"key": "a", "value": "b"}])["attributes"] == {"a": "b"}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tool_nam": "x"}, "did you mean tool_name"),
        ({"zzzzzz": "x"}, "zzzzzz is not a field: what has no column"),
        ({"processed_version": "x"}, "written by Auditwire"),
        ({"processed_anything": "x"}, "written by Auditwire"),
        ({"truncated_fields": []}, "written by Auditwire"),
        ({"producer_id": "x"}, "the SDK"),
        ({"sequence": 1}, "the SDK"),
        ({"observed_at": 1}, "the SDK"),
        ({"event_type": ""}, "event_type is missing"),
        ({"occurred_at": None}, "occurred_at is missing"),
        ({"occurred_at": 1.5}, "ISO 8601"),
        ({"occurred_at": -1}, "ISO 8601"),
        ({"input_tokens": "5"}, "input_tokens must be a whole number"),
        ({"cost_usd": "5"}, "cost_usd must be a finite number"),
        ({"tools_offered": "x"}, "tools_offered must be an array of texts"),
        ({"tool_name": {"a": 1}}, "tool_name must be text"),
        ({"attributes": [1]}, "attributes must be an object"),
        ({"attributes": [{"key": "a", "value": "b"}, {"key": "a", "value": "c"}]}, "attributes must be an object"),
        ({"attributes": {str(i): "" for i in range(257)}}, "at most 256"),
    ],
)
def test_what_is_wrong_is_named_with_the_way_to_mend_it(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(Unmappable) as caught:
        mapped(**fields)
    assert text in caught.value.detail


def test_values_are_not_quoted() -> None:
    for field in ("tool_name", "input_tokens", "occurred_at", "event_id", "tenant_id"):
        with pytest.raises(Unmappable) as caught:
            mapped(**{field: {"secret": "hunter2"}})
        assert "hunter2" not in str(caught.value)

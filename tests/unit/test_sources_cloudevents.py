"""CloudEvents become events: required attributes, Duo's types, columns named in data, everything else kept."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.sources import cloudevents
from connectors.sources.fields import Fields, Origin, Unmappable

ORIGIN = Origin("demo", "agents", b"k" * 32)
BASE = {"specversion": "1.0", "id": "a-1", "source": "/agents/build", "type": "com.example.run", "time": "2026-01-31T12:00:00.5Z"}


def mapped(**fields: Any) -> Fields:
    return cloudevents.event({**BASE, **fields}, ORIGIN)


def test_an_unknown_type_is_taken_as_it_is() -> None:
    event = mapped(subject="run-7", dataschema="https://example.com/s", data={"a": {"b": 1}, "tool_name": "grep"}, custom=True)
    assert (event["event_type"], event["source_event_type"], event["source_event_id"]) == ("com.example.run",) * 2 + ("a-1",)
    assert (event["occurred_at"], event["target_id"], event["tool_name"]) == (1769860800500000, "run-7", "grep")
    assert event["attributes"] == {
        "custom": "true",
        "data.a.b": "1",
        "dataschema": "https://example.com/s",
        "source": "/agents/build",
    }


def test_duos_own_events_land_in_the_columns_of_gitlabs_ai_events() -> None:
    data = {"workflow_id": "4711", "tool_name": "run_command", "tool_args": {"a": 1}}
    event = mapped(type="ai_tool_invoked", source="/duo_workflow_service", subject="4711", sequence=5, data=data)
    assert (event["event_type"], event["source_event_type"]) == ("tool.invoked", "ai_tool_invoked")
    assert (event["session_id"], event["tool_name"], event["tool_args"]) == ("4711", "run_command", '{"a":1}')
    assert event["attributes"] == {"sequence": "5", "source": "/duo_workflow_service"}


def test_the_session_of_a_duo_event_may_stand_in_the_subject_alone() -> None:
    assert mapped(type="ai_user_input_received", subject="4711")["session_id"] == "4711"
    other = mapped(type="ai_user_input_received", subject="4712", data={"workflow_id": "4711"})
    assert (other["session_id"], other["attributes"]["subject"]) == ("4711", "4712")


def test_data_cannot_say_whose_event_it_is_or_what_the_processor_writes() -> None:
    forged = dict.fromkeys(cloudevents.RESERVED, "forged")
    event = mapped(data=forged)
    assert event["tenant_id"] == "demo"
    assert all("forged" not in str(value) for name, value in event.items() if name != "attributes")
    assert event["attributes"]["data.tenant_id"] == "forged"


def test_identity_is_source_and_id_as_the_specification_says() -> None:
    ids = {mapped()["event_id"], mapped(source="/other")["event_id"], mapped(id="a-2")["event_id"]}
    assert len(ids) == 3
    assert mapped()["event_id"] == mapped(data={"x": 1})["event_id"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"specversion": "0.3"}, "bad_cloudevent"),
        ({"id": ""}, "bad_cloudevent"),
        ({"id": 7}, "bad_cloudevent"),
        ({"source": None}, "bad_cloudevent"),
        ({"type": ["x"]}, "bad_cloudevent"),
        ({"time": None}, "no_time"),
        ({"time": "soon"}, "bad_time"),
    ],
)
def test_what_is_no_cloudevent_is_for_quarantine(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unmappable) as caught:
        mapped(**fields)
    assert caught.value.reason == reason


def test_data_of_any_kind_is_kept() -> None:
    assert mapped(data=[1, 2])["attributes"]["data"] == "[1,2]"
    assert mapped(data="text")["attributes"]["data"] == "text"
    assert mapped(data_base64="AAEC")["attributes"]["data_base64"] == "AAEC"


def test_the_trace_is_found_in_traceparent() -> None:
    event = mapped(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert event["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "trace_id" not in mapped(traceparent="nonsense")


def test_binary_mode_gives_the_same_event() -> None:
    headers = {f"ce-{name}": value for name, value in BASE.items()} | {
        "ce-subject": "r%C3%BCn",
        "content-type": "application/json",
    }
    payload = cloudevents.from_binary(headers, b'{"tool_name":"grep"}')
    assert payload["subject"] == "rün"
    assert cloudevents.event(payload, ORIGIN)["tool_name"] == "grep"
    text = cloudevents.from_binary({**headers, "content-type": "text/plain"}, b"\xff plain")
    assert cloudevents.event(text, ORIGIN)["attributes"]["data"] == "\\xff plain"

"""GitLab's payloads become the fields they should, nothing of them is lost, and a retry gives the same event."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources import gitlab
from connectors.sources.encode import body_of
from connectors.sources.fields import Fields, Origin, Unmappable
from tests.ingest import AI_NAMES, HEADER_TYPES, NAMES, expected, payload

ORIGIN = Origin("demo", "gitlab", b"k" * 32)


def mapped(element: Any, header: str = "") -> Fields:
    return gitlab.event(element, ORIGIN, header)


def changed(name: str, **fields: Any) -> dict[str, Any]:
    return {**payload(name), **fields}


@pytest.mark.parametrize("name", NAMES)
def test_each_fixture_lands_in_the_right_fields(name: str) -> None:
    assert mapped(payload(name), HEADER_TYPES.get(name, "")) == expected()[name]


def test_all_eleven_ai_events_have_fixtures_and_names_of_our_own() -> None:
    assert set(AI_NAMES) == set(gitlab.AI_KINDS)
    assert len({kind.name for kind in gitlab.AI_KINDS.values()}) == len(AI_NAMES) == 11


@pytest.mark.parametrize("name", NAMES)
def test_a_retry_gives_the_same_bytes_whatever_the_order_of_keys(name: str) -> None:
    turned = dict(reversed(payload(name).items()))
    header = HEADER_TYPES.get(name, "")
    assert body_of(mapped(payload(name), header)) == body_of(mapped(turned, header))


def test_the_payload_is_left_as_it_was() -> None:
    element = payload("ai_tool_invoked")
    before = copy.deepcopy(element)
    mapped(element)
    assert element == before


@pytest.mark.parametrize(
    ("author", "author_class", "wanted"),
    [
        (5, "User", "human"),
        (5, "", "human"),
        (-3, "DeployKey", "service_account"),
        (-2, "", "service_account"),
        (-3, "", "service_account"),
        (-1, "", "system"),
        (-1, "Gitlab::Audit::UnauthenticatedAuthor", "system"),
        (-2, "Gitlab::Audit::DeployTokenAuthor", "service_account"),
        (9, "ServiceAccount", "service_account"),
        (None, "", ""),
    ],
)
def test_actor_type_by_author_and_class(author: int | None, author_class: str, wanted: str) -> None:
    assert gitlab.actor_type(author, author_class) == wanted


def test_composite_identity_names_the_person_and_the_service_account() -> None:
    event = mapped(payload("session_composite"))
    assert (event["actor_type"], event["actor_id"]) == ("service_account", "77")
    assert (event["human_principal_id"], event["human_principal_name"]) == ("42", "Sidney Jones")
    assert event["delegation_chain"] == ["human:42", "service_account:77"]


@pytest.mark.parametrize("status", ["failed", "stopped", "finished", "something new"])
def test_the_end_of_a_session_says_how_it_ended(status: str) -> None:
    element = payload("ai_agent_session_ended")
    element["details"] |= {"status": status, "error_message": "no runner"}
    event = mapped(element)
    assert event["session_status"] == status
    assert event["error_message"] == "no runner"
    assert event["outcome"] == {"failed": "failure", "finished": "success"}.get(status, "")


def test_the_type_comes_from_the_body_first() -> None:
    event = mapped(payload("session_started"), "something_else")
    assert event["source_event_type"] == "duo_session_started"
    assert event["attributes"]["header.event_type"] == "something_else"
    bare = {"id": 1, "created_at": "2026-01-01T00:00:00Z"}
    assert mapped(bare)["event_type"] == "unknown"
    assert mapped(bare, "project_created")["event_type"] == "project_created"


@pytest.mark.parametrize("moment", [None, ""])
def test_a_time_is_never_invented(moment: Any) -> None:
    with pytest.raises(Unmappable) as caught:
        mapped(changed("git_deploy_key", created_at=moment))
    assert caught.value.reason == "no_time"


@pytest.mark.parametrize(
    "moment",
    ["yesterday", 5, "2026-02-27", "2026-02-27T10:00:00", "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", {"a": 1}, True],
)
def test_a_time_that_cannot_be_stored_is_refused_without_being_quoted(moment: Any) -> None:
    with pytest.raises(Unmappable) as caught:
        mapped(changed("git_deploy_key", created_at=moment))
    assert caught.value.reason == "bad_time"
    assert str(moment) not in caught.value.detail or moment in (5, True)


@pytest.mark.parametrize(
    ("moment", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2022-07-26T05:43:53.662Z", 1658814233662000),
        ("2022-07-26T07:43:53.662000+02:00", 1658814233662000),
        ("2022-07-26 05:43:53 UTC", 1658814233000000),
        ("2199-12-31T23:59:59.999999Z", 7258118399999999),
    ],
)
def test_times_become_utc_microseconds(moment: str, micros: int) -> None:
    assert mapped(changed("git_deploy_key", created_at=moment))["occurred_at"] == micros


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": {"a": 1}}, "bad_id"),
        ({"id": 1.5}, "bad_id"),
        ({"id": "x" * 1025}, "bad_id"),
        ({"author_id": [1]}, "bad_type"),
        ({"author_name": {"first": "A"}}, "bad_type"),
        ({"entity_path": ["a"]}, "bad_type"),
        ({"event_type": {"name": "x"}}, "bad_type"),
    ],
)
def test_wrong_types_in_the_envelope_are_for_quarantine(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unmappable) as caught:
        mapped(changed("git_deploy_key", **fields))
    assert caught.value.reason == reason


@pytest.mark.parametrize("element", [None, 5, "text", [], [{"id": 1}], True])
def test_an_element_that_is_no_object_is_for_quarantine(element: Any) -> None:
    with pytest.raises(Unmappable) as caught:
        mapped(element)
    assert caught.value.reason == "not_an_object"


def test_wrong_types_in_details_stay_readable_in_attributes() -> None:
    element = payload("ai_llm_response_received")
    element["details"] |= {"prompt_token_count": "many", "latency_ms": {"p50": 3}, "response_content": [{"type": "text"}]}
    event = mapped(element)
    assert "input_tokens" not in event
    assert event["response"] == '[{"type":"text"}]'
    assert event["attributes"]["details.prompt_token_count"] == "many"
    assert event["attributes"]["details.latency_ms.p50"] == "3"
    assert mapped(changed("git_deploy_key", details="just text"))["attributes"]["details"] == "just text"


def test_events_with_equal_ids_differ_by_tenant_and_source_and_parts_cannot_be_shifted() -> None:
    element = payload("git_deploy_key")
    origins = [
        Origin("demo", "gitlab", b""),
        Origin("acme", "gitlab", b""),
        Origin("demo", "gitlab2", b""),
        Origin("demog", "itlab", b""),
    ]
    assert len({gitlab.event(element, origin)["event_id"] for origin in origins}) == len(origins)


def test_an_integer_and_a_text_id_are_the_same_id() -> None:
    first, second = (mapped(changed("git_deploy_key", id=value)) for value in (12, "12"))
    assert first == second


def test_without_an_id_the_content_makes_it_and_the_key_hides_the_content() -> None:
    element = changed("git_deploy_key", id=None)
    first = mapped(element)
    assert first == mapped(dict(reversed(element.items())))
    assert first["event_id"] != mapped({**element, "target_id": 30})["event_id"]
    assert first["event_id"] != gitlab.event(element, Origin("demo", "gitlab", b"other key"))["event_id"]


def test_nul_characters_are_replaced_and_the_event_says_so() -> None:
    element = payload("ai_tool_response_received")
    element["details"]["response_content"] = "a\0b"
    assert body_of(mapped(element))  # the encoder takes no NUL


LEAVES = st.integers(10**9, 10**12).map(lambda n: f"leaf-{n}") | st.integers(10**9, 10**12)
KEYS = st.sampled_from(
    [*gitlab.ENVELOPE, "author_id", "workflow_id", "event_name", "custom_message", "status", "x", "a.b", "more"]
)
AI_KEYS = st.sampled_from(sorted({key for kind in gitlab.KINDS.values() for key in kind.columns} | {"human_author_id"}))
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)
DETAILS = st.dictionaries(KEYS | AI_KEYS | st.text(max_size=8), NESTED, max_size=12)


@given(kind=st.sampled_from([*gitlab.KINDS, "unheard_of"]), top=st.dictionaries(KEYS, LEAVES), details=DETAILS)
def test_no_value_of_a_payload_gets_lost(kind: str, top: dict[str, Any], details: dict[str, Any]) -> None:
    element = {**top, "id": 1, "created_at": "2026-01-01T00:00:00Z", "event_type": kind, "details": details}
    try:
        text = json.dumps(mapped(element))
    except Unmappable:
        return  # quarantined whole
    for leaf in _leaves(element):
        assert str(leaf) in text or leaf == "2026-01-01T00:00:00Z"


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list) else [value]

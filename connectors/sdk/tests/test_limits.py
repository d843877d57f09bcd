"""Nothing larger than the limits leaves the producer, and every cut is named with the true length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditwire import AuditClient, AuditEvent, EventTooLargeError, InvalidEventError, encode, within_limits
from auditwire._limits import EVENT_BYTES, FIELD_BYTES, _cut_text
from auditwire.testing import RecordingTransport

KIB = 1024


def cut(**fields: object) -> AuditEvent:
    return within_limits(AuditEvent(**{"event_type": "x", "occurred_at": 0, **fields}))  # type: ignore[arg-type]


def test_an_event_within_the_limits_is_the_same_object() -> None:
    event = AuditEvent(event_type="x", occurred_at=0, prompt="a" * 60 * KIB)
    assert within_limits(event) is event


@pytest.mark.parametrize("length", [FIELD_BYTES - 1, FIELD_BYTES])
def test_exactly_the_limit_is_kept(length: int) -> None:
    event = cut(prompt="a" * length, response="b" * FIELD_BYTES)
    assert (len(event.prompt), event.truncated_fields, event.content_length) == (length, (), None) or event.truncated_fields == []


def test_one_byte_more_is_cut_and_named() -> None:
    event = cut(prompt="a" * (FIELD_BYTES + 1))
    assert (len(event.prompt), event.truncated_fields, event.content_length) == (FIELD_BYTES, ["prompt=65537"], 65537)


@pytest.mark.parametrize(("char", "size"), [("é", 2), ("世", 3), ("🌍", 4)])
@pytest.mark.parametrize("offset", range(5))
def test_the_cut_is_at_a_code_point(char: str, size: int, offset: int) -> None:
    text = "a" * offset + char * 40_000
    event = cut(tool_result=text)
    assert text.startswith(event.tool_result)
    assert FIELD_BYTES - size < len(event.tool_result.encode()) <= FIELD_BYTES
    assert event.truncated_fields == [f"tool_result={len(text.encode())}"]


@given(st.text(max_size=50), st.integers(0, 60))
def test_cutting_text(text: str, limit: int) -> None:
    raw = text.encode(errors="ignore").decode()
    short = _cut_text(raw, limit)
    assert raw.startswith(short)
    assert len(short.encode()) <= limit
    assert short == raw or len(short.encode()) > limit - 4


def test_lists_keep_256_items_and_the_true_number() -> None:
    event = cut(
        tools_offered=[f"t{i}" for i in range(300)], delegation_chain=("a",) * 257, attributes={f"k{i}": "v" for i in range(258)}
    )
    assert event.tools_offered == [f"t{i}" for i in range(256)]
    assert len(event.delegation_chain) == 256
    assert list(event.attributes) == [f"k{i}" for i in range(256)]
    assert event.truncated_fields == ["delegation_chain[]=257", "tools_offered[]=300", "attributes[]=258"]


def test_items_and_keys_of_lists_are_cut() -> None:
    event = cut(delegation_chain=["a", "b" * 70_000], attributes={"one": "v" * 70_000, "k" * 70_000: "x", "k" * 70_001: "y"})
    assert [len(t) for t in event.delegation_chain] == [1, FIELD_BYTES]
    assert len(event.attributes["one"]) == FIELD_BYTES
    assert sorted(event.attributes.values())[1:] == ["x", "y"]
    assert all(len(k.encode()) <= FIELD_BYTES for k in event.attributes)
    assert event.truncated_fields == [
        "delegation_chain[1]=70000",
        "attributes[0]=70000",
        "attributes[1].key=70000",
        "attributes[2].key=70001",
    ]


def test_no_pair_is_lost_however_keys_collide() -> None:
    long, cut_key = "k" * 70_000, "k" * (FIELD_BYTES - 8) + "#0"
    event = cut(attributes={long: "long", cut_key: "short", cut_key[1:]: "shorter", long + "2": "long too"})
    assert sorted(event.attributes.values()) == ["long", "long too", "short", "shorter"]
    assert all(len(k) <= FIELD_BYTES for k in event.attributes)


def test_cuts_made_before_are_kept() -> None:
    event = cut(prompt="a" * 70_000, truncated_fields=["response=99999"], content_length=99999)
    assert (event.truncated_fields, event.content_length) == (["response=99999", "prompt=70000"], 99999)


def test_a_list_of_cuts_is_bounded() -> None:
    event = cut(truncated_fields=[f"f{i}=1" for i in range(300)])
    assert len(event.truncated_fields) == 256
    assert event.truncated_fields[-1] == "truncated_fields[]=300"


@pytest.mark.parametrize("name", ["tenant_id", "event_id"])
def test_an_identity_is_never_cut(name: str) -> None:
    with pytest.raises(EventTooLargeError, match=f"{name} has 70000 bytes"):
        cut(**{name: "a" * 70_000})


CONTENT = ("message", "target_details", "prompt", "response", "tool_args", "tool_result", "reason", "error_message")


def test_a_large_event_loses_its_largest_content_first() -> None:
    event = cut(**dict.fromkeys(CONTENT, "ä" * 40_000), error_type="T", tool_name="a" * 1000, attributes={"small": "v" * 900})
    size = len(encode(event, observed_at=0, producer=("a producer " * 80, 1, 1)))
    assert EVENT_BYTES - 4 * KIB < size <= EVENT_BYTES
    assert event.truncated_fields == [f"{name}=80000" for name in CONTENT]
    assert len(event.attributes["small"]) == 900
    assert len({len(getattr(event, n)) for n in CONTENT}) == 1


@settings(max_examples=40)
@given(st.lists(st.integers(0, 200_000), min_size=8, max_size=8), st.integers(0, 300), st.integers(0, 3000))
def test_any_content_fits_afterwards(lengths: list[int], count: int, length: int) -> None:
    texts = {n: "é" * (size // 2) for n, size in zip(CONTENT, lengths, strict=True)}
    event = cut(**texts, attributes={f"k{i}": "v" * length for i in range(count)})
    assert len(encode(event)) <= EVENT_BYTES
    named = {entry.split("=")[0]: int(entry.split("=")[1]) for entry in event.truncated_fields}
    for name, text in texts.items():
        kept = getattr(event, name)
        assert text.startswith(kept)
        assert named.get(name, len(kept.encode())) == len(text.encode())


def test_too_many_facts_are_refused() -> None:
    with pytest.raises(EventTooLargeError, match="shorten its lists and facts"):
        cut(tools_offered=["t" * 3000] * 256)


def test_wrong_values_are_named_before_anything_is_cut() -> None:
    with pytest.raises(InvalidEventError, match="field prompt must be text"):
        cut(prompt=1, response="a" * 100_000)


def test_the_client_cuts_and_leaves_the_users_event_alone() -> None:
    transport = RecordingTransport()
    event = AuditEvent(event_type="x", prompt="a" * 100_000)
    AuditClient(transport, service="s", tenant="t").record(event)
    assert len(transport.stored[0].value) < FIELD_BYTES + 1000
    assert transport.events[0]["truncated_fields"] == ["prompt=100000"]
    assert (len(event.prompt), event.event_id) == (100_000, "")

"""The generated encoder writes what fastavro writes, over each field's whole domain, and refuses everything else by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditwire import SCHEMA, AuditEvent, InvalidEventError, encode
from auditwire._event import KINDS
from auditwire._wire import long
from auditwire.testing import decode

PARSED = fastavro.parse_schema(json.loads(SCHEMA))
EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples" / "audit_event"
LAST = 7_258_118_400_000_000 - 1
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40) | st.just("ü" * 9000)
NUMBER = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(8190, 8194)
DOMAINS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "time": st.integers(0, LAST),
    "long": st.none() | NUMBER,
    "double": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
    "strings": st.lists(TEXT, max_size=4) | st.lists(TEXT, max_size=4).map(tuple),
    "pairs": st.dictionaries(TEXT, TEXT, max_size=4),
}


def record_of(event: AuditEvent, **more: Any) -> dict[str, Any]:
    """The event as fastavro wants it."""
    values = {name: getattr(event, name) for name in KINDS}
    pairs: Mapping[str, str] = values["attributes"]
    return {**values, "attributes": [{"key": k, "value": v} for k, v in pairs.items()], **more}


def by_fastavro(record: dict[str, Any]) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, PARSED, record)
    return out.getvalue()


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=60)
@given(data=st.data())
def test_each_field_over_its_domain(name: str, data: st.DataObject) -> None:
    value = data.draw(DOMAINS[KINDS[name]])
    event = AuditEvent(**{"event_type": "x", "occurred_at": 0, name: value})
    body = encode(event)
    assert body == by_fastavro(record_of(event))
    read = decode(body)[name]
    if KINDS[name] == "time":
        read = (read - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert read == (list(value) if KINDS[name] == "strings" else value)


@settings(max_examples=200)
@given(
    values=st.fixed_dictionaries({n: DOMAINS[k] for n, k in KINDS.items()}),
    observed=st.none() | st.integers(0, LAST),
    producer=st.none() | st.tuples(TEXT, NUMBER, NUMBER),
)
def test_whole_events(values: dict[str, Any], observed: int | None, producer: tuple[str, int, int] | None) -> None:
    event = AuditEvent(**values)
    more = dict(zip(("producer_id", "producer_epoch", "sequence"), producer, strict=True)) if producer else {}
    assert encode(event, observed_at=observed, producer=producer) == by_fastavro(record_of(event, observed_at=observed, **more))


@given(NUMBER)
def test_longs(value: int) -> None:
    out = BytesIO()
    fastavro.schemaless_writer(out, {"type": "long"}, value)
    assert long(value) == out.getvalue()


WRONG: dict[str, list[Any]] = {
    "string": [None, 1, b"bytes", ["a"], "a\0b", "\ud800", "\0"],
    "time": [None, "2026", -1, LAST + 1, 1.5, True],
    "long": ["1", 1.0, True, 1 << 63, -(1 << 63) - 1, b"1"],
    "double": ["1", True, float("nan"), float("inf"), 10**400, b"1"],
    "strings": [None, "text", [1], ["a\0"], ["\udfff"], {"a": "b"}, 3],
    "pairs": [None, "text", [("a", "b")], {"a": 1}, {1: "a"}, {"a\0": "b"}, {"a": "\ud800"}],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, k in KINDS.items() for v in WRONG[k]])
def test_a_wrong_value_is_refused_by_name_and_not_quoted(name: str, value: Any) -> None:
    event = AuditEvent(event_type="x", occurred_at=0)
    setattr(event, name, value)
    with pytest.raises(InvalidEventError, match=f"^field {name} must be ") as caught:
        encode(event)
    assert caught.value.__cause__ is None
    assert "\0" not in str(caught.value)


def test_wrong_times_of_the_client_are_refused() -> None:
    with pytest.raises(InvalidEventError, match="the client's own fields"):
        encode(AuditEvent(event_type="x", occurred_at=0), observed_at=-1)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 22, 12, 0, 0, 123456, UTC),
        datetime(2026, 11, 22, 17, 30, 0, 123456, timezone(timedelta(hours=5, minutes=30))),
        1795348800123456,
    ],
)
def test_times_are_kept_in_microseconds(moment: datetime | int) -> None:
    assert AuditEvent(event_type="x", occurred_at=moment).occurred_at == 1795348800123456


@pytest.mark.parametrize(
    ("moment", "says"),
    [(datetime(2026, 1, 1), "a datetime without a time zone"), ("2026-01-01", "str"), (True, "bool"), (1.0, "float")],
)
def test_a_time_that_is_none_is_refused(moment: Any, says: str) -> None:
    with pytest.raises(InvalidEventError, match=f"^occurred_at is {says}; give a datetime with a time zone"):
        AuditEvent(event_type="x", occurred_at=moment)


@pytest.mark.parametrize("name", ["producer_id", "producer_epoch", "sequence", "observed_at", "processed_version", "tool"])
def test_fields_that_are_not_the_users_cannot_be_set(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        AuditEvent(event_type="x", **{name: 1})  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        setattr(AuditEvent(event_type="x"), name, 1)


@pytest.mark.parametrize("path", [p for p in sorted(EXAMPLES.glob("*.json")) if p.stem != "maximal"], ids=lambda p: p.stem)
def test_golden_bytes(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    attributes = {pair["key"]: pair["value"] for pair in values.pop("attributes", [])}
    observed = values.pop("observed_at", None)
    producer = tuple(values.pop(n, None) for n in ("producer_id", "producer_epoch", "sequence"))
    body = encode(AuditEvent(**values, attributes=attributes), observed_at=observed, producer=producer if producer[0] else None)
    assert body.hex() == path.with_suffix(".avro.hex").read_text(encoding="utf-8").replace("\n", "")


def test_repr_shows_facts_only() -> None:
    shown = repr(AuditEvent(event_type="tool.invoked", tenant_id="acme", prompt="secret", actor_name="Ada Example"))
    assert shown == "AuditEvent(event_type='tool.invoked', tenant_id='acme', event_id='')"


def test_copies_are_equal_and_apart() -> None:
    event = AuditEvent(event_type="x", tool_name="a")
    other = event.copy()
    assert other == event
    other.tool_name = "b"
    assert (other == event, event.tool_name, event == "x") == (False, "a", False)

"""Examples kept beside the rules: events that go through the very stages of the processor, and what must become of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors import avro
from connectors.sources.fields import COLUMNS, Unmappable, micros, put
from pipeline.batch import Batch
from pipeline.reference.shapes import near
from pipeline.reference.source import Document, FieldPath, Problem
from pipeline.rules.columns import ENRICHED
from pipeline.rules.decide import NONE, Rules
from pipeline.stages.act import clean
from pipeline.stages.validate import validate
from schemas import event_schema, schema_text

EXAMPLE_KEY = bytes(32)
OWN_CLASS = "processed_retention_class"
GIVEN = tuple(n for n in COLUMNS if not n.startswith("processed_")) + ENRICHED + (OWN_CLASS,)
NOW_US = 1_800_000_000_000_000
_ABSENT = {field["name"]: field.get("default", "") for field in event_schema()["fields"]}
_MADE_UP = {
    "event_id": "00000000-0000-4000-8000-000000000000",
    "tenant_id": "example",
    "event_type": "example.event",
    "occurred_at": NOW_US,
}


def failures(documents: Sequence[Document], rules: Rules, retention_class: str) -> list[Problem]:
    """Where an example does not become what it says; each problem stands at the expectation that failed, with what was found.

    ``documents``: examples whose shape is in order. ``retention_class``: of events without a rule.
    """
    return [problem for document in documents for problem in _failures(document, rules, retention_class)]


def _failures(document: Document, rules: Rules, retention_class: str) -> Iterator[Problem]:
    event, wrong = dict[str, Any](), list[Problem]()
    for name, value in document.content["event"].items():
        try:
            event |= _field(name, value)
        except Unmappable as exc:
            wrong.append(document.problem(("event", name), exc.detail))
    if wrong:
        yield from wrong
        return
    body = avro.RecordCodec("audit_event", 1).encode(_ABSENT | _MADE_UP | {OWN_CLASS: retention_class} | event)[5:]
    batch, refused = validate(Batch.of(avro.decode([body], schema_text("audit_event"))), NOW_US)
    if refused:
        yield document.problem(("event",), f"the processor refuses such an event: {refused[0].detail}")
        return
    after, changed, decision = clean(batch, rules, lambda _: EXAMPLE_KEY)
    number = NONE if decision.levels is None else int(decision.levels[0])
    found = {
        "capture": "request_response" if number == NONE else rules.snapshot.captures[number].level,
        "retention_class": after.column(OWN_CLASS)[0].as_py(),
        "redacted": changed[0].as_py(),
    }
    yield from _compared(document, after, found)


def _compared(document: Document, after: Batch, found: Mapping[str, Any]) -> Iterator[Problem]:
    expect = document.content["expect"]
    for name, wanted in expect.get("fields", {}).items():
        path = ("expect", "fields", name)
        if name not in COLUMNS:
            yield document.problem(
                path, f"there is no field of this name{near(name, COLUMNS)}: docs/event-reference.md lists them"
            )
        elif (is_ := _read(name, after)) != _plain(wanted):
            yield _differs(document, path, wanted, is_)
    for name, is_ in found.items():
        wanted = expect.get(name, is_)
        if sorted(wanted) != sorted(is_) if isinstance(is_, list) else wanted != is_:
            yield _differs(document, ("expect", name), wanted, is_)


def _differs(document: Document, path: FieldPath, wanted: Any, found: Any) -> Problem:
    return document.problem(path, f"expected {wanted!r}, found {found!r}: correct the rules, or what is expected of them")


def _field(name: str, value: Any) -> dict[str, Any]:
    """The field as the codec takes it. Raises Unmappable."""
    if name not in GIVEN:
        if name.startswith("processed_"):
            raise Unmappable("", "the processor writes it after the rules: leave it out")
        raise Unmappable("", f"there is no field of this name{near(name, GIVEN)}: docs/event-reference.md lists them")
    if name == "attributes":
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in (*value, *value.values())):
            raise Unmappable("", "must be names with texts")
        return {name: [{"key": key, "value": text} for key, text in value.items()]}
    if COLUMNS[name] == "time" or name == "occurred_at":
        return {name: value if type(value) is int else micros(_plain(value), name)}
    fields = dict[str, Any]()
    if not put(fields, name, value):
        kinds = {"text": "text", "content": "text", "whole": "a whole number", "real": "a number", "texts": "a list of texts"}
        raise Unmappable("", f"must be {kinds[COLUMNS[name]]}")
    return fields


def _read(name: str, batch: Batch) -> Any:
    """A column's value as people write it in YAML."""
    value = batch.column(name)[0].as_py()
    return {pair["key"]: pair["value"] for pair in value} if name == "attributes" else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=value.tzinfo or datetime.UTC).astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    return value

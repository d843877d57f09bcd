"""Examples kept beside the rules: events that go through the very stages of the processor, and what must become of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors import avro
from pipeline.batch import Batch
from pipeline.reference.source import Document, FieldPath, Problem
from pipeline.rules.decide import NONE, Rules
from pipeline.rules.example_event import OWN_CLASS, field, plain
from pipeline.stages.act import clean
from pipeline.stages.validate import validate
from schemas import event_schema, schema_text

EXAMPLE_KEY = bytes(32)
NOW_US = 1_800_000_000_000_000
_ABSENT = {column["name"]: column.get("default", "") for column in event_schema()["fields"]}
_MADE_UP = {
    "event_id": "00000000-0000-4000-8000-000000000000",
    "tenant_id": "example",
    "event_type": "example.event",
    "occurred_at": NOW_US,
}


def failures(documents: Sequence[Document], rules: Rules, retention_class: str) -> list[Problem]:
    """Where an example does not become what it says; each problem stands at the expectation that failed, with what was found.

    ``documents``: examples in which `check` finds nothing. ``retention_class``: of events without a rule.
    """
    return [problem for document in documents for problem in _failures(document, rules, retention_class)]


def _failures(document: Document, rules: Rules, retention_class: str) -> Iterator[Problem]:
    event = dict[str, Any]()
    for name, value in document.content["event"].items():
        event |= field(name, value)
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
        if (is_ := _read(name, after)) != plain(wanted):
            yield _differs(document, path, wanted, is_)
    for name, is_ in found.items():
        wanted = expect.get(name, is_)
        if sorted(wanted) != sorted(is_) if isinstance(is_, list) else wanted != is_:
            yield _differs(document, ("expect", name), wanted, is_)


def _differs(document: Document, path: FieldPath, wanted: Any, found: Any) -> Problem:
    return document.problem(path, f"expected {wanted!r}, found {found!r}: correct the rules, or what is expected of them")


def _read(name: str, batch: Batch) -> Any:
    """A column's value as people write it in YAML."""
    value = batch.column(name)[0].as_py()
    return {pair["key"]: pair["value"] for pair in value} if name == "attributes" else plain(value)

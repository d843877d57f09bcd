"""The event of an example, as people write it in YAML, and as the codec takes it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from connectors.sources.fields import COLUMNS, Unmappable, micros, put
from pipeline.reference.shapes import near, short
from pipeline.reference.source import Document, Problem
from pipeline.rules.columns import ENRICHED

OWN_CLASS = "processed_retention_class"
GIVEN = tuple(n for n in COLUMNS if not n.startswith("processed_")) + ENRICHED + (OWN_CLASS,)
_KINDS = {"text": "text", "content": "text", "whole": "a whole number", "real": "a number", "texts": "a list of texts"}


def problems(document: Document) -> Iterator[Problem]:
    """Fields of the event, and fields that are expected, which no event has; and values that do not fit theirs.

    ``document``: an example whose shape is in order.
    """
    for name, value in document.content["event"].items():
        try:
            field(str(name), value)
        except Unmappable as exc:
            yield document.problem(("event", str(name)), exc.detail)
    for name in map(str, document.content["expect"].get("fields", {})):
        if name not in COLUMNS:
            yield document.problem(("expect", "fields", name), _unknown(name, tuple(COLUMNS)))


def field(name: str, value: Any) -> dict[str, Any]:
    """The field as the codec takes it. Raises Unmappable."""
    if name not in GIVEN:
        if name in COLUMNS:
            raise Unmappable("", "the processor writes it after the rules: leave it out")
        raise Unmappable("", _unknown(name, GIVEN))
    if name == "attributes":
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in (*value, *value.values())):
            raise Unmappable("", "must be names with texts")
        return {name: [{"key": key, "value": text} for key, text in value.items()]}
    if COLUMNS[name] == "time" or name == "occurred_at":
        return {name: value if type(value) is int else micros(plain(value), name)}
    fields = dict[str, Any]()
    with suppress(TypeError):  # YAML has values that JSON lacks
        if put(fields, name, value):
            return fields
    raise Unmappable("", f"must be {_KINDS[COLUMNS[name]]}")


def plain(value: Any) -> Any:
    """A value as people write it: times as text in UTC."""
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=value.tzinfo or datetime.UTC).astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    return value


def _unknown(name: str, known: tuple[str, ...]) -> str:
    return f"there is no field {short(name)}{near(name, known)}: docs/event-reference.md lists them"

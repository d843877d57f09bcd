"""Which columns of an event a condition may name, and what they hold. Read from the event schema."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

from schemas import event_schema

Kind = Literal["text", "long", "double", "time", "texts"]

LATER = {
    "content_length": "the rules clear it where they take content away",
    "truncated_fields": "the processor adds to it after the rules",
    "processed_ingested_at": "the processor writes it after the rules",
    "processed_raw_partition": "the processor writes it after the rules",
    "processed_raw_offset": "the processor writes it after the rules",
    "processed_retention_class": "the rules decide it; for the tenant's class name tenant_id",
    "processed_redacted_fields": "the rules decide it",
    "processed_rules_revision": "it names these rules",
    "processed_version": "the processor writes it after the rules",
    "processed_identity_conflict": "the processor writes it after the rules",
}
"""Facts that stored events have and events under the rules do not, and why: naming them would decide differently on the two."""

_PLAIN: dict[str, Kind] = {"string": "text", "long": "long", "double": "double"}


@cache
def kinds() -> dict[str, Kind]:
    """Column → kind, of all columns that a condition may name, in schema order. Treat it as read-only."""
    found = {f["name"]: _kind(f["type"]) for f in event_schema()["fields"] if f["class"] == "fact" and f["name"] not in LATER}
    return {name: kind for name, kind in found.items() if kind is not None}


@cache
def nullable() -> frozenset[str]:
    """The columns that may be NULL: numbers and times that are unknown. A text is never NULL, absent is ''."""
    return frozenset(f["name"] for f in event_schema()["fields"] if isinstance(f["type"], list))


def why_not(name: str) -> str:
    """Why ``name`` cannot stand in a condition, and what can."""
    classes = {f["name"]: f["class"] for f in event_schema()["fields"]}
    if name in LATER:
        return f"{name} cannot be named in a condition: {LATER[name]}"
    if name in classes and classes[name] != "fact":
        return (
            f"{name} is {classes[name]} and conditions may name facts only, since stored events hold it masked: "
            "the rule would decide differently before and after; use a field of class fact of docs/event-reference.md"
        )
    if name in classes:
        return f"{name} is of a type that conditions have no literals for; use another field"
    near = get_close_matches(name.lower(), kinds(), n=1, cutoff=0.6)
    way_out = f"did you mean {near[0]}?" if near else "docs/event-reference.md lists the fields"
    return f"an event has no field {name[:64]}; {way_out}"


def _kind(declared: Any) -> Kind | None:
    if isinstance(declared, list):
        declared = next(branch for branch in declared if branch != "null")
    if isinstance(declared, dict):
        if declared.get("logicalType") == "timestamp-micros":
            return "time"
        return "texts" if declared.get("type") == "array" and declared["items"] == "string" else None
    return _PLAIN.get(declared)

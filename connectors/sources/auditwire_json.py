"""Auditwire's own JSON: an object whose keys are the event's columns. The sender can mend it, so it is strict."""

from __future__ import annotations

import difflib
import uuid

from connectors.sources.fields import (
    AUDITWIRE_IDS,
    COLUMNS,
    INT64,
    Fields,
    Json,
    Origin,
    Unmappable,
    as_text,
    identify,
    micros,
    put,
    source_id,
)

CLIENTS_ONLY = frozenset({"observed_at", "producer_id", "producer_epoch", "sequence", "audit_mode"})
WRITTEN_HERE = frozenset({"content_length", "truncated_fields"})
SPECIAL = frozenset({"event_id", "tenant_id", "source", "source_event_id", "occurred_at", "attributes"})
PLAIN = frozenset(n for n in COLUMNS if not n.startswith("processed_")) - CLIENTS_ONLY - WRITTEN_HERE - SPECIAL
ACCEPTED = PLAIN | SPECIAL
WANTED = {
    "text": "text",
    "content": "text, or JSON that is kept as text",
    "whole": "a whole number of at most 64 bits",
    "real": "a finite number",
    "texts": "an array of texts",
}


def event(payload: Json, origin: Origin) -> Fields:
    """Fields of the event. Raises Unmappable whose ``detail`` tells the sender which field to mend and how."""
    if not isinstance(payload, dict):
        raise Unmappable("not_an_object", "an event must be a JSON object whose keys are names of docs/event-reference.md")
    for name in payload:
        if name not in ACCEPTED:
            raise Unmappable("unknown_field", _unknown(name))
    fields = _identity(payload, origin)
    if payload.get("event_type") in (None, ""):
        raise Unmappable("no_event_type", "event_type is missing: name what happened, such as tool.invoked")
    moment = payload.get("occurred_at")
    in_micros = type(moment) is int and 0 <= moment < INT64
    fields["occurred_at"] = moment if in_micros else micros(moment, "occurred_at")
    for name, value in payload.items():
        if name in PLAIN and value is not None and not put(fields, name, value):
            raise Unmappable("bad_type", f"{name} must be {WANTED[COLUMNS[name]]}")
    attributes = _attributes(payload.get("attributes"))
    if attributes:
        fields["attributes"] = attributes
    return fields


def _identity(payload: dict[str, Json], origin: Origin) -> Fields:
    for name, own in (("tenant_id", origin.tenant), ("source", origin.source)):
        if payload.get(name) not in (None, "", own):
            raise Unmappable("foreign", f"{name} is not that of the token: leave it out, the token says it")
    given = payload.get("event_id")
    fields = identify(origin, AUDITWIRE_IDS, payload, source_id(payload.get("source_event_id"), "source_event_id"))
    if given not in (None, ""):
        fields["event_id"] = _uuid(given)
        if not payload.get("source_event_id"):
            fields["source_event_id"] = fields["event_id"]
    return fields


def _uuid(value: Json) -> str:
    try:
        if type(value) is str and str(uuid.UUID(value)) == value:
            return value
    except ValueError:
        pass
    raise Unmappable("bad_event_id", "event_id must be a lower-case UUID with dashes; or leave it out and send source_event_id")


def _attributes(value: Json) -> dict[str, str]:
    """An object, or an array of {key, value} as in the schema; values that are no text become JSON text."""
    if value is None:
        return {}
    if isinstance(value, list) and all(isinstance(pair, dict) and set(pair) == {"key", "value"} for pair in value):
        keys = [pair["key"] for pair in value]
        if all(type(key) is str for key in keys) and len(set(keys)) == len(keys):
            value = {pair["key"]: pair["value"] for pair in value}
    if not isinstance(value, dict) or len(value) > 256 or any(len(key.encode()) > 256 for key in value):
        raise Unmappable("bad_type", "attributes must be an object of at most 256 keys of at most 256 bytes")
    return {key: as_text(item) for key, item in value.items() if item is not None}


def _unknown(name: str) -> str:
    if name in CLIENTS_ONLY:
        return f"{name} is for clients that number their events (the SDK): leave it out"
    if name in WRITTEN_HERE or name.startswith("processed_"):
        return f"{name} is written by Auditwire: leave it out"
    near = difflib.get_close_matches(name[:64], ACCEPTED, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{name[:64]} is not a field: {hint}what has no column goes into attributes"

"""`docs/event-reference.md`: every field of the event in groups."""

from __future__ import annotations

from typing import Any

from schemas.codegen import GIVEN_BY_CLIENT, GIVEN_BY_PROCESSOR, kind

# Title of each group and the field that it starts at, in schema order.
GROUPS = (
    ("Identity and time", "event_id"),
    ("Source", "source"),
    ("What happened", "activity"),
    ("Actor and human principal", "actor_type"),
    ("Agent and session", "agent_id"),
    ("Producer's count", "producer_id"),
    ("Scope and target", "entity_type"),
    ("Model", "model_provider"),
    ("Tool", "tool_name"),
    ("Decision and approval", "decision"),
    ("Error", "error_type"),
    ("Size and overflow", "content_length"),
    ("Written by the processor", "processed_ingested_at"),
)
TYPES = {
    "string": "string",
    "time": "timestamp-micros",
    "long": "long",
    "double": "double",
    "strings": "array of string",
    "pairs": "array of {key, value}",
}
INTRO = """# Event reference

<!-- Written by `python -m schemas generate` from schemas/avro/audit_event.avsc; do not edit. -->

One Avro record, `auditwire.AuditEvent`, {count} columns of at most 80. A field has the same name in Avro, in ClickHouse, in
Parquet and in every API. Strings that are absent are empty, unknown numbers and times are null, times are microseconds UTC.

Class: **fact** may be used in conditions of rules; **personal** and **content** are what redaction, sealing and erasure work
on. Set by: what is not set by *you* (the producer) is set by the *client* (the SDK) or the *processor*; whatever a producer
sends there is replaced.

Limits, kept by the SDK and the receiver: 64 KiB of UTF-8 a text, 256 items a list, 512 KiB an event. What was cut is named in
`truncated_fields` with its true length: `name=bytes`, `name[i]=bytes` for an item, `name[]=items` for a list.
"""


def page(schema: dict[str, Any]) -> str:
    """The page's text. Raises ValueError where a group starts at a field that does not exist."""
    names = [f["name"] for f in schema["fields"]]
    starts = [names.index(first) for _, first in GROUPS]
    if starts != sorted(starts) or starts[0] != 0:
        raise ValueError("GROUPS in schemas/reference.py must follow the order of the schema and start with its first field")
    parts = [INTRO.format(count=len(names))]
    for (title, _), start, end in zip(GROUPS, starts, [*starts[1:], len(names)], strict=True):
        rows = "\n".join(_row(f) for f in schema["fields"][start:end])
        parts.append(f"## {title}\n\n| Field | Type | Class | Set by | Meaning |\n|---|---|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def _row(field: dict[str, Any]) -> str:
    setter = "client" if field["name"] in GIVEN_BY_CLIENT else "you"
    setter = "processor" if field["name"].startswith(GIVEN_BY_PROCESSOR) else setter
    needed = "" if "default" in field else ", required"
    doc = field["doc"].replace("|", "\\|")
    return f"| `{field['name']}` | {_type(field)}{needed} | {field['class']} | {setter} | {doc} |"


def _type(field: dict[str, Any]) -> str:
    if field["type"] == "boolean":
        return "boolean"
    return TYPES[kind(field["type"])] + (" or null" if isinstance(field["type"], list) else "")

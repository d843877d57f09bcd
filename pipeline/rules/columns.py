"""Which columns rules may touch, and which belong to the response: what `check` refuses and what the stages do agree by this."""

from __future__ import annotations

from functools import cache

from auditwire.redaction import DETECTORS
from schemas import fields_of_class

IDENTITY = {"event_id", "tenant_id", "event_type", "occurred_at", "source", "source_event_id"}  # who an event is,
IDENTITY |= {"producer_id", "producer_epoch", "sequence", "audit_mode"}  # and how nobody counts it twice
CONTENT = fields_of_class("content")
PERSONAL = fields_of_class("personal")
REDACTABLE = fields_of_class("content", "personal")
RESPONSE_SIDE = ("response", "tool_result", "error_message")
GROUPS = {"content": CONTENT, "personal": PERSONAL}
DROPPED_AT = {"metadata": CONTENT, "request": RESPONSE_SIDE, "request_response": ()}
# What is known of an event when rules are asked; the rest of what the processor writes comes later.
ENRICHED = (
    "processed_tool_risk",
    "processed_tenant_region",
    "processed_owners",
    "processed_controls",
    "processed_flags",
    "processed_reference_revision",
)
BUILT_IN = {detector.name: detector.personal for detector in DETECTORS}


@cache
def columns_of(fields: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that a redaction names, each once, in schema order."""
    named = {column for field in fields for column in GROUPS.get(field, (field,))}
    return tuple(column for column in REDACTABLE if column in named)

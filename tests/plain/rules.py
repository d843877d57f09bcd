"""The rules of docs/redaction.md for one event: what is refused, what is cut, and what fits in a message."""

from __future__ import annotations

import math
import re
from io import BytesIO
from typing import Any

import fastavro

from pipeline import chain
from pipeline.stages.validate import REASONS
from schemas import event_fields, event_schema, fields_of_class

DEFAULTS = {f["name"]: f.get("default", "") for f in event_schema()["fields"]}
CONTENT = fields_of_class("content")
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TENANT = re.compile("[a-z0-9_.-]{1,64}")
FIELD_BYTES, FITTED_BYTES = 65_536, 16_384
Fields = dict[str, Any]


class Refused(Exception):  # noqa: N818
    """The record goes to quarantine."""

    def __init__(self, stage: str, reason: str, detail: str, tenant: str = "") -> None:
        super().__init__(reason)
        self.stage, self.reason, self.detail, self.tenant = stage, reason, detail, tenant


def plain_schema(schema: Any) -> Any:
    """The schema with times as plain numbers, so that every 64-bit number can be read."""
    if isinstance(schema, dict):
        return {key: plain_schema(value) for key, value in schema.items() if key != "logicalType"}
    return [plain_schema(one) for one in schema] if isinstance(schema, list) else schema


SCHEMA = fastavro.parse_schema(plain_schema(event_schema()))


def refused(reason: str, stage: str = "decode", tenant: str = "") -> Refused:
    """With the sentence that belongs to the reason."""
    return Refused(stage, reason, chain.REASONS[reason], tenant)


def texts(value: Any) -> list[str]:
    """All texts of a field."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return list(value.values())
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []


def validate(event: Fields, at_us: int) -> None:
    """Raises Refused with the first rule that the event breaks."""

    def refuse(reason: str, name: str = "", more: str = "") -> Refused:
        tenant = event["tenant_id"] if TENANT.fullmatch(event["tenant_id"]) else ""
        detail = (f"{name}: " if name else "") + REASONS[reason] + more
        return Refused("validate", reason, detail, tenant)

    if not UUID.fullmatch(event["event_id"]):
        raise refuse("bad_event_id")
    if not TENANT.fullmatch(event["tenant_id"]):
        raise refuse("bad_tenant_id")
    if not 1 <= len(event["event_type"].encode()) <= 256:
        raise refuse("bad_event_type")
    if len(event["producer_id"].encode()) > 256:
        raise refuse("bad_producer_id")
    for name in ("occurred_at", "observed_at"):
        time = event[name]
        if time is not None and not 0 <= time < 7_258_118_400_000_000:  # 2200-01-01
            nanoseconds = abs(time // 1000 - at_us) < 315_576_000_000_000  # ten years
            raise refuse("bad_time", name, " It looks like nanoseconds." if nanoseconds else "")
    for name in event_fields():
        if isinstance(event[name], float) and not math.isfinite(event[name]):
            raise refuse("bad_number", name)
    for name in event_fields():
        if any("\0" in text for text in texts(event[name])):
            raise refuse("nul_character", name)
    for name in event_fields():
        if isinstance(event[name], list) and len(event[name]) > 256:
            raise refuse("too_many_items", name)


def head(text: str, most: int) -> str:
    """The text's first bytes, up to a whole character."""
    return text.encode()[:most].decode(errors="ignore")


def shortened(event: Fields) -> Fields:
    """The event with every text cut at 64 KiB, and the cuts written down."""
    cut: list[tuple[str, str, int]] = []

    def within(column: str, name: str, text: str) -> str:
        length = len(text.encode())
        if length <= FIELD_BYTES:
            return text
        cut.append((column, name, length))
        return head(text, FIELD_BYTES)

    after = dict(event)
    for column in event_fields():
        value = event[column]
        if isinstance(value, str):
            after[column] = within(column, column, value)
        elif isinstance(value, list) and value and isinstance(value[0], str):
            after[column] = [within(column, f"{column}[{n}]", text) for n, text in enumerate(value)]
        elif isinstance(value, list):
            keys = [within(column, f"{column}[{n}]", pair["key"]) for n, pair in enumerate(value)]
            values = [within(column, f"{column}[{n}]", pair["value"]) for n, pair in enumerate(value)]
            after[column] = [{"key": key, "value": text} for key, text in zip(keys, values, strict=True)]
    said = {mark.partition("=")[0] for mark in after["truncated_fields"]}
    after["truncated_fields"] = after["truncated_fields"] + [f"{n}={length}" for _, n, length in cut if n not in said]
    if true := [length for column, _, length in cut if column in CONTENT]:
        after["content_length"] = max(after["content_length"] or 0, *true)
    return after


def encoded(event: Fields) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, event)
    return out.getvalue()


def fitted(event: Fields, limit: int) -> tuple[Fields, bytes]:
    """The event and its body in so many bytes, its longest texts of content cut to 16 KiB where need be. Raises Refused."""
    while len(body := encoded(event)) > limit:
        longest = max((name for name in CONTENT if isinstance(event[name], str)), key=lambda name: len(event[name].encode()))
        length = len(event[longest].encode())
        if length <= FITTED_BYTES:
            raise refused("too_large", "encode", event["tenant_id"])
        marks = event["truncated_fields"]
        if not any(mark.startswith(f"{longest}=") for mark in marks):
            marks = [*marks, f"{longest}={length}"]
        event = {**event, longest: head(event[longest], FITTED_BYTES), "truncated_fields": marks}
    return event, body

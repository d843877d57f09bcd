"""The fields of an event under construction: who it belongs to, what fits which column, and the limits of its size.

A mapping fills columns; whatever has no column goes to ``attributes`` by its path, so nothing of a payload is dropped. Null and
the absence of a key mean the same here. An event is a function of (payload, origin) alone: a retried delivery gives equal bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

import schemas

Json = Any
Fields = dict[str, Any]

GITLAB_IDS = uuid.UUID("6f0f7f0c-6d0e-5b0b-9a53-0d6a3c1f4e11")
CLOUDEVENT_IDS = uuid.UUID("c1b0c1d3-2f55-5c57-8f3a-6a7c53a9b0d2")
AUDITWIRE_IDS = uuid.UUID("0b9f4c7e-91a4-5d43-b1e6-58d2f0c86a35")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(2200, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
INT64 = 1 << 63
VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}  # of a UUID by RFC 9562


class Unmappable(Exception):  # noqa: N818
    """The payload cannot become an event: quarantine it under ``reason``; ``detail`` names the field and the rule, no value."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Origin:
    """Whom a token speaks for. ``id_key`` keys the digest that stands in for a missing id (the same at every receiver)."""

    tenant: str
    source: str
    id_key: bytes


def _kind(field: dict[str, Any]) -> str:
    if field["type"] == "string":
        return "content" if field["class"] == "content" else "text"
    if isinstance(field["type"], list):
        return {"long": "whole", "double": "real"}.get(str(field["type"][1]), "time")
    return "texts"


COLUMNS = {f["name"]: _kind(f) for f in schemas.event_schema()["fields"]}
CONTENT = tuple(name for name, kind in COLUMNS.items() if kind == "content")


def put(fields: Fields, column: str, value: Json) -> bool:
    """Set ``column`` if ``value`` fits it (content columns take any JSON, as text); False leaves ``fields`` as they were."""
    kind = COLUMNS[column]
    if type(value) is str and kind in ("text", "content"):  # nearly all of them
        fields[column] = value
        return True
    fitted: Any = None
    if kind == "content" or (kind == "text" and not isinstance(value, dict | list)):
        fitted = as_text(value)
    elif kind == "whole":
        fitted = _whole(value)
    elif kind == "real":
        fitted = float(value) if type(value) in (int, float) and math.isfinite(value) else None
    elif kind == "texts" and isinstance(value, list) and all(type(item) is str for item in value):
        fitted = value
    if fitted is None:
        return False
    fields[column] = fitted
    return True


def as_text(value: Json) -> str:
    """Text as it is, anything else as compact JSON with sorted keys."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def with_length(fields: Fields, sent_length: int) -> Fields:
    """``content_length`` where the source names a length: it may have cut the content before us."""
    if sent_length > 0:
        own = (len(fields[name].encode()) for name in CONTENT if name in fields)
        fields["content_length"] = max(sent_length, *own, 0)
    return fields


def _whole(value: Json) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and -INT64 <= value < INT64 else None


def micros(value: Json, name: str) -> int:
    """ISO 8601 time with a zone → UTC microseconds since 1970; ``name`` is what the field is called.

    Raises Unmappable: ``no_time`` where there is none (a time is never invented), ``bad_time`` where it cannot be stored.
    """
    if value is None or value == "":
        raise Unmappable("no_time", f"{name} is missing: send the time of the event, such as 2026-01-31T12:00:00.000Z")
    if type(value) is str and len(value) > 10 and value[10] in "Tt ":
        try:
            moment = datetime.fromisoformat(value.removesuffix(" UTC") + "Z" if value.endswith(" UTC") else value)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None and EPOCH <= moment < END_OF_TIME:
            return (moment - EPOCH) // MICROSECOND
    raise Unmappable(
        "bad_time", f"{name} must be an ISO 8601 time with a zone, from 1970 to 2199, such as 2026-01-31T12:00:00.000Z"
    )


def source_id(value: Json, name: str) -> str:
    """The source's own id, text or whole number, as text; "" where it gives none. Raises Unmappable ``bad_id`` otherwise."""
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    if type(value) is str and len(value) <= 1024:
        return value
    raise Unmappable("bad_id", f"{name} must be text of at most 1024 characters or a whole number")


def identify(origin: Origin, namespace: uuid.UUID, payload: Json, *parts: str) -> Fields:
    """Tenant, source and ids of an event; the last of ``parts`` is the source's id, those before it say in which realm it counts.

    Without an id one is derived from the whole payload, keyed so that it tells nothing about its content.
    """
    *realm, own = parts
    if not own:
        canonical = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
        own = (
            "digest:"
            + hmac.new(origin.id_key, b"source-id\0" + origin.tenant.encode() + b"\0" + canonical, hashlib.sha256).hexdigest()
        )
    name = "".join(f"{len(part)}:{part}" for part in (origin.tenant, origin.source, *realm)) + own
    return {
        "event_id": uuid5(namespace, name),
        "tenant_id": origin.tenant,
        "source": origin.source,
        "source_event_id": own,
    }


def uuid5(namespace: uuid.UUID, name: str) -> str:
    """As ``str(uuid.uuid5(namespace, name))``, in a third of its time."""
    made = hashlib.sha1(namespace.bytes + name.encode(), usedforsecurity=False).hexdigest()
    return f"{made[:8]}-{made[8:12]}-5{made[13:16]}-{VARIANTS[made[16]]}{made[17:20]}-{made[20:32]}"

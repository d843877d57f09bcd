"""Fields of an event → Avro body, by the SDK's generated encoder and within its limits: long texts are cut and marked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import schemas
from auditwire import AuditEvent, InvalidEventError, encode, within_limits
from auditwire._event import KINDS
from auditwire._wire import double, long, pairs, small, strings, time
from connectors.sources.fields import Fields, Unmappable

EVENT_TYPE_BYTES = 256
REPLACED = "nul_replaced"
# Below these the SDK's limits cannot be passed, and asking for them is saved.
SMALL_BYTES = 32 * 1024
SMALL_ITEMS = 128
LISTS = frozenset({"delegation_chain", "tools_offered", "truncated_fields", "attributes"})


def _optional(write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lambda value: b"\x02" + write(value)


# A column's place in the record; without a value each takes one zero byte, whatever its type.
PLACES = {field["name"]: place for place, field in enumerate(schemas.event_schema()["fields"])}
EMPTY = [b"\0"] * len(PLACES)
SMALL = small()
WRITERS = {"time": time, "long": _optional(long), "double": _optional(double), "strings": strings, "pairs": pairs}
TEXTS = {name: PLACES[name] for name, kind in KINDS.items() if kind == "string"}
OTHERS = {name: (PLACES[name], WRITERS[kind]) for name, kind in KINDS.items() if kind != "string"}


def body_of(fields: Fields) -> bytes:
    """The Avro body (no frame). NUL characters, which no store takes, become U+FFFD, and ``attributes`` say in which fields.

    Raises Unmappable ``bad_event_type`` or ``bad_value`` where a field does not fit the schema or its limits.
    """
    if len(fields["event_type"].encode()) > EVENT_TYPE_BYTES:
        raise Unmappable("bad_event_type", f"the type of the event must have at most {EVENT_TYPE_BYTES} bytes")
    try:
        return _encode(fields)
    except InvalidEventError:
        pass
    try:
        return _encode(_without_nul(fields))
    except InvalidEventError as exc:
        raise Unmappable("bad_value", str(exc)) from None


def _encode(fields: Fields) -> bytes:
    return _small(fields) or encode(within_limits(AuditEvent(**fields)))


def _small(fields: Fields) -> bytes | None:
    """The bytes that the SDK's encoder makes of them: it goes through all sixty columns, of which a source fills some twenty.

    None where a limit could be passed or a value is not right: the SDK cuts the one, and says what is wrong with the other.
    """
    parts = EMPTY.copy()
    try:
        for name, value in fields.items():
            if type(value) is str:
                if "\0" in value:
                    return None
                raw = value.encode()
                size = len(raw)
                parts[TEXTS[name]] = (SMALL[size] if size < 8192 else long(size)) + raw
            elif name in LISTS and len(value) > SMALL_ITEMS:
                return None
            else:
                place, write = OTHERS[name]
                parts[place] = write(value)
    except (TypeError, ValueError, AttributeError, OverflowError, KeyError):
        return None
    body = b"".join(parts)
    return body if len(body) <= SMALL_BYTES and "occurred_at" in fields else None


def _without_nul(fields: Fields) -> Fields:
    clean: Fields = {name: _clean(value) for name, value in fields.items()}
    changed = sorted(name for name, value in clean.items() if value != fields[name])
    if changed:
        clean["attributes"] = {**clean.get("attributes", {}), REPLACED: ",".join(changed)}
    return clean


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value

"""Fields of an event → Avro body, by the SDK's generated encoder and within its limits: long texts are cut and marked."""

from __future__ import annotations

from typing import Any

from auditwire import AuditEvent, InvalidEventError, encode, within_limits
from connectors.sources.fields import Fields, Unmappable

EVENT_TYPE_BYTES = 256
REPLACED = "nul_replaced"
# Below these the SDK's limits cannot be passed, and asking for them is saved.
SMALL_BYTES = 32 * 1024
SMALL_ITEMS = 128
LISTS = ("delegation_chain", "tools_offered", "attributes")


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
    event = AuditEvent(**fields)
    body = encode(event)
    if len(body) <= SMALL_BYTES and not any(len(fields.get(name, ())) > SMALL_ITEMS for name in LISTS):
        return body
    return encode(within_limits(event))


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

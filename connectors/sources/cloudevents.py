"""CloudEvents 1.0 as JSON: required attributes, GitLab's AI types, columns named in ``data``; all else to ``attributes``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

import orjson

from connectors.sources import gitlab
from connectors.sources.attributes import attributes_of
from connectors.sources.fields import (
    CLOUDEVENT_IDS,
    COLUMNS,
    Fields,
    Json,
    Origin,
    Unmappable,
    identify,
    micros,
    put,
    with_length,
)

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# Whom an event belongs to and how it is counted is not for `data` to say.
RESERVED = frozenset(
    {
        *("event_id", "tenant_id", "event_type", "occurred_at", "observed_at", "source", "source_event_type", "source_event_id"),
        *("producer_id", "producer_epoch", "sequence", "audit_mode", "content_length", "truncated_fields", "attributes"),
        *(name for name in COLUMNS if name.startswith("processed_")),
    }
)
DATA_COLUMNS = frozenset(COLUMNS) - RESERVED


def event(payload: Json, origin: Origin) -> Fields:
    """Fields of the event for one CloudEvent in JSON form. Raises Unmappable: quarantine it."""
    if not isinstance(payload, dict):
        raise Unmappable("not_an_object", "an element of the batch is no JSON object")
    rest = dict(payload)
    if rest.pop("specversion", None) != "1.0":
        raise Unmappable("bad_cloudevent", 'specversion must be "1.0"')
    own, realm, name = (_required(rest, key) for key in ("id", "source", "type"))
    fields = identify(origin, CLOUDEVENT_IDS, payload, realm, own)
    fields["occurred_at"] = micros(rest.pop("time", None), "time")
    kind = gitlab.AI_KINDS.get(name) or gitlab.Kind(name)
    gitlab.start(fields, kind, name)
    rest["source"] = realm
    trace = TRACEPARENT.fullmatch(str(rest.get("traceparent", "")))
    if trace:
        fields["trace_id"] = trace[1]
    sent_length = _data(fields, kind, rest)
    attributes = attributes_of(rest)
    if attributes:
        fields["attributes"] = attributes
    return with_length(fields, sent_length)


def _required(rest: dict[str, Json], key: str) -> str:
    value = rest.pop(key, None)
    if type(value) is not str or not value or len(value) > 1024:
        raise Unmappable("bad_cloudevent", f"{key} must be text of 1 to 1024 characters")
    return value


def _data(fields: Fields, kind: gitlab.Kind, rest: dict[str, Json]) -> int:
    """Columns from ``data`` and ``subject``; returns the content length that the source names itself."""
    data = rest.get("data")
    details = dict(data) if isinstance(data, dict) else {}
    subject = rest.pop("subject", None)
    known = kind.name != fields["source_event_type"]
    if known:
        details.setdefault("workflow_id", subject)
        fields["agent_type"] = "duo-workflow"
        if subject not in (None, details["workflow_id"]):
            rest["subject"] = subject
    elif subject is not None and not put(fields, "target_id", subject):
        rest["subject"] = subject
    sent_length = gitlab.from_details(fields, kind, {}, details)
    for key in details.keys() & DATA_COLUMNS:
        if key not in fields and details[key] is not None and put(fields, key, details[key]):
            del details[key]
    if isinstance(data, dict):
        rest["data"] = details or None
    return sent_length


def from_binary(headers: Mapping[str, str], body: bytes) -> dict[str, Json]:
    """The JSON form of a CloudEvent in binary mode: attributes in ``ce-`` headers, ``data`` in the body."""
    payload: dict[str, Json] = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    kind = headers.get("content-type", "")
    if kind:
        payload["datacontenttype"] = kind
    if not body:
        return payload
    if "json" in kind.partition(";")[0]:
        payload["data"] = orjson.loads(body)
    else:
        payload["data"] = body.decode("utf-8", "backslashreplace")
    return payload

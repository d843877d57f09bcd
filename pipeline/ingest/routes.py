"""From a body to events and rejects, for each route; pure but for the yield between slices of a long array."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from connectors.sources import auditwire_json, cloudevents, gitlab
from connectors.sources.encode import body_of
from connectors.sources.fields import Fields, Json, Origin, Unmappable
from pipeline.ingest import refusal
from pipeline.ingest.bounded import DEPTH, BadShape, check_elements, deeper_than, parse_json

Headers = Mapping[str, str]
SLICE = 500
ORIGINAL_BYTES = 900_000  # of a reject: the sealed record fits the quarantine topic with room to spare
ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class Event:
    """An event ready for Kafka: the Avro body (no frame) and the byte that spreads a source over partitions."""

    body: bytes
    spread: int


@dataclass(frozen=True, slots=True)
class Reject:
    """What could not be understood, as it came in; ``reason`` is a code, ``detail`` tells the field, never a value."""

    reason: str
    detail: str
    original: bytes


@dataclass(slots=True)
class Mapped:
    """What became of every element of a body."""

    events: list[Event] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


async def gitlab_route(headers: Headers, body: bytes, origin: Origin) -> Mapped:
    """GitLab cannot mend a body, and would not send it again: it is taken or quarantined, whatever it holds.

    Only what is neither understood nor fits into quarantine is refused (413): better no acknowledgement than one for a part.
    """
    if not body:
        raise refusal.mend("The body is empty.", "Send an audit event as JSON.")
    header_type = headers.get("x-gitlab-audit-event-type", "")[:256]

    def mapping(element: Json) -> Fields:
        return gitlab.event(element, origin, header_type)

    try:
        return await _parsed(body, mapping)
    except BadShape as exc:
        if exc.reason.startswith("too_many") and len(body) > ORIGINAL_BYTES:
            raise _too_much(exc) from None
        return Mapped(rejects=[Reject(exc.reason, exc.detail, body)])


async def _parsed(body: bytes, mapping: Callable[[Json], Fields]) -> Mapped:
    """Raises BadShape; not ``too_deep``."""
    try:
        return await _each(_elements(parse_json(body)), mapping)
    except BadShape as exc:
        if exc.reason != "too_deep":
            raise
    return await _deep(body, mapping)


async def _deep(body: bytes, mapping: Callable[[Json], Fields]) -> Mapped:
    """A body with an element that is nested too deep: only that one is rejected (an agent chooses its tool's arguments)."""

    def checked(element: Json) -> Fields:
        if deeper_than(element, DEPTH - 1):
            raise Unmappable("too_deep", f"the element is nested deeper than {DEPTH} levels")
        return mapping(element)

    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Mapped(rejects=[Reject("not_json", "the body is not JSON in UTF-8, or nested deeper than 1,024 levels", body)])
    check_elements(value)
    return await _each(_elements(value), checked)


def _elements(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


async def cloudevents_route(headers: Headers, body: bytes, origin: Origin) -> Mapped:
    """One, a batch, or one in binary mode (``ce-`` headers)."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == MANY:
        value = _json(body)
        if not isinstance(value, list):
            raise refusal.mend("The body is no JSON array.", f"Send an array of CloudEvents, or one event as {ONE}.")
        return await _each(value, lambda element: cloudevents.event(element, origin))
    if kind == ONE:
        return await _each([_json(body)], lambda element: cloudevents.event(element, origin))
    if "ce-specversion" not in headers:
        raise refusal.unsupported(f"Send CloudEvents 1.0 as {ONE} or {MANY}, or in binary mode with ce- headers.")
    if "json" in kind and body:
        _json(body)
    return await _each([cloudevents.from_binary(headers, body)], lambda element: cloudevents.event(element, origin))


async def events_route(headers: Headers, body: bytes, origin: Origin) -> Mapped:
    """The sender can mend its events: one wrong element refuses the whole request, so that nothing is half taken."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise refusal.unsupported("Send Content-Type: application/json with one event or an array of events.")
    value = _json(body)
    mapped = Mapped()
    elements = _elements(value)
    for index, element in enumerate(elements):
        if index % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        try:
            mapped.events.append(_event(auditwire_json.event(element, origin)))
        except Unmappable as exc:
            where = f"Event {index + 1} of {len(elements)}" if isinstance(value, list) else "The event"
            raise refusal.mend(f"{where} is not taken: {exc.detail}.", "Correct it and send the whole request again.") from None
    return mapped


async def _each(elements: list[Json], mapping: Callable[[Json], Fields]) -> Mapped:
    """Every element becomes an event or a reject; others may run between slices."""
    mapped = Mapped()
    for index, element in enumerate(elements):
        if index % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        try:
            mapped.events.append(_event(mapping(element)))
        except Unmappable as exc:
            mapped.rejects.append(Reject(exc.reason, exc.detail, _original(element)))
    return mapped


def _original(element: Json) -> bytes:
    try:
        return orjson.dumps(element)
    except orjson.JSONEncodeError:  # it stops at 254 levels
        return _dumped(element)


def _dumped(value: Json) -> bytes:
    """As orjson writes it, however deep. Bytes on the stack are JSON already."""
    text, todo = bytearray(), [value]
    while todo:
        item = todo.pop()
        if isinstance(item, bytes):
            text += item
        elif isinstance(item, list):
            todo.append(b"]")
            for index in range(len(item) - 1, -1, -1):
                todo += (item[index], b"," if index else b"[")
            text += b"" if item else b"["
        elif isinstance(item, dict):
            todo.append(b"}")
            names = list(item)
            for index in range(len(names) - 1, -1, -1):
                todo += (item[names[index]], (b"," if index else b"{") + orjson.dumps(names[index]) + b":")
            text += b"" if item else b"{"
        else:
            text += orjson.dumps(item)
    return bytes(text)


def _event(fields: Fields) -> Event:
    return Event(body_of(fields), hashlib.sha256(fields["source_event_id"].encode()).digest()[0])


def _json(body: bytes) -> Json:
    try:
        return parse_json(body)
    except BadShape as exc:
        if exc.reason == "too_many_elements":
            raise _too_much(exc) from None
        raise refusal.mend(f"The body is not taken: {exc.detail}.", "Correct it and send it again; nothing was taken.") from None


def _too_much(exc: BadShape) -> refusal.Refusal:
    return refusal.Refusal(413, f"Too much in one request: {exc.detail}.", "Send fewer events in one request; none was taken.")

"""For your own tests: a transport that keeps events in memory and behaves as Kafka does."""

from __future__ import annotations

import json
import struct
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from auditwire._errors import ClosedError, DeliveryError
from auditwire._event import SCHEMA
from auditwire._receipt import Position
from auditwire._transport import Full, Report

__all__ = ["RecordingTransport", "Stored"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Stored(NamedTuple):
    """One message as Kafka would keep it."""

    key: bytes
    value: bytes


class RecordingTransport:
    """Stores what a client sends, in one partition of a topic in memory, and reports it stored.

    ``capacity``: messages that may wait unreported before the queue is full. With ``held`` they wait until `release`;
    otherwise each is stored at once. `refuse` makes the next ones fail.
    """

    schema_id = 1

    def __init__(self, *, capacity: int = 100_000, held: bool = False, topic: str = "audit.raw") -> None:
        self.topic = topic
        self.stored: list[Stored] = []
        self.problem = ""
        self._capacity = capacity
        self._held = held
        self._refused: deque[str] = deque()
        self._reset()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The stored events, decoded: every column, times as UTC datetimes, attributes as dict."""
        return [decode(stored.value[5:]) for stored in self.stored]

    def refuse(self, count: int = 1, why: str = "refused by the test") -> None:
        """The next ``count`` messages fail with this text."""
        self._refused.extend([why] * count)

    def release(self) -> None:
        """Store and report everything that waits."""
        while (message := self._next()) is not None:
            report, outcome = message
            report(outcome)

    def send(self, key: bytes, value: bytes, report: Report) -> None:
        """See Transport."""
        with self._lock:
            if self._closed:
                raise ClosedError("the transport is closed: make a new one")
            if len(self._waiting) >= self._capacity:
                raise Full
            self._waiting.append((Stored(key, value), report))
        if not self._held:
            self.release()

    def flush(self, timeout: float) -> int:
        """See Transport. Does not wait: nothing comes by itself."""
        return len(self._waiting)

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            self._closed = True
            given_up = list(self._waiting)
            self._waiting.clear()
        for _, report in given_up:
            report(DeliveryError("the client was closed before the event was stored: flush before closing"))

    def after_fork(self) -> None:
        """See Transport."""
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Stored, Report]] = deque()
        self._closed = False

    def _next(self) -> tuple[Report, Position | DeliveryError] | None:
        with self._lock:
            if not self._waiting:
                return None
            stored, report = self._waiting.popleft()
            if self._refused:
                return report, DeliveryError(self._refused.popleft())
            self.stored.append(stored)
            return report, Position(self.topic, 0, len(self.stored) - 1)


def decode(body: bytes) -> dict[str, Any]:
    """The event in an Avro body (without the five header bytes) that this SDK wrote; every column by name."""
    return dict(_Reader(body).value(_PARSED))


class _Reader:
    """Reads the Avro types that events are made of."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def value(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return self.value(schema[self.long()])
        if isinstance(schema, str):
            return getattr(self, schema)()
        if schema["type"] == "record":
            return {f["name"]: self.value(f["type"]) for f in schema["fields"]}
        if schema["type"] == "array":
            return self.items(schema["items"])
        return _EPOCH + timedelta(microseconds=self.long())  # the one logical type there is

    def null(self) -> None:
        return None

    def string(self) -> str:
        return self.take(self.long()).decode()

    def double(self) -> float:
        return float(struct.unpack("<d", self.take(8))[0])

    def boolean(self) -> bool:
        return self.take(1) == b"\x01"

    def items(self, schema: Any) -> Any:
        found = []
        while count := self.long():
            found += [self.value(schema) for _ in range(count)]
        return found if schema == "string" else {pair["key"]: pair["value"] for pair in found}

    def take(self, count: int) -> bytes:
        self.at += count
        return self.body[self.at - count : self.at]

    def long(self) -> int:
        result = shift = 0
        while (byte := self.take(1)[0]) > 127:
            result |= (byte & 127) << shift
            shift += 7
        result |= byte << shift
        return (result >> 1) ^ -(result & 1)


_PARSED = json.loads(SCHEMA)

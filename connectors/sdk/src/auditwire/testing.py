"""For your own tests: a transport that keeps events in memory and behaves as Kafka does."""

from __future__ import annotations

import json
import logging
import os
import struct
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any, NamedTuple

from auditwire._errors import ClosedError, DeliveryError
from auditwire._event import SCHEMA
from auditwire._receipt import Outcome, Position
from auditwire._transport import Full, Report

__all__ = ["RecordingTransport", "Stored"]
log = logging.getLogger("auditwire")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Stored(NamedTuple):
    """One message as Kafka would keep it."""

    key: bytes
    value: bytes


class RecordingTransport:
    """Stores what a client sends, in one partition of a topic in memory, and reports it stored from another thread.

    ``capacity``: messages that may wait unstored before the queue is full. With ``held`` they wait until `release`;
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
        """Store everything that waits."""
        with self._change:
            while self._waiting:
                stored, report = self._waiting.popleft()
                self._settle(report, DeliveryError(self._refused.popleft()) if self._refused else self._store(stored))

    def send(self, key: bytes, value: bytes, report: Report) -> None:
        """See Transport."""
        with self._change:
            if self._closed:
                raise ClosedError("the transport is closed: make a new one")
            if len(self._waiting) >= self._capacity:
                raise Full
            self._waiting.append((Stored(key, value), report))
            if not self._held:
                self.release()

    def flush(self, timeout: float) -> int:
        """See Transport. What is held is not waited for."""
        with self._change:
            self._change.wait_for(lambda: self._unreported == 0, timeout)
            return self._unreported + len(self._waiting)

    def close(self) -> None:
        """See Transport."""
        with self._change:
            self._closed = True
            while self._waiting:
                report = self._waiting.popleft()[1]
                self._settle(report, DeliveryError("the client was closed before the event was stored: flush before closing"))
        self.flush(5)

    def after_fork(self) -> None:
        """See Transport."""
        self._reset()

    def _reset(self) -> None:
        self._change = threading.Condition(threading.RLock())
        self._waiting: deque[tuple[Stored, Report]] = deque()
        self._unreported = 0
        self._closed = False

    def _store(self, stored: Stored) -> Position:
        self.stored.append(stored)
        return Position(self.topic, 0, len(self.stored) - 1)

    def _settle(self, report: Report, outcome: Outcome) -> None:
        self._unreported += 1
        _reporter.tell(lambda: self._report(report, outcome))

    def _report(self, report: Report, outcome: Outcome) -> None:
        try:
            report(outcome)
        finally:
            with self._change:
                self._unreported -= 1
                self._change.notify_all()


class _Reporter:
    """One thread that tells outcomes, as Kafka's client does: never inside `send`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """In a forked child: no thread is left, and what was to be told is the parent's."""
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._start = threading.Lock()
        self._running = False

    def tell(self, call: Callable[[], None]) -> None:
        self._calls.put(call)
        with self._start:
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name="auditwire-recording", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                self._calls.get()()
            except Exception:
                log.exception("a delivery callback failed")


_reporter = _Reporter()
os.register_at_fork(after_in_child=_reporter.reset)


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

"""A transport inside the process that behaves as Kafka's does: bounded queue, reports from another thread, forks."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from auditwire._errors import ClosedError, DeliveryError
from auditwire._receipt import Outcome, Position
from auditwire._transport import Full, Report

log = logging.getLogger("auditwire")


class Stored(NamedTuple):
    """One message as Kafka would keep it."""

    key: bytes
    value: bytes


class MemoryTransport:
    """Gives what a client sends to `_store`, one message after the other, and reports it stored from another thread.

    ``capacity``: messages that may wait unstored before the queue is full. With ``held`` they wait until `release`;
    otherwise each is stored at once. `refuse` makes the next ones fail.
    """

    schema_id = 1

    def __init__(self, *, capacity: int = 100_000, held: bool = False, topic: str = "audit.raw") -> None:
        self.topic = topic
        self.problem = ""
        self._capacity = capacity
        self._held = held
        self._count = 0
        self._refused: deque[str] = deque()
        self._reset()

    def refuse(self, count: int = 1, why: str = "refused by the test") -> None:
        """The next ``count`` messages fail with this text."""
        self._refused.extend([why] * count)

    def release(self) -> None:
        """Store everything that waits."""
        with self._change:
            while self._waiting:
                stored, report = self._waiting.popleft()
                self._settle(report, self._stored(stored))

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

    def _store(self, stored: Stored) -> None:
        """What becomes of a message; called in the order of sending, by one thread at a time. Raises DeliveryError."""
        raise NotImplementedError

    def _stored(self, stored: Stored) -> Outcome:
        if self._refused:
            return DeliveryError(self._refused.popleft())
        try:
            self._store(stored)
        except DeliveryError as error:
            return error
        self._count += 1
        return Position(self.topic, 0, self._count - 1)

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

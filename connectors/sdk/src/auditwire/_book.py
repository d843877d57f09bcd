"""What became of the events: counted, and every failure told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from auditwire._errors import DeliveryError, QueueFullError
from auditwire._receipt import Outcome, Receipt

log = logging.getLogger("auditwire")
OnError = Callable[[Receipt, DeliveryError], None]
_SAY_DROPS_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Counts:
    """Events since the client was made, in this process: recorded = stored + failed + pending; those dropped are none of them.

    ``pending``: still under way, in memory or in the spool. ``spooled``: wait in the spool now, those that an earlier process
    left there included. Heartbeats and the like are not counted.
    """

    recorded: int
    stored: int
    failed: int
    dropped: int = 0
    spooled: int = 0
    pending: int = 0


class Book:
    """Counts; ``on_error`` hears of each failure. ``room`` wakes who waits for a place in the queue."""

    def __init__(self, on_error: OnError | None) -> None:
        self.room = threading.Condition()
        self.stored = 0
        self.failed = 0
        self.dropped = 0
        self._unraised = 0
        self._last: DeliveryError | None = None
        self._on_error = on_error
        self._telling = threading.local()
        self._unsaid = 0
        self._said = float("-inf")
        self._lock = threading.Lock()

    def settled(self, receipt: Receipt, outcome: Outcome) -> None:
        """Book an outcome; transports call it through the receipt."""
        if isinstance(outcome, DeliveryError):
            self._failure(receipt, outcome)
        else:
            self.stored_unseen()
        with self.room:
            self.room.notify_all()

    def stored_unseen(self) -> None:
        """Book an event as stored whose receipt nobody kept."""
        with self._lock:
            self.stored += 1

    def raise_losses(self) -> None:
        """Raises DeliveryError, once, where events failed or were dropped since the last call."""
        with self._lock:
            lost, last, self._unraised = self._unraised, self._last, 0
        if lost:
            raise DeliveryError(f"{lost} events since the last flush were not stored, the last because: {last}")

    def _failure(self, receipt: Receipt, error: DeliveryError) -> None:
        dropped = isinstance(error, QueueFullError)
        with self._lock:
            self.failed += not dropped
            self.dropped += dropped
            self._unraised += 1
            self._last = error
        if dropped:
            self._say_drops(error)
        else:
            log.error("event %s of tenant %s was not stored: %s", receipt.event_id, receipt.tenant_id, error)
        self._tell(receipt, error)

    def _say_drops(self, error: DeliveryError) -> None:
        """At most once a second: an overload is no reason to flood the log."""
        with self._lock:
            self._unsaid += 1
            now = time.monotonic()
            if now - self._said < _SAY_DROPS_EVERY:
                return
            count, self._unsaid, self._said = self._unsaid, 0, now
        log.error("%d events were dropped: %s", count, error)

    def _tell(self, receipt: Receipt, error: DeliveryError) -> None:
        if self._on_error is None or getattr(self._telling, "now", False):  # what on_error records may be dropped too
            return
        self._telling.now = True
        try:
            self._on_error(receipt, error)
        except Exception:
            log.exception("on_error failed for event %s", receipt.event_id)
        finally:
            self._telling.now = False

"""What became of the events: counted, and every failure told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from auditwire._errors import DeliveryError
from auditwire._receipt import Outcome, Receipt

log = logging.getLogger("auditwire")
OnError = Callable[[Receipt, DeliveryError], None]


@dataclass(frozen=True)
class Counts:
    """Events since the client was made, in this process: recorded = stored + failed + still under way."""

    recorded: int
    stored: int
    failed: int


class Book:
    """Counts; ``on_error`` hears of each failure. ``room`` wakes who waits for a place in the queue."""

    def __init__(self, on_error: OnError | None) -> None:
        self.room = threading.Condition()
        self.recorded = 0
        self._stored = 0
        self._failed = 0
        self._unraised = 0
        self._last: DeliveryError | None = None
        self._on_error = on_error
        self._lock = threading.Lock()

    def counts(self) -> Counts:
        with self._lock:
            return Counts(self.recorded, self._stored, self._failed)

    def settled(self, receipt: Receipt, outcome: Outcome) -> None:
        """Book an outcome; transports call it through the receipt."""
        if isinstance(outcome, DeliveryError):
            self._failure(receipt, outcome)
        else:
            with self._lock:
                self._stored += 1
        with self.room:
            self.room.notify_all()

    def raise_losses(self) -> None:
        """Raises DeliveryError, once, where events failed since the last call."""
        with self._lock:
            lost, last, self._unraised = self._unraised, self._last, 0
        if lost:
            raise DeliveryError(f"{lost} events since the last flush were not stored, the last because: {last}")

    def _failure(self, receipt: Receipt, error: DeliveryError) -> None:
        with self._lock:
            self._failed += 1
            self._unraised += 1
            self._last = error
        log.error("event %s of tenant %s was not stored: %s", receipt.event_id, receipt.tenant_id, error)
        if self._on_error:
            try:
                self._on_error(receipt, error)
            except Exception:
                log.exception("on_error failed for event %s", receipt.event_id)

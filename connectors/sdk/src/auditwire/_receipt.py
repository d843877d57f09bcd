"""What `record` gives back: the place to learn what became of the event."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Generator
from typing import NamedTuple

from auditwire._errors import DeliveryError, DeliveryTimeoutError


class Position(NamedTuple):
    """Where Kafka stored the event."""

    topic: str
    partition: int
    offset: int


Outcome = Position | DeliveryError


class _Era:
    """State that a forked child must not share with its parent: a lock that may be held, and which side of the fork this is.

    ``asked``: receipts that somebody waits on, kept alive until they are settled: the spool keeps only weak references.
    """

    def __init__(self) -> None:
        self.number = 0
        self.lock = threading.Lock()
        self.asked: set[Receipt] = set()

    def after_fork(self) -> None:
        self.number += 1
        self.lock = threading.Lock()
        self.asked = set()


_era = _Era()
os.register_at_fork(after_in_child=_era.after_fork)


class Receipt:
    """What becomes of one recorded event. `wait` for it, `await` it, or ask `done`.

    ``event_id`` and ``tenant_id`` identify the event; ``sequence`` is its number in this producer's gap-free count;
    ``observed_at`` is when `record` was called, in microseconds since 1970 UTC.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_era",
        "_outcome",
        "_settled",
        "_why",
        "event_id",
        "observed_at",
        "sequence",
        "tenant_id",
    )

    def __init__(
        self,
        tenant_id: str,
        event_id: str,
        observed_at: int,
        why: Callable[[], str],
        settled: Callable[[Receipt, Outcome], None],
    ) -> None:
        self.tenant_id = tenant_id
        self.event_id = event_id
        self.observed_at = observed_at
        self.sequence = -1
        self._why = why
        self._settled = settled
        self._outcome: Outcome | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._era = _era.number

    def done(self) -> bool:
        """True once it is known whether Kafka stored the event."""
        return self._outcome is not None

    def wait(self, timeout: float | None = None) -> Position:
        """The event's position once every in-sync replica has it; ``timeout`` in seconds, None waits for as long as it takes.

        Raises DeliveryError where Kafka did not store it, DeliveryTimeoutError where that is not known yet.
        """
        if self._outcome is None:
            known = threading.Event()
            self.on_done(known.set)
            if not known.wait(timeout):
                raise self._not_yet(f"after {timeout:g} s")
        return self._result()

    def __await__(self) -> Generator[object, None, Position]:
        """As `wait`, without blocking the event loop; bound it with ``asyncio.timeout``."""
        if self._outcome is None:
            loop = asyncio.get_running_loop()
            known = asyncio.Event()
            self.on_done(lambda: _wake(loop, known))
            yield from known.wait().__await__()
        return self._result()

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call back once it is known, at once if it is already; from another thread, so keep it short and let it not raise."""
        if self._era != _era.number and self._outcome is None:
            raise DeliveryError("the event was recorded before os.fork(): the parent process delivers it, wait for it there")
        with _era.lock:
            if self._outcome is None:
                self._callbacks.append(callback)
                _era.asked.add(self)
                return
        callback()

    def settle(self, outcome: Outcome) -> None:
        """For transports: what became of the event. To be called once."""
        self._settled(self, outcome)
        with _era.lock:
            self._outcome = outcome
            callbacks, self._callbacks = self._callbacks, []
            if callbacks:
                _era.asked.discard(self)
        for callback in callbacks:
            callback()

    def _result(self) -> Position:
        if isinstance(self._outcome, Position):
            return self._outcome
        raise self._outcome or self._not_yet("yet")

    def _not_yet(self, when: str) -> DeliveryTimeoutError:
        why = self._why() or "no broker reported a problem, so it is under way: wait again"
        return DeliveryTimeoutError(f"Kafka has not confirmed event {self.event_id} {when}: {why}")


def _wake(loop: asyncio.AbstractEventLoop, known: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile: then nobody waits
        loop.call_soon_threadsafe(known.set)

"""Work that must not hold up the polling: one store call at a time, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Job(Generic[T]):
    """Runs ``work`` in a daemon thread at once; a process that ends does not wait for it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._value: T | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._after: list[Callable[[], None]] = []
        self._begin()

    def _begin(self) -> None:
        threading.Thread(target=self._run, name="sink-job", daemon=True).start()

    def _run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as exc:
            self._error = exc
        with self._lock:
            self._ended.set()
        for action in self._after:
            action()

    def wait(self, seconds: float) -> bool:
        """True when it ended within so many seconds."""
        return self._ended.wait(seconds)

    def result(self) -> T:
        """What ``work`` returned; raises what it raised. Only after it ended."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def after(self, action: Callable[[], None]) -> None:
        """Run ``action`` once it ended, now if it has."""
        with self._lock:
            if not self._ended.is_set():
                self._after.append(action)
                return
        action()


class Inline(Job[T]):
    """The same without a thread, for tests that must be deterministic."""

    def _begin(self) -> None:
        self._run()

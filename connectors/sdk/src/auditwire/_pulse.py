"""One daemon thread that makes a client's lanes say that they are alive."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable

log = logging.getLogger("auditwire")


class Pulse:
    """Calls ``beat`` (a method) every ``interval`` seconds from `start` on; 0 for never. It does not keep the object alive."""

    def __init__(self, interval: float, beat: Callable[[], None]) -> None:
        self._interval = interval
        self._stopping = stopping = threading.Event()
        self._beat = weakref.WeakMethod(beat, lambda _: stopping.set())
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, once; later calls do nothing, but for trying again where the system had no thread to give."""
        with self._lock:
            if self._interval <= 0 or self._thread or self._stopping.is_set():
                return
            thread = threading.Thread(target=self._run, name="auditwire-heartbeat", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                log.exception("no thread for heartbeats: this producer will look silent; allow the process more threads")
            else:
                self._thread = thread

    def stop(self) -> None:
        """No further heartbeat begins."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            beat = self._beat()
            if beat is None:
                return
            try:
                beat()
            except Exception:
                log.exception("a heartbeat failed")
            del beat

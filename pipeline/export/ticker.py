"""Work that is done again and again in a thread of its own, beside the requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable


class Ticker:
    """Calls ``tick`` when it starts, and ``seconds`` after each end, whatever a tick raises.

    ``log`` gets what was raised behind ``said``, what then is the case: as a warning for ``waits_for``, which pass by
    themselves, else with the stack.
    """

    def __init__(
        self,
        name: str,
        tick: Callable[[], object],
        seconds: float,
        *,
        log: logging.Logger,
        said: str,
        waits_for: tuple[type[Exception], ...],
    ) -> None:
        self._tick, self._seconds = tick, seconds
        self._log, self._said, self._waits_for = log, said, waits_for
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, at most 15 seconds later; a tick that takes longer ends with the process."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(15.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._tick()
            except self._waits_for as exc:
                self._log.warning("%s: %s", self._said, exc)
            except Exception:
                self._log.exception("%s: internal error", self._said)
            self._stop.wait(self._seconds)

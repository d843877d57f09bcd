"""Faults at named points of a part that runs as a process: SIGKILL or SIGSTOP exactly there, and no instruction later."""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter
from collections.abc import Sequence

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def strike(number: int) -> None:
    """The signal to this process, taken by the thread that calls.

    A signal to the process may be taken by another thread, and on a busy machine this one would run on until that one gets
    the processor: a SIGSTOP before a write came after it.
    """
    signal.pthread_kill(threading.get_ident(), number)


class Points:
    """A hook for named points, told by ``faults`` such as ``kill@planned:2``: the signal when POINT comes for the Nth time.

    A process that was stopped says on stderr at which points it comes by after it was woken: ``woken: written``.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self._wanted = {}
        for fault in faults:
            if "@" in fault:
                what, _, rest = fault.partition("@")
                point, _, nth = rest.partition(":")
                self._wanted[point, int(nth)] = SIGNALS[what]
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._woken = False

    def __call__(self, point: str) -> None:
        with self._lock:
            self._seen[point] += 1
            number = self._wanted.get((point, self._seen[point]))
        if self._woken:
            sys.stderr.write(f"woken: {point}\n")
            sys.stderr.flush()
        if number is not None:
            strike(number)
            self._woken = True

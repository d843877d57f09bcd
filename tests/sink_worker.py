"""The ClickHouse sink with faults at named points: ``python -m tests.sink_worker [kill@POINT:N | stop@POINT:N | unfenced |
unread] …``.

``kill`` and ``stop`` send the process SIGKILL or SIGSTOP when it comes to POINT for the Nth time. ``unfenced`` and
``unread`` switch a safety mechanism off (negative controls).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Sequence

from connectors.clickhouse.store import Safety
from pipeline import log, settings
from pipeline.sink import clickhouse

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Points:
    """Counts the points passed and sends the signal asked for."""

    def __init__(self, faults: Sequence[str]) -> None:
        self._wanted = {}
        for fault in faults:
            if "@" in fault:
                what, _, rest = fault.partition("@")
                point, _, nth = rest.partition(":")
                self._wanted[point, int(nth)] = SIGNALS[what]
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        with self._lock:
            self._seen[point] += 1
            number = self._wanted.get((point, self._seen[point]))
        if number is not None:
            os.kill(os.getpid(), number)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    arguments = sys.argv[1:]
    values = settings.load(settings.ClickHouseSink)
    log.setup("console")
    safety = Safety(fence="unfenced" not in arguments, read_back="unread" not in arguments)
    sys.exit(clickhouse.run(values, safety, Points(arguments)))

"""The ClickHouse sink with faults at named points: ``python -m tests.sink_worker [kill@POINT:N | stop@POINT:N | unfenced |
unread] …``.

``kill`` and ``stop`` send the process SIGKILL or SIGSTOP when it comes to POINT for the Nth time. ``unfenced`` and
``unread`` switch a safety mechanism off (negative controls).
"""

from __future__ import annotations

import faulthandler
import signal
import sys

from connectors.clickhouse.store import Safety
from pipeline import log, settings
from pipeline.sink import clickhouse
from tests.points import Points

if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    arguments = sys.argv[1:]
    values = settings.load(settings.ClickHouseSink)
    log.setup("console")
    safety = Safety(fence="unfenced" not in arguments, read_back="unread" not in arguments)
    sys.exit(clickhouse.run(values, safety, Points(arguments)))

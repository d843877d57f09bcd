"""A retention run that kills itself: `python -m tests.retention_worker NOW POINT:N`, at the N-th time it comes to the point."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import datetime

from pipeline import settings
from pipeline.retention.runner import Runner
from pipeline.retention.servers import Servers, look
from tests.retention_world import BY, WHY


def main(now: datetime, fault: str) -> None:
    point, _, number = fault.partition(":")
    seen: Counter[str] = Counter()

    def points(name: str) -> None:
        seen[name] += 1
        if (name, seen[name]) == (point, int(number)):
            os.kill(os.getpid(), signal.SIGKILL)

    with ExitStack() as stack:
        servers = Servers(settings.load(settings.RetentionRuns), stack)
        Runner(servers, lambda: now, points=points).run(look(servers, now), BY, WHY)


if __name__ == "__main__":
    main(datetime.fromisoformat(sys.argv[1]), sys.argv[2])

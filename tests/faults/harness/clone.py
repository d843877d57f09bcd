"""Two processes that are one producer to everybody else: ``python -m tests.faults.harness.clone CLAIMS``."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

from auditwire import AuditClient, AuditEvent
from auditwire._direct import Control

COUNT = 20


def main(path: Path) -> int:
    with AuditClient.from_env("clone", tenant="faults", control=Control(new_identity_after_fork=False)) as client:
        child = os.fork()
        with path.with_suffix(f".{'b' if child else 'a'}.txt").open("w") as claims:
            for _ in range(COUNT):
                event = AuditEvent(event_type="faults.cloned", event_id=str(uuid.uuid4()))
                claims.write(f"attempted faults {event.event_id}\n")
                client.record(event).wait(60)
                claims.write(f"acknowledged faults {event.event_id}\n")
        if not child:
            os._exit(0)  # what comes after belongs to the parent
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Locks of stored objects follow a class that became longer."""

from __future__ import annotations

from datetime import datetime

from pipeline.retention.lengths import end_of
from pipeline.retention.servers import Servers


def extend(servers: Servers, now: datetime) -> int:
    """Lock every archived object whose class has a length until its end, where it is locked for less; how many those were.

    Never shortens a lock; may be ended anywhere and run again. Raises one of `servers.FAILED`.
    """
    known, extended = servers.terms(), 0
    for unit, objects in servers.archived().items():
        end = end_of(unit, known, now)
        if end is None or end.at <= now:
            continue
        for one, _, lock in servers.inspected(objects):
            if lock.until is None or lock.until < end.at:
                servers.bucket.lock(one.key, one.version, end.at, lock.mode or servers.values.object_lock_mode)
                extended += 1
    return extended

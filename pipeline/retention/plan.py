"""What a retention run would remove now, and why the rest stays. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.clickhouse.retention import HeldRows
from pipeline.counts import counted
from pipeline.retention.certificate import Deletion, Object, Removed, canonical
from pipeline.retention.lengths import End, Unit

FOR_EVER, KEPT, BLOCKED, DUE, BEGUN = "kept for ever", "kept", "blocked", "due", "begun"


@dataclass(frozen=True)
class Line:
    """One class and month: what the stores have of it, until when it stays, and what keeps it though its end has come."""

    unit: Unit
    events: int
    bytes: int
    """On ClickHouse's disk."""
    objects: tuple[Object, ...]
    end: End | None
    now: datetime
    begun: bool = False
    removed: tuple[Removed, ...] = ()
    blocked: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        return self.end is not None and self.end.at <= self.now

    @property
    def state(self) -> str:
        if self.begun:
            return BEGUN
        if self.end is None:
            return FOR_EVER
        if not self.ended:
            return KEPT
        return BLOCKED if self.blocked else DUE

    @property
    def why(self) -> str:
        """Which revision of the rules decides."""
        if self.end is None:
            return "no revision of the rules says how long"
        return f"{counted(self.end.months, 'month')} by revision {self.end.revision}"

    def intent(self, namespace: str, by: str, reason: str, plan: str) -> Deletion:
        """Of a line that is due."""
        if self.end is None or self.state != DUE:
            raise ValueError(f"{self.unit} is not due")
        return Deletion(namespace, self.unit, self.end, self.removed, self.objects, by, reason, plan, self.now)

    def as_json(self) -> dict[str, Any]:
        """For programs; times are UTC."""
        return {
            "class": self.unit.retention_class,
            "month": self.unit.month,
            "state": self.state,
            "events": self.events,
            "clickhouse_bytes": self.bytes,
            "objects": len(self.objects),
            "archive_bytes": sum(o.size for o in self.objects),
            "ends_at": None if self.end is None else self.end.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "months": None if self.end is None else self.end.months,
            "revision": None if self.end is None else self.end.revision,
            "why": self.why,
            "blocked": list(self.blocked),
        }


@dataclass(frozen=True)
class Plan:
    """All lines, and an identity that changes with anything that a run would do."""

    namespace: str
    lines: list[Line] = field(default_factory=list)

    @property
    def due(self) -> list[Line]:
        return [line for line in self.lines if line.state == DUE]

    @property
    def identity(self) -> str:
        """16 hex digits of what is due: classes, months, revisions, positions, object versions."""
        due = [line.intent(self.namespace, "", "", "").document() for line in self.due]
        return hashlib.sha256(canonical([{k: v for k, v in d.items() if k != "decided_at"} for d in due])).hexdigest()[:16]


@dataclass(frozen=True)
class Part:
    """The events of an object in the archive, as its metadata says."""

    topic: str
    topic_id: str
    partition: int
    count: int
    checksum: int


def agreed(rows: Iterable[HeldRows], parts: Iterable[Part]) -> tuple[tuple[Removed, ...], list[str]]:
    """The positions that both stores have, by partition of a topic; and where they do not have the same, in sentences."""
    archived: dict[tuple[str, int], list[Part]] = {}
    for part in parts:
        archived.setdefault((part.topic_id, part.partition), []).append(part)
    removed, differ = [], []
    for row in rows:
        mine = archived.pop((row.topic_id, row.partition), [])
        count, checksum = sum(p.count for p in mine), sum(p.checksum for p in mine) % 2**64
        topic = mine[0].topic if mine else f"topic id {row.topic_id}"
        if row.count != row.unique or (row.count, row.checksum) != (count, checksum):
            differ.append(
                _differs(topic, row.partition, f"{counted(row.count, 'event')} at {counted(row.unique, 'position')}", count)
            )
            continue
        removed.append(Removed(topic, row.topic_id, row.partition, row.count, row.checksum, row.first, row.last, row.last_raw))
    differ += [_differs(parts[0].topic, p, "no events", sum(x.count for x in parts)) for (_, p), parts in archived.items()]
    return tuple(removed), differ


def _differs(topic: str, partition: int, clickhouse: str, archived: int) -> str:
    return f"ClickHouse has {clickhouse} of {topic}[{partition}], the archive {archived}, or others: run `auditwired fsck`"


def within(rows: Sequence[HeldRows], removed: Sequence[Removed]) -> str | None:
    """None where what ClickHouse has is in what was to be removed, all of it or a rest of it; else what is not."""
    known = {(r.topic_id, r.partition): r for r in removed}
    for row in rows:
        one = known.get((row.topic_id, row.partition))
        inside = one is not None and row.count <= one.count and one.first <= row.first and row.last <= one.last
        if one is None or not inside or (row.count == one.count and row.checksum != one.checksum):
            events = counted(row.count, "event")
            return f"{events} of topic id {row.topic_id}, partition {row.partition}, offsets {row.first}..{row.last}"
    return None

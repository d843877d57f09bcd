"""What fsck finds, and the report made of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.counts import counted

MOST_SHOWN = 200
KINDS: dict[str, str] = {
    "missing_in_clickhouse": "in the clean topic or the archive, but not in ClickHouse",
    "missing_in_archive": "in the clean topic or ClickHouse, but not in the archive",
    "not_in_topic": "in a store, but not in the clean topic: at a position that it has not, or of another topic or partition",
    "digest_differs": "the columns of a store, encoded again, are not the event in the clean topic (or in the other store)",
    "stored_digest_differs": "the column event_digest is not the digest of the event in the clean topic",
    "time_differs": "kafka_timestamp is not the append time of the record",
    "stored_twice": "a store holds the position more than once",
    "unreadable_in_topic": "a record of the clean topic is no event",
    "overlapping_ranges": "two ranges of the archive share positions",
    "bad_manifest": "a manifest of the archive cannot be read or is not of its name",
    "missing_object": "a manifest lists an object that is not there or is hidden",
    "bad_metadata": "an object's metadata is not what its manifest says",
    "bad_object": "an object's bytes are not those that were written",
    "stray_object": "an object that no manifest lists, although its range is committed",
    "unknown_object": "an object whose name is not one of the archive's",
    "extra_version": "an object was overwritten",
    "hidden_object": "an object was deleted (a delete marker hides it)",
    "not_deleted": "a certificate says that the class and month is deleted, and a store has events of it",
    "bad_certificate": "a file below deletions/ is not signed by a known key, or not what its name says: it counts for nothing",
    "deletion_unfinished": "a retention run was begun and has not ended: it has an intent, and no certificate",
    "certified_differs": "what is gone of a partition is not what certificates say, by count or by checksum",
    "ledger_equation": "a ledger record in which read is not clean + quarantined + duplicates, or ranges with an overlap or gap",
    "ledger_differs": "the clean events of a transaction are not those that the ledger counted",
    "quarantine_differs": "the quarantine topic does not hold what the ledger counted as quarantined, or as replayed",
    "missing_in_ledger_table": "a record of the ledger topic, or an interval in it, is not in the ledger tables",
    "not_in_ledger_topic": "the ledger tables have a row that the ledger topic has not, or one of another topic or partition",
    "ledger_table_differs": "a row of the ledger tables is not what the ledger topic has at its position",
}


@dataclass(frozen=True)
class Finding:
    """A difference. ``place`` is ``topic[partition]`` or an object's key; ``first`` and ``last`` are offsets where they apply."""

    kind: str
    place: str
    text: str
    first: int | None = None
    last: int | None = None
    count: int = 1

    def __str__(self) -> str:
        if self.first is None:
            return f"{self.kind}: {self.place}: {self.text}"
        where = f"offset {self.first}" if self.first == self.last else f"offsets {self.first}..{self.last} ({self.count} events)"
        return f"{self.kind}: {self.place} {where}: {self.text}"


@dataclass
class PartitionReport:
    """What was compared of one partition: positions ``since <= offset < until``, of which ``events`` are events."""

    partition: int
    place: str
    since: int
    until: int
    log_start: int
    topic_end: int
    clickhouse_committed: int
    archive_committed: int
    events: int = 0
    differences: int = 0
    ledger_records: int | None = None
    read: int = 0
    clean: int = 0
    quarantined: int = 0
    duplicates: int = 0
    lost_before_processing: int = 0
    ledger_end: int = 0
    ledger_tables: int = 0
    """Offset in the ledger topic up to which its tables are compared."""
    deleted: int = 0
    """Events of the partition that certificates say were deleted."""
    ledger_cut: int | None = None
    """Transactions of which only a part lies in what was asked for; None where everything was."""

    def waiting(self) -> str | None:
        """What is not yet covered, in a sentence; None when everything in the topic is."""
        late = []
        if min(self.clickhouse_committed, self.archive_committed) < self.topic_end:
            late.append(
                f"the clean topic ends at {self.topic_end}, ClickHouse has committed {self.clickhouse_committed},"
                f" the archive {self.archive_committed}"
            )
        if self.ledger_records is not None and self.ledger_tables < self.ledger_end:
            late.append(f"the ledger ends at {self.ledger_end}, its tables at {self.ledger_tables}")
        return f"not yet covered: {'; '.join(late)}" if late else None

    def __str__(self) -> str:
        result = counted(self.differences, "difference") if self.differences else "agree"
        ledger = "" if self.ledger_records is None or self.ledger_cut is not None else f", {self.ledger_records} ledger records"
        below = f"; the topic begins at {self.log_start}" if self.log_start > self.since else ""
        text = f"{self.place}  {self.since}..{self.until}: {self.events} events{ledger}: {result}{below}"
        if self.ledger_cut is not None:
            text += f"\n  against the ledger: {self.ledger_records} transactions wholly inside"
            text += f"; not compared: {self.ledger_cut} that the range cuts" if self.ledger_cut else ""
        if self.read:
            text += (
                f"\n  of {self.read} raw records {self.clean} became clean, {self.quarantined} were quarantined,"
                f" {self.duplicates} were duplicates"
            )
        if self.deleted:
            text += f"\n  {counted(self.deleted, 'event was', 'events were')} deleted at the end of their time, with certificates"
        if self.lost_before_processing:
            text += f"\n  Kafka deleted {self.lost_before_processing} raw records before they were processed: they are lost"
        waiting = self.waiting()
        return f"{text}\n  {waiting}" if waiting else text


@dataclass
class Report:
    """Everything. Findings beyond `MOST_SHOWN` a kind are counted, not kept."""

    topic: str
    partitions: list[PartitionReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    acknowledged: list[str] = field(default_factory=list)
    """Rows of earlier topics that were not compared, because `--other-topics` answers for them, in sentences."""
    _kept: Counter[str] = field(default_factory=Counter)

    def add(self, found: Iterable[Finding]) -> int:
        """Take findings; returns how many events or objects they are about."""
        total = 0
        for finding in found:
            self.totals[finding.kind] += finding.count
            total += finding.count
            if self._kept[finding.kind] < MOST_SHOWN:
                self._kept[finding.kind] += 1
                self.findings.append(finding)
        return total

    @property
    def agrees(self) -> bool:
        return not self.totals

    def lines(self) -> list[str]:
        """For people."""
        out = [str(p) for p in self.partitions]
        out += [f"not compared, as --other-topics says: {sentence}" for sentence in self.acknowledged]
        out += [f"DIFFERENT {finding}" for finding in self.findings]
        if self.agrees:
            events = sum(p.events for p in self.partitions)
            return [
                *out,
                f"{self.topic}: {events} events in {len(self.partitions)} partitions agree in topic, ClickHouse and archive",
            ]
        out += [f"{count} × {kind}: {KINDS[kind]}" for kind, count in sorted(self.totals.items())]
        return [*out, "What each means and what to do: docs/fsck.md"]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "topic": self.topic,
            "agrees": self.agrees,
            "totals": dict(self.totals),
            "not_compared": self.acknowledged,
            "partitions": [{**asdict(p), "waiting": p.waiting()} for p in self.partitions],
            "findings": [asdict(f) for f in self.findings],
        }

"""The ledger's side of one partition: does each record add up, and are its events in the places that should have them? Pure.

Events are told apart by the raw offset that the processor wrote into each, so one that is missing, double or foreign shows in the
record it belongs to and in no other. A transaction takes some 75 bytes of memory, and some more where it rejected records.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.fsck.findings import Finding

Entry = dict[str, Any]
ENTRY = np.dtype([("offset", "<i8"), ("start", "<i8"), ("end", "<i8"), ("clean", "<i8"), ("checksum", "<u8")])
_PACKED = struct.Struct("<qqqqQ")  # the same as bytes
_NO_OFFSET = 2**62


@dataclass(frozen=True)
class Rejected:
    """What one ledger record says was quarantined of its range of raw offsets, by reason."""

    offset: int
    start: int
    end: int
    reasons: Counter[str]


@dataclass
class Book:
    """The ledger of one partition, from its records in order.

    ``place`` is the ledger's ``topic[partition]``, ``raw`` topic and partition that its records must be about. A record at
    ``must`` or beyond may be of a transaction newer than what it is compared with.
    """

    place: str
    raw: tuple[str, int]
    must: int = _NO_OFFSET
    whole: bool = True
    """False where the beginning of the ledger is gone: events older than its first record are then nobody's fault."""
    lost: int = 0
    """Raw records that Kafka deleted before they were processed."""
    read: int = 0
    clean: int = 0
    quarantined: int = 0
    duplicates: int = 0
    records: int = 0
    findings: list[Finding] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    resolved: dict[int, int] = field(default_factory=dict)
    """Offset in the quarantine whose replay was processed → offset of the ledger record that says so."""

    def __post_init__(self) -> None:
        self._rows = bytearray()  # a list of tuples takes five times as much, and the ledger is kept for ever
        self._before: int | None = None

    def take(self, entries: Iterable[tuple[int, Entry]]) -> Book:
        """Check and keep (offset, LedgerRecord) in order; returns self."""
        for offset, entry in entries:
            self.records += 1
            if self._follows(offset, entry):
                self._keep(offset, entry)
        self.entries = np.frombuffer(self._rows, ENTRY)
        self._rows = bytearray()
        return self

    def _follows(self, offset: int, entry: Entry) -> bool:
        """Whether it is about raw records that no record before it was about."""
        raw = _raw(entry["start_offset"], entry["end_offset"])
        if (entry["raw_topic"], entry["raw_partition"]) != self.raw:
            self._wrong(offset, f"it is about {entry['raw_topic']}[{entry['raw_partition']}]")
            return False
        before, lost = self._before, entry.get("lost", 0)
        if before is not None and entry["start_offset"] != before + lost:
            self._wrong(offset, f"{raw}: the record before it ended at {before}, and {lost} are counted as lost in between")
            if entry["start_offset"] < before:
                return False
        self._before = entry["end_offset"]
        return True

    def _keep(self, offset: int, entry: Entry) -> None:
        raw = _raw(entry["start_offset"], entry["end_offset"])
        counted = entry["clean"] + entry["quarantined"] + entry["duplicates"]
        reasons = Counter({reason["reason"]: reason["count"] for reason in entry["reasons"]})
        if entry["read"] != counted:
            self._wrong(offset, f"{raw}: read {entry['read']}, but clean + quarantined + duplicates is {counted}")
        if entry["quarantined"] != reasons.total():
            self._wrong(offset, f"{raw}: quarantined is not the sum of its reasons")
        if entry["quarantined"] or reasons:
            self.rejected.append(Rejected(offset, entry["start_offset"], entry["end_offset"], reasons))
        for place in entry["resolved"]:
            if place in self.resolved:
                self._wrong(offset, f"{raw}: offset {place} of the quarantine was resolved before")
            self.resolved[place] = offset
        self.lost += entry.get("lost", 0)
        for name in ("read", "clean", "quarantined", "duplicates"):
            setattr(self, name, getattr(self, name) + entry[name])
        self._rows += _PACKED.pack(offset, entry["start_offset"], entry["end_offset"], entry["clean"], entry["checksum"] % 2**64)

    def _wrong(self, offset: int, text: str) -> None:
        self.findings.append(Finding("ledger_equation", self.place, text, offset, offset))

    def of(self, raw: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Number of the record that each raw offset belongs to, -1: none."""
        if not len(self.entries):
            return np.full(len(raw), -1, np.int64)
        found = np.searchsorted(self.entries["start"], raw, side="right") - 1
        return np.where((found >= 0) & (raw < self.entries["end"][found]), found, -1)

    def until(self, raw: int | None) -> int:
        """Number of the last record that holds this raw offset or begins before it, -1: none, or no raw offset was given."""
        return -1 if raw is None else int(np.searchsorted(self.entries["start"], raw, side="right")) - 1

    def since(self, raw: int | None) -> int | None:
        """Number of the first record that holds this raw offset or begins behind it; None: no raw offset was given."""
        if raw is None:
            return None
        number = self.until(raw)
        return number if number >= 0 and raw < self.entries["end"][number] else number + 1

    def covers(self, raw: int) -> bool:
        """Whether the ledger reaches over this raw offset, from where it begins to where it ends."""
        rows = self.entries
        return bool(len(rows)) and raw < rows["end"][-1] and (self.whole or raw >= rows["start"][0])


class Tally:
    """The clean events of one place, counted against the book. ``place`` is the clean ``topic[partition]``."""

    def __init__(self, book: Book, place: str) -> None:
        self._book, self._place = book, place
        rows = len(book.entries)
        self._have, self._sum = np.zeros(rows, np.int64), np.zeros(rows, np.uint64)
        self._first, self._last = np.full(rows, _NO_OFFSET, np.int64), np.full(rows, -1, np.int64)
        self._where, self._names = np.full(rows, -1, np.int8), list[str]()
        self.findings: list[Finding] = []
        self.compared = self.cut = 0
        """Records that lie wholly in what was fed, and those of which only a part does; known at the end."""

    def feed(
        self,
        where: str,
        offsets: npt.NDArray[np.int64],
        raw: npt.NDArray[np.int64],
        digests: npt.NDArray[np.uint64],
    ) -> None:
        """Events at rising offsets, each once, as ``where`` has them: raw offsets, and digests as they were written."""
        number = self._book.of(raw)
        unknown = number < 0
        if not self._book.whole and len(self._book.entries):
            unknown &= raw >= self._book.entries["start"][0]
        for offset in offsets[unknown].tolist():
            text = f"in {where}: made of a raw record that no ledger record is about"
            self.findings.append(Finding("ledger_differs", self._place, text, offset, offset))
        known = number >= 0
        number, offsets = number[known], offsets[known]
        np.add.at(self._have, number, 1)
        np.add.at(self._sum, number, digests[known])
        np.minimum.at(self._first, number, offsets)
        np.maximum.at(self._last, number, offsets)
        if where not in self._names:
            self._names.append(where)
        self._where[number] = self._names.index(where)

    def end(
        self,
        whole: bool,
        before: int = -1,
        behind: int | None = None,
        gone: tuple[int, int] | None = (0, 0),
        last_gone: int = _NO_OFFSET,
    ) -> list[Finding]:
        """No more events; ``whole``: they were all that the clean topic holds. ``gone``: how many of the ledger's events are not
        here because they were deleted, and the sum modulo 2^64 of their digests; None: some were, and how many of these is not
        known, but that none was made of a raw record behind ``last_gone``. Returns every finding.

        Only of part of a partition: ``before`` is the number of the record that the event before the part belongs to, ``behind``
        that of the one behind it. What lies between them must be here in full.
        """
        entries, numbers = self._book.entries, np.arange(len(self._book.entries))
        seen = np.flatnonzero(self._have)
        last = int(seen[-1]) if len(seen) else -1
        due = (numbers < last) | ((numbers == last) & (self._have >= entries["clean"]))
        if whole:
            due |= entries["offset"] < self._book.must
        if behind is not None:
            due = numbers < behind
        inside = due & (numbers > before)
        short = inside & (self._have < entries["clean"])
        if gone is None:
            inside &= ~(short & (entries["start"] <= last_gone))
        elif gone != (0, 0):
            self.findings += self._deleted(np.flatnonzero(short), gone)
        self.findings += self.differing(np.flatnonzero(inside & ~short if gone not in (None, (0, 0)) else inside))
        self.compared, self.cut = int(inside.sum()), int(((self._have > 0) & ~inside).sum())
        return self.findings

    def differing(self, numbers: npt.NDArray[np.int64]) -> list[Finding]:
        """Which of these records have other events than they counted."""
        entries = self._book.entries[numbers]
        differs = (self._have[numbers] != entries["clean"]) | (self._sum[numbers] != entries["checksum"])
        return [self._differs(one) for one in numbers[differs].tolist()]

    def _deleted(self, short: npt.NDArray[np.int64], gone: tuple[int, int]) -> Iterator[Finding]:
        """Transactions that lack events, all together against what was deleted: no certificate says of which it was."""
        entries = self._book.entries[short]
        count = int((entries["clean"] - self._have[short]).sum())
        checksum = int((entries["checksum"] - self._sum[short]).sum(dtype=np.uint64))
        if (count, checksum) != gone:
            where = ", ".join(self._names) or "the topic"
            text = (
                f"{count} clean events of the ledger are not in {where} (checksum {checksum:016x}); of those that only the stores"
            )
            text += f" had, certificates say that {gone[0]} were deleted ({gone[1] % 2**64:016x})"
            yield Finding("certified_differs", self._place, text)

    def _differs(self, one: int) -> Finding:
        entry, have = self._book.entries[one], int(self._have[one])
        raw = _raw(int(entry["start"]), int(entry["end"]))
        where = self._names[self._where[one]] if have else "the topic"
        if not have:
            return Finding("ledger_differs", self._place, f"in {where}: the {entry['clean']} clean events of {raw} are not there")
        text = f"in {where}: {have} clean events of {raw}, and the ledger counted {entry['clean']}"
        if have == entry["clean"]:
            text = f"in {where}: the clean events of {raw} have another checksum than the ledger's"
        return Finding("ledger_differs", self._place, text, int(self._first[one]), int(self._last[one]), have)


@dataclass(frozen=True)
class Held:
    """A record of the quarantine topic: its offset, the raw record it was made of, and why."""

    offset: int
    raw_topic: str
    raw_partition: int
    raw_offset: int
    reason: str


def quarantine(book: Book, place: str, records: Iterable[Held], begins: int) -> Iterator[Finding]:
    """The quarantine's partition against the book: each reject that was counted is there, once, and none besides.

    ``begins``: where the quarantine topic begins; what retention took from it cannot be compared. The receiver's own rejects
    (they name no raw topic) are in no ledger.
    """
    have: dict[int, Counter[str]] = {}
    first_raw: int | None = None
    offsets: set[int] = set()
    for one in records:
        if one.offset in book.resolved:
            offsets.add(one.offset)
        if (one.raw_topic, one.raw_partition) != book.raw:
            if one.raw_topic:
                yield Finding(
                    "quarantine_differs", place, f"it is of {one.raw_topic}[{one.raw_partition}]", one.offset, one.offset
                )
            continue
        first_raw = one.raw_offset if first_raw is None else first_raw
        number = int(book.of(np.array([one.raw_offset]))[0])
        if number >= 0:
            have.setdefault(number, Counter())[one.reason] += 1
        elif book.covers(one.raw_offset):
            text = f"raw offset {one.raw_offset} is in no ledger record"
            yield Finding("quarantine_differs", place, text, one.offset, one.offset)
    yield from _rejects(book, place, have, first_raw if begins else -1)
    for offset, entry in book.resolved.items():
        if begins <= offset and offset not in offsets and entry < book.must:
            text = f"the ledger record at {entry} says that a replay of it was processed, but it is not there"
            yield Finding("quarantine_differs", place, text, offset, offset)


def _rejects(book: Book, place: str, have: dict[int, Counter[str]], first_raw: int | None) -> Iterator[Finding]:
    """``first_raw``: of the first reject that is there, where older ones are gone; None: all are; -1: nothing is gone."""
    expected = {int(book.of(np.array([one.start]))[0]): one for one in book.rejected}
    for number, one in expected.items():
        gone = first_raw is None or one.start <= first_raw
        found = have.get(number, Counter())
        if gone or found == one.reasons or (one.offset >= book.must and not found):
            continue
        text = f"{_raw(one.start, one.end)}: the ledger counted {_listed(one.reasons)}, here are {_listed(found)}"
        yield Finding("quarantine_differs", place, text)
    for number in have.keys() - expected.keys():
        entry = book.entries[number]
        text = f"{_raw(entry['start'], entry['end'])}: the ledger counted none, here are {_listed(have[number])}"
        yield Finding("quarantine_differs", place, text)


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none"


def _raw(start: int, end: int) -> str:
    return f"raw {start}..{end}"

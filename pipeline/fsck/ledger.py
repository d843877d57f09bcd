"""The ledger's side: what the processor says it wrote, transaction by transaction, against what is in the clean topic. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors import avro
from pipeline.fsck.findings import Finding

Entry = dict[str, Any]


@dataclass
class Balance:
    """Runs along the clean events of one partition in order of offsets.

    ``entries``: (offset, LedgerRecord) in order. An entry at ``must`` or beyond may be of a transaction that is newer than the
    events that are fed.
    """

    place: str
    entries: Iterator[tuple[int, Entry]]
    must: int
    records: int = 0
    lost: int = 0
    """Raw records that Kafka deleted before they were processed, as the ledger counts them."""

    def __post_init__(self) -> None:
        self.findings: list[Finding] = []
        self._current: tuple[int, Entry] | None = None
        self._have, self._sum, self._extra = 0, 0, 0
        self._raw_ends: dict[tuple[str, int], int] = {}
        self._off = False

    def feed(self, digests: npt.NDArray[np.uint64]) -> None:
        """The digests (of the bodies in the topic) of the next clean events."""
        at = 0
        while at < len(digests) and not self._off:
            current = self._entry()
            if current is None:
                self._extra += len(digests) - at
                break
            taken = digests[at : at + int(current[1]["clean"]) - self._have]
            self._have, self._sum = self._have + len(taken), (self._sum + avro.checksum(taken)) % 2**64
            at += len(taken)
            self._close(current[1])

    def end(self, whole: bool) -> None:
        """No more events; ``whole``: they were all that the topic held."""
        if self._extra:
            self._differs(f"{self._extra} clean events at the end are in no ledger record")
        if self._have and whole:
            self._differs(f"it ends {self._missing()} events short of {self._raw()}")
        while whole and not self._off and (current := self._entry()) is not None and current[0] < self.must:
            if not self._have:
                self._differs(f"the clean events of {self._raw()} are not in the topic")
            self._current = None

    def _entry(self) -> tuple[int, Entry] | None:
        """The entry whose events are being counted, or the next one that has any."""
        while self._current is None:
            following = next(self.entries, None)
            if following is None:
                return None
            self.records += 1
            self._check(following[1])
            if following[1]["clean"]:
                self._current, self._have, self._sum = following, 0, 0
        return self._current

    def _check(self, entry: Entry) -> None:
        raw = f"raw {entry['raw_topic']}[{entry['raw_partition']}] {entry['start_offset']}..{entry['end_offset']}"
        counted = entry["clean"] + entry["quarantined"] + entry["duplicates"]
        if entry["read"] != counted:
            text = f"{raw}: read {entry['read']}, but clean + quarantined + duplicates is {counted}"
            self.findings.append(Finding("ledger_equation", self.place, text))
        if entry["quarantined"] != sum(reason["count"] for reason in entry["reasons"]):
            self.findings.append(Finding("ledger_equation", self.place, f"{raw}: quarantined is not the sum of its reasons"))
        source = (entry["raw_topic"], entry["raw_partition"])
        before, lost = self._raw_ends.get(source), entry.get("lost", 0)
        if before is not None and entry["start_offset"] != before + lost:
            text = f"{raw}: the record before it ended at {before}, and {lost} are counted as lost in between"
            self.findings.append(Finding("ledger_equation", self.place, text))
        self.lost += lost
        self._raw_ends[source] = entry["end_offset"]

    def _close(self, entry: Entry) -> None:
        if self._have < entry["clean"]:
            return
        if self._sum != entry["checksum"] % 2**64:
            self._differs(f"the clean events of {self._raw()} have another checksum")
        self._current, self._have = None, 0

    def _missing(self) -> int:
        return int(self._current[1]["clean"]) - self._have if self._current else 0

    def _raw(self) -> str:
        entry = self._current[1] if self._current else {}
        return (
            f"raw {entry.get('raw_topic')}[{entry.get('raw_partition')}] {entry.get('start_offset')}..{entry.get('end_offset')}"
        )

    def _differs(self, text: str) -> None:
        """One finding is enough: behind the first difference all else is shifted."""
        self._off = True
        self.findings.append(Finding("ledger_differs", self.place, text))

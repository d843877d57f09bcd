"""The ledger: one record a transaction says what became of a range of raw records. Deduplication's memory is read from it."""

from __future__ import annotations

import datetime as dt
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.avro import RecordCodec, checksum
from connectors.kafka_lanes import RefusedToStart
from connectors.kafka_read import PartitionReader
from pipeline.batch import Reject
from pipeline.dedupe import HOUR_US, STEP_US, State, Verdict
from pipeline.prints import Mask, Prints, identities, stored_sequences

SNAPSHOT_EVERY = 500
SNAPSHOT_BYTES = 1_000_000
_BACK = 3 * SNAPSHOT_EVERY  # offsets: each record has its transaction's marker behind it
_SLACK_MS = 3_600_000
_FOR_EVER_US = 2**62
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
Record = dict[str, Any]


def record(
    topic: str,
    partition: int,
    *,
    start: int,
    end: int,
    read: int,
    seen: Prints,
    verdict: Verdict,
    rejects: Sequence[Reject],
    quarantined: Sequence[Record] = (),
    digests: npt.NDArray[np.uint64],
    resolved: Sequence[int],
    max_timestamp: int,
    versions: tuple[str, str],
) -> Record:
    """The LedgerRecord of one range. ``seen``: the prints that ``verdict`` judged; ``quarantined``: the sequence intervals of
    rejects. Times µs since 1970 (UTC).
    """
    stored = seen if verdict.kept.all() else seen.take(verdict.kept)
    reasons = Counter(reject.reason for reject in rejects)
    return {
        "raw_topic": topic,
        "raw_partition": partition,
        "start_offset": start,
        "end_offset": end,
        "read": read,
        "clean": len(stored),
        "quarantined": len(rejects),
        "duplicates": read - len(stored) - len(rejects),
        "conflicts": int(verdict.conflicts.sum()),
        "lost": 0,
        "checksum": int(np.uint64(checksum(digests)).astype(np.int64)),
        "reasons": [{"reason": reason, "count": count} for reason, count in sorted(reasons.items())],
        "sequences": stored_sequences(stored),
        "identities": identities(stored),
        "resolved": list(resolved),
        "max_timestamp": max_timestamp,
        "snapshot": None,
        "resolved_before": [],
        "rules_revision": versions[0],
        "version": versions[1],
        "quarantined_sequences": list(quarantined),
        "duplicate_sequences": _marked(seen, ~verdict.kept),
        "conflict_sequences": _marked(seen, verdict.conflicts),
    }


def _marked(seen: Prints, rows: Mask) -> list[Record]:
    return stored_sequences(seen.take(rows)) if rows.any() else []


def with_snapshot(entry: Record, state: State) -> Record:
    """The record with everything that was stored up to it, itself included; unchanged where that would not fit."""
    everything = State(state.window_hours)
    everything.restart_from({**entry, "snapshot": [*state.snapshot(), *entry["sequences"]], "resolved_before": []})
    snapshot = everything.snapshot()
    resolved = sorted({*state.resolved, *entry["resolved"]})
    size = sum(len(i["tenant_id"]) + len(i["producer_id"]) + 24 for i in snapshot) + 8 * len(resolved)
    if size > SNAPSHOT_BYTES:
        return entry
    return {**entry, "snapshot": snapshot, "resolved_before": resolved}


def decoded(codec: RecordCodec, value: bytes) -> Record:
    """A LedgerRecord from its bytes, ``max_timestamp`` in µs since 1970. Raises DecodeError."""
    found = codec.decode(value)
    found["max_timestamp"] = (found["max_timestamp"] - _EPOCH) // dt.timedelta(microseconds=1)
    return found


def replayed(entries: Iterable[Record], window_hours: int, base: Record | None = None, most: int | None = None) -> State:
    """The state after these records in order. ``base`` has a snapshot older than the window and comes before the first."""
    state = State(window_hours, most)
    if base is not None:
        state.restart_from(base)
    for entry in entries:
        state.remember(entry)
    return state


@dataclass(frozen=True)
class Log:
    """One partition of the ledger topic. Its methods raise ReadError when Kafka does not deliver: try again."""

    reader: PartitionReader
    codec: RecordCodec
    topic: str
    partition: int

    def state(self, window_hours: int, most: int | None = None) -> State:
        """The state after the last record. Reads back to the last snapshot older than the window, or to the beginning.

        Raises RefusedToStart when records that it needs are gone.
        """
        low, end = self.reader.watermarks(self.topic, self.partition)
        last = self.last(low, end)
        if last is None:
            if low > 0:
                raise RefusedToStart(f"{self.name} was emptied: its records are the memory of deduplication. Restore the topic.")
            return State(window_hours, most)
        horizon_us = last["max_timestamp"] // STEP_US * STEP_US - window_hours * HOUR_US
        in_window = self.reader.offset_at(self.topic, self.partition, horizon_us // 1000 - _SLACK_MS)
        start, base = self._base(low, min(in_window, end), horizon_us)
        entries = self._entries(start, end)
        if base is not None:
            entries = (entry for entry in entries if entry["start_offset"] >= base["end_offset"])
        return replayed(entries, window_hours, base, most)

    def resolved(self) -> set[int]:
        """Offsets of the quarantine partition whose replay was processed."""
        low, end = self.reader.watermarks(self.topic, self.partition)
        start, base = self._base(low, end, _FOR_EVER_US)
        found = set(base["resolved_before"] if base is not None else ())
        for entry in self._entries(start, end):
            found.update(entry["resolved"])
        return found

    def last(self, low: int, end: int) -> Record | None:
        """The last record of ``low … end``; None where there is none."""
        start, step = end, 4
        while start > low:
            start, step = max(low, start - step), step * 8
            found = deque(self._entries(start, end), maxlen=1)
            if found:
                return found[0]
        return None

    def _base(self, low: int, in_window: int, horizon_us: int) -> tuple[int, Record | None]:
        """Where to read from, and the last usable snapshot. No record before ``in_window`` has a time inside the window."""
        start, step = in_window, _BACK
        while start > low:
            start, step = max(low, start - step), step * 2
            head = self._entries(start, in_window)
            usable = deque((e for e in head if e["snapshot"] is not None and e["max_timestamp"] < horizon_us), maxlen=1)
            if usable:
                return start, usable[0]
        if low > 0:
            raise RefusedToStart(
                f"{self.name} begins at {low} without a snapshot: records that deduplication needs are gone. Restore the topic."
            )
        return low, None

    def _entries(self, start: int, end: int) -> Iterator[Record]:
        for message in self.reader.read(self.topic, self.partition, start, end):
            yield decoded(self.codec, message.value or b"")

    @property
    def name(self) -> str:
        return f"{self.topic}[{self.partition}]"

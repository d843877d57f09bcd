"""A log and a store of clean events in memory: real ones, under the same contract tests as Kafka's, ClickHouse's and S3's."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from connectors import avro
from connectors.partitions import Chunk, Listener, LogGapError
from connectors.ranges import FencedError, OpenRange, Plan, Proof, Rows


@dataclass
class MemoryRange:
    """Rows of an open range."""

    held: list[Rows] = field(default_factory=list)
    full: bool = False

    def add(self, rows: Rows) -> None:
        self.held.append(rows)

    def close(self) -> None:
        self.held.clear()


class MemoryStore:
    """Keeps each event of a partition once, refuses writes of earlier owners. Safe from several threads."""

    name = "memory"
    mapper = 1

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], list[Rows]] = defaultdict(list)
        self._owner: dict[tuple[str, int], str] = {}

    def take_over(self, topic: str, topic_id: str, partition: int) -> MemoryClaim:
        """See `connectors.ranges.Store`."""
        owner = str(uuid.uuid4())
        with self._lock:
            self._owner[topic_id, partition] = owner
        return MemoryClaim(self, (topic_id, partition), owner)

    def insert(self, place: tuple[str, int], owner: str, rows: Sequence[Rows], spare: bool) -> None:
        """Add rows as ``owner``; ``spare``: leave out the positions that are there. Raises FencedError."""
        with self._lock:
            if self._owner[place] != owner:
                raise FencedError(f"another owner took over partition {place[1]} in memory")
            have = np.concatenate([r.offsets for r in self._held[place]] or [np.empty(0, np.int64)])
            for one in rows:
                self._held[place].append(_without(one, have) if spare else one)

    def positions(self, place: tuple[str, int]) -> dict[int, list[int]]:
        """Offset → digests of the rows stored at it."""
        found: dict[int, list[int]] = defaultdict(list)
        with self._lock:
            for rows in self._held[place]:
                for offset, digest in zip(rows.offsets.tolist(), rows.digests.tolist(), strict=True):
                    found[offset].append(digest)
        return dict(found)

    def events(self, topic_id: str, partition: int) -> Iterator[pa.RecordBatch]:
        """The stored columns, in the order of their insertion."""
        yield from [rows.columns for rows in self._held[topic_id, partition]]


@dataclass(frozen=True)
class MemoryClaim:
    """See `connectors.ranges.Claim`."""

    store: MemoryStore
    place: tuple[str, int]
    owner: str

    def stands_at(self) -> int | None:
        return max(self.store.positions(self.place), default=-1) + 1 or None

    def begun(self, standing: int) -> Plan | None:
        return None

    def open(self) -> MemoryRange:
        return MemoryRange()

    def write(self, plan: Plan, rows: OpenRange) -> None:
        if not isinstance(rows, MemoryRange):
            raise TypeError("write takes the range that open() gave")
        self.store.insert(self.place, self.owner, list(rows.held), plan.attempt > 1)

    def prove(self, plan: Plan) -> Proof:
        inside = {o: d for o, d in self.store.positions(self.place).items() if plan.start <= o < plan.end}
        digests = [one for found in inside.values() for one in found]
        return Proof(len(digests), len(inside), sum(digests) % (1 << 64))


def _without(rows: Rows, have: np.typing.NDArray[np.int64]) -> Rows:
    keep = np.flatnonzero(~np.isin(rows.offsets, have))
    return Rows(rows.columns.take(pa.array(keep)), rows.offsets[keep], rows.timestamps[keep], rows.digests[keep])


@dataclass
class _Partition:
    offsets: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    low: int = 0
    end: int = 0
    position: int | None = None
    paused: bool = False
    committed: tuple[int, str] | None = None


class MemoryLog:
    """One topic for one member of one group. ``append`` and ``skip`` are the producer's side."""

    def __init__(self, topic: str, partitions: int = 1, most: int = 1000) -> None:
        self.topic, self.topic_id, self._most = topic, str(uuid.uuid4()), most
        self._id_now = self.topic_id
        self._partitions = [_Partition() for _ in range(partitions)]
        self._listener: Listener | None = None
        self._told = False

    def append(self, partition: int, values: Sequence[bytes], timestamp: int = 1_790_000_000_000) -> None:
        """Add records with one timestamp (ms since 1970)."""
        one = self._partitions[partition]
        one.offsets += range(one.end, one.end + len(values))
        one.timestamps += [timestamp] * len(values)
        one.values += values
        one.end += len(values)

    def skip(self, partition: int, positions: int = 1) -> None:
        """Positions without a record: a transaction's marker, or records of one that was aborted."""
        self._partitions[partition].end += positions

    def delete_before(self, partition: int, offset: int) -> None:
        """What retention does."""
        one = self._partitions[partition]
        keep = sum(o < offset for o in one.offsets)
        one.low = offset
        one.offsets, one.timestamps, one.values = one.offsets[keep:], one.timestamps[keep:], one.values[keep:]

    def make_anew(self) -> None:
        """Another topic under the same name: what the members that are there now do not know."""
        self._id_now = str(uuid.uuid4())
        self._partitions = [_Partition() for _ in self._partitions]

    def records(self, partition: int) -> dict[int, int]:
        """Offset → digest of the record."""
        one = self._partitions[partition]
        return dict(zip(one.offsets, avro.digests([v[5:] for v in one.values]).tolist(), strict=True))

    def subscribe(self, listener: Listener) -> None:
        """The member joins; what another member had read and paused is forgotten."""
        self._listener, self._told = listener, False
        for one in self._partitions:
            one.position, one.paused = None, False

    def poll(self, timeout: float) -> list[Chunk]:
        if self._listener is not None and not self._told:
            self._told = True
            self._listener.assigned(range(len(self._partitions)))
        return [c for p, one in enumerate(self._partitions) if (c := self._next(p, one)) is not None]

    def _next(self, number: int, one: _Partition) -> Chunk | None:
        if one.position is None or one.paused:
            return None
        if not one.low <= one.position <= one.end:
            return Chunk(number, (), (), (), error=LogGapError("the log no longer holds the offset asked for"))
        first = sum(o < one.position for o in one.offsets)
        offsets = one.offsets[first : first + self._most]
        more = first + len(offsets) < len(one.offsets)
        one.position = offsets[-1] + 1 if more else one.end
        return Chunk(
            number,
            offsets,
            one.timestamps[first : first + len(offsets)],
            one.values[first : first + len(offsets)],
            None if more else one.end,
        )

    def start(self, partition: int, offset: int) -> None:
        self._partitions[partition].position, self._partitions[partition].paused = offset, False

    def pause(self, partition: int, paused: bool) -> None:
        self._partitions[partition].paused = paused

    def committed(self, partition: int) -> tuple[int, str] | None:
        return self._partitions[partition].committed

    def commit(self, partition: int, offset: int, text: str) -> None:
        self._partitions[partition].committed = (offset, text)

    def topic_id_now(self) -> str:
        return self._id_now

    def bounds(self, partition: int) -> tuple[int, int]:
        return self._partitions[partition].low, self._partitions[partition].end

    def end_seen(self, partition: int) -> int | None:
        return self._partitions[partition].end

    def trouble(self) -> str | None:
        return None

    def close(self) -> None:
        self._listener = None

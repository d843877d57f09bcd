"""A partitioned log read by one member of a group, whose commits carry a text: what the sink loop needs of Kafka, and no
more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class CommitError(Exception):
    """The commit failed or its outcome is unknown. Drop what is held and read what is committed before anything else."""


class LogError(Exception):
    """The log did not answer; wait and ask again."""


class LogGapError(Exception):
    """The log cannot give the next records: they were deleted before they were stored, or their bytes are damaged."""


@dataclass(frozen=True)
class Chunk:
    """Records of one partition in order. ``timestamps`` are ms since 1970 UTC, ``values`` framed bytes (None: a tombstone).

    ``reached`` is the position up to which the partition holds nothing further now (its end, transaction markers counted),
    else None. ``error`` is set instead of records where the partition cannot be read on.
    """

    partition: int
    offsets: Sequence[int]
    timestamps: Sequence[int]
    values: Sequence[bytes | None]
    reached: int | None = None
    error: LogGapError | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def since(self, position: int) -> Chunk:
        """Without the records below the position, should the client deliver some again."""
        return self if not self.offsets or self.offsets[0] >= position else self.split(bisect_left(self.offsets, position))[1]

    def split(self, rows: int) -> tuple[Chunk, Chunk]:
        """The first rows and the rest; ``reached`` belongs to the rest."""
        first = Chunk(self.partition, self.offsets[:rows], self.timestamps[:rows], self.values[:rows])
        rest = Chunk(self.partition, self.offsets[rows:], self.timestamps[rows:], self.values[rows:], self.reached, self.error)
        return first, rest


class Listener(Protocol):
    """Told of the member's partitions, from within `PartitionedLog.poll` and `close`."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """They are this member's now; nothing is read of them before `PartitionedLog.start`."""
        ...

    def revoked(self, partitions: Sequence[int], lost: bool) -> None:
        """They are this member's until this returns; where ``lost``, they are somebody else's already and nothing may be
        committed.
        """
        ...


class PartitionedLog(Protocol):
    """One topic as a member of a consumer group. `poll` and `commit` are called by one thread, the rest is safe from
    several.
    """

    topic: str
    topic_id: str

    def poll(self, timeout: float) -> list[Chunk]:
        """Records that arrived within ``timeout`` seconds, at most one chunk a partition; tells the listener first."""
        ...

    def start(self, partition: int, offset: int) -> None:
        """Read a partition of this member from ``offset`` on, not paused; called by the thread that polls."""
        ...

    def pause(self, partition: int, paused: bool) -> None:
        """Stop or go on reading a partition; its records in flight may still come once."""
        ...

    def committed(self, partition: int) -> tuple[int, str] | None:
        """The group's committed offset and text; None where there is none. Raises LogError."""
        ...

    def commit(self, partition: int, offset: int, text: str) -> None:
        """Commit durably, as the member that owns the partition. Raises CommitError."""
        ...

    def topic_id_now(self) -> str:
        """UUID of the topic that has the name at this moment: not ``topic_id`` where it was made anew. Raises LogError."""
        ...

    def bounds(self, partition: int) -> tuple[int, int]:
        """First offset that the log still holds, and its end. Raises LogError."""
        ...

    def end_seen(self, partition: int) -> int | None:
        """The end as known without asking anybody."""
        ...

    def trouble(self) -> str | None:
        """What is wrong with the connection, as an instruction, or None."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...

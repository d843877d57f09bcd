"""Planned ranges: what a sink and a store say to each other. A store keeps clean events by their Kafka position, each
exactly once.

A **range** is the records of one partition with ``start <= offset < end``; transactions and compaction leave gaps in it. Its
**plan** is committed to Kafka (as metadata of the committed offset ``start``) before anything is written, so that whoever
comes next, after a crash or a takeover, writes exactly the same range. Who moves the offset by hand takes the plan away with
it; a store that could be left with a half of the range keeps the plan too (``begun``).

The loop (`pipeline/sink/loop.py`) asks a store for a `Claim` of each partition it was assigned and then, range by range:
plan, ``write``, ``prove``, commit ``end``. Every answer it did not get sends it back to the plan: a new claim, ``prove``,
``write`` of what is missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import schemas

METADATA_LIMIT = 4095
SCHEMA_VERSION = len(schemas.event_fields())
"""The event schema only ever grows, so its number of columns is its version."""


class StoreError(Exception):
    """The store did not answer, or could not do it now: the outcome is unknown. Wait, then go back to the plan; never guess."""


class FencedError(StoreError):
    """Somebody else took the partition over, so nothing was written. Drop what is held; claim again only if Kafka still
    assigns it.
    """


class RejectedError(Exception):
    """The store refuses these rows and will always do so, or holds something else at their positions. Stop the partition,
    tell a person.
    """


@dataclass(frozen=True)
class Plan:
    """One planned range.

    ``topic_id`` is the topic's UUID as text (a topic made anew under the same name is another topic). ``end`` is the offset
    after the last record, ``count`` the records in it, ``checksum`` the sum modulo 2^64 of their digests
    (`connectors.avro.checksum`). ``attempt`` counts from 1 and rises with each try to write. ``schema`` and ``mapper`` are
    versions of the event schema and of the store's mapping that planned it.
    """

    topic: str
    topic_id: str
    partition: int
    start: int
    end: int
    count: int
    checksum: int
    attempt: int = 1
    schema: int = SCHEMA_VERSION
    mapper: int = 1

    def again(self) -> Plan:
        """The same range under the next attempt."""
        return replace(self, attempt=self.attempt + 1)

    def to_metadata(self) -> str:
        """Compact JSON for the offset commit, at most `METADATA_LIMIT` bytes."""
        text = json.dumps({"v": 1, **self.__dict__, "checksum": f"{self.checksum:016x}"}, separators=(",", ":"))
        if len(text.encode()) > METADATA_LIMIT:
            raise ValueError(f"the plan of {self.topic}[{self.partition}] takes {len(text)} bytes: shorten the topic's name")
        return text

    @classmethod
    def from_metadata(cls, text: str) -> Plan | None:
        """The plan in a commit's metadata; None where there is none (empty text). Raises ValueError on text that is not a
        plan.
        """
        if not text:
            return None
        try:
            fields = json.loads(text)
            if fields.pop("v") != 1:
                raise ValueError("its version is not 1")
            return cls(**{**fields, "checksum": int(fields["checksum"], 16)})
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"the commit metadata is not a plan of this version of Auditwire ({exc})") from None

    def __str__(self) -> str:
        return (
            f"{self.topic}[{self.partition}] {self.start}..{self.end} (topic id {self.topic_id}, {self.count} events, "
            f"checksum {self.checksum:016x}, attempt {self.attempt})"
        )


@dataclass(frozen=True)
class Proof:
    """What a store holds of a range: rows, distinct positions, and the sum modulo 2^64 of the rows' digests."""

    count: int
    unique: int
    checksum: int

    def equals(self, plan: Plan) -> bool:
        """Each record of the plan is there once."""
        return (self.count, self.unique, self.checksum) == (plan.count, plan.count, plan.checksum)

    def exceeds(self, plan: Plan) -> bool:
        """Rows are doubled, not of the plan, or differ from it: nothing that writing more could heal."""
        return self.count > self.unique or self.unique > plan.count or (self.unique == plan.count and not self.equals(plan))


@dataclass(frozen=True)
class Rows:
    """Events with their Kafka positions, all four of equal length, offsets rising.

    ``columns`` as `connectors.avro.event_arrow_schema`; ``timestamps`` are broker append times, ms since 1970 UTC;
    ``digests`` by `connectors.avro.digests` over the bytes in the clean topic.
    """

    columns: pa.RecordBatch
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.offsets)


class OpenRange(Protocol):
    """Where the rows of one range gather until it is written: memory, or a temporary folder. All of them lie in one month
    (UTC).
    """

    @property
    def full(self) -> bool:
        """True when the store wants the range closed now, for lack of space."""
        ...

    def add(self, rows: Rows) -> None:
        """Take rows that follow those taken before. Raises StoreError when there is no room; the range is then closed and
        re-read.
        """
        ...

    def close(self) -> None:
        """Free what it holds. Called exactly once, whatever happened."""
        ...


class Claim(Protocol):
    """The right to write one partition, good until somebody else takes the partition over. Used by one thread at a time."""

    def stands_at(self) -> int | None:
        """Highest stored offset + 1; None when the store holds nothing of this topic id and partition. Raises StoreError."""
        ...

    def begun(self, standing: int) -> Plan | None:
        """The last plan that was made where the store stood at ``standing`` (`stands_at`, or 0), if the store keeps plans itself;
        None in stores whose ranges are whole or not there at all. Raises StoreError, RejectedError.
        """
        ...

    def open(self) -> OpenRange:
        """An empty range."""
        ...

    def write(self, plan: Plan, rows: OpenRange) -> None:
        """Store the range; from the second attempt on leave out the positions that are already there.

        Returns when the store said yes (the loop proves it all the same). Raises StoreError: unknown, may or may not have
        happened, in part or later; FencedError: refused, another owner; RejectedError: these rows will never be taken.
        """
        ...

    def prove(self, plan: Plan) -> Proof:
        """Read back what the store holds at positions ``start <= offset < end``, as durable as an answer of it. Raises
        StoreError.
        """
        ...


class Store(Protocol):
    """A place that keeps each event once. Safe from several threads."""

    name: str
    mapper: int

    def take_over(self, topic: str, topic_id: str, partition: int) -> Claim:
        """Claim a partition. When it returns, nothing an earlier owner started can add rows any more. Raises StoreError.

        A store whose writes are idempotent by themselves (create-only objects named by the range) has nothing to fence out.
        """
        ...

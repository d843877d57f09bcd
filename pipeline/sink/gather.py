"""The range that is being gathered: how much goes in, when it is closed, and the plan it becomes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from connectors import avro
from connectors.partitions import Chunk
from pipeline.sink.latency import Ages
from pipeline.sink.plan import OpenRange, Plan, Rows


@dataclass(frozen=True)
class Limits:
    """A range is closed at so many events, bytes of Avro, or seconds after its first record, and always at a change of
    month.
    """

    events: int
    bytes: int
    seconds: float


class Gathering:
    """Rows of one range in the making. ``start`` is its first position, ``end`` the position read up to, gaps included."""

    def __init__(self, rows: OpenRange, start: int, limits: Limits) -> None:
        self.rows, self.start, self.end, self._limits = rows, start, start, limits
        self.count, self.checksum, self.bytes = 0, 0, 0
        self.since: float | None = None
        self.ages = Ages()
        self._month: np.datetime64 | None = None
        self._cut = False

    def room(self, chunk: Chunk) -> int:
        """How many records from the chunk's beginning may still go in; fewer than all of them closes the range."""
        if not len(chunk):
            return 0
        sizes = np.cumsum([len(v) if v else 0 for v in chunk.values])
        months = _months(chunk.timestamps)
        month = months[0] if self._month is None else self._month
        by_month = int(np.argmax(months != month)) if (months != month).any() else len(chunk)
        by_bytes = int(np.searchsorted(sizes, self._limits.bytes - self.bytes, side="right"))
        rows = min(self._limits.events - self.count, by_month, max(by_bytes, 0 if self.count else 1), len(chunk))
        self._cut = rows < len(chunk)
        return rows

    def add(self, rows: Rows, size: int, now: float, wall: float) -> None:
        """Take decoded rows, ``size`` bytes as they were in Kafka; ``now`` is monotonic, ``wall`` Unix time."""
        self.rows.add(rows)
        self.ages.add(rows.columns, wall)
        self.since = now if self.since is None else self.since
        self._month = _months(rows.timestamps[:1])[0] if self._month is None else self._month
        self.count += len(rows)
        self.bytes += size
        self.checksum = (self.checksum + avro.checksum(rows.digests)) % (1 << 64)
        self.end = int(rows.offsets[-1]) + 1

    def pass_to(self, position: int) -> None:
        """There is nothing between here and the position."""
        self.end = max(self.end, position)

    def due(self, now: float) -> bool:
        """The range has records and is to be closed now."""
        if not self.count or self.since is None:
            return False
        grown = self.count >= self._limits.events or self.bytes >= self._limits.bytes
        return grown or self._cut or self.rows.full or now - self.since >= self._limits.seconds

    def plan(self, topic: str, topic_id: str, partition: int, mapper: int) -> Plan:
        """The closed range's plan, first attempt."""
        return Plan(topic, topic_id, partition, self.start, self.end, self.count, self.checksum, mapper=mapper)

    def matches(self, plan: Plan) -> bool:
        """Read again, the log gave the very records that were planned."""
        return (self.count, self.checksum) == (plan.count, plan.checksum)


def _months(timestamps: object) -> npt.NDArray[np.datetime64]:
    return np.asarray(timestamps, np.int64).astype("datetime64[ms]").astype("datetime64[M]")

"""Events that are missing in ClickHouse, from the archive: looks what is there, inserts what is not, reads it back.

Nothing is deleted and nothing that is there is written again, so it can be ended anywhere and run again. Only positions below
what the ClickHouse sink has committed are written: the sink never goes back there, so both may run at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from connectors import avro
from connectors.archive_reader import ArchivedPartition, Range
from connectors.archive_restore import DamagedError, FetchedRange, manifest_of
from connectors.clickhouse.store import ClickHouseClaim, ClickHouseStore, Memory
from connectors.deletions import kept
from connectors.ranges import FencedError, Plan, Rows, StoreError
from pipeline.rebuild.task import RebuildError, Task

if TYPE_CHECKING:
    from pipeline.rebuild.command import Servers

Mask = npt.NDArray[np.bool_]
ATTEMPTS, LONGEST_WAIT = 8, 10.0


def rebuild(servers: Servers, store: ClickHouseStore, partitions: list[int], task: Task) -> bool:
    """True when everything that the archive has there is stored now. Raises RebuildError, StoreError, S3Error and the like."""
    whole = True
    for partition in partitions:
        whole &= Filler(servers, store, partition, task).fill()
    return whole


@dataclass
class Filler:
    """Fills one partition."""

    servers: Servers
    store: ClickHouseStore
    partition: int
    task: Task

    def __post_init__(self) -> None:
        self.place = f"{self.servers.topic}[{self.partition}]"
        self.inserted = self.there = 0
        where = (self.servers.topic, self.servers.topic_id, self.partition)
        self._archived = ArchivedPartition(self.servers.bucket, self.servers.folder, *where)

    def fill(self) -> bool:
        """See `rebuild`."""
        since = self.task.since
        ranges = self._archived.ranges(0)
        self._beside = self.servers.runs("clickhouse-sink")
        end = self._end(ranges[-1].end if ranges else 0)
        if end <= since:
            self.task.tell(f"{self.place}: nothing to rebuild below {end}")
            return True
        self._claim = self._take_over()
        whole = True
        for one in [r for r in ranges if r.end > since and r.start < end]:
            whole &= self._range(one, max(since, one.start), min(end, one.end))
            self.task.tell(f"{self.place} {min(end, one.end)} of {end}: {self.inserted} inserted, {self.there} there already")
        return whole

    def _end(self, archived: int) -> int:
        """The position to stop before. Raises RebuildError where the sink may write at any position."""
        committed = self.servers.committed("clickhouse-sink", [self.partition])[self.partition]
        if committed is None and self._beside:
            raise RebuildError(
                f"{self.place}: the ClickHouse sink runs and has committed nothing, so it may be writing what is to be rebuilt: "
                "stop it (`auditwired clickhouse-sink`), rebuild, start it again"
            )
        if committed is not None and archived < committed:
            self.task.tell(
                f"{self.place}: the archive ends at {archived}, the ClickHouse sink has committed {committed}: what is missing "
                "in between is not made again now, and fsck at the end names it. Let the archive sink run until it has "
                f"committed {committed}, then run this again"
            )
        return min(x for x in (archived, committed, self.task.until) if x is not None)

    def _take_over(self) -> ClickHouseClaim:
        return self.store.take_over_for_rebuild(self.servers.topic_id, self.partition, self._beside)

    def _range(self, one: Range, start: int, end: int) -> bool:
        try:
            found = kept(manifest_of(self.servers.bucket, one), self.servers.deleted)
            if (start, end) == (one.start, one.end) and self._proved(found.count, found.checksum, start, end):
                self.there += found.count
                return True
            with FetchedRange(self.servers.bucket, self.servers.folder, found) as fetched:
                for first, behind, rows in fetched.windows(start, end, self.task.step):
                    if len(rows):
                        self._window(first, behind, rows)
        except DamagedError as exc:
            self.task.tell(f"{self.place} {start}..{end}: NOT REBUILT: {exc}; docs/rebuild.md says how to go on")
            return False
        return True

    def _proved(self, count: int, checksum: int, start: int, end: int) -> bool:
        plan = self._plan(start, end, count, checksum)
        return self.store.safety.read_back and self._claim.prove(plan).equals(plan)

    def _plan(self, start: int, end: int, count: int, checksum: int, attempt: int = 1) -> Plan:
        return Plan(self.servers.topic, self.servers.topic_id, self.partition, start, end, count, checksum, attempt)

    def _window(self, first: int, end: int, rows: Rows) -> None:
        """Look, insert what is missing, look again; whatever goes unanswered begins anew with a new claim."""
        wrote = np.zeros(len(rows), np.bool_)
        wait = 0.2
        for attempt in range(1, ATTEMPTS + 1):
            try:
                missing = self._missing(first, end, rows, wrote)
                if not missing.any():
                    break
                wrote |= missing
                plan = self._plan(first, end, len(rows), avro.checksum(rows.digests), attempt + 1)
                self._claim.write(plan, Memory([rows]))
                if not self.store.safety.read_back:
                    break
            except FencedError as exc:
                raise RebuildError(
                    f"{self.place}: the ClickHouse sink was started, or another rebuild: run this again, it goes on where it was"
                ) from exc
            except StoreError as exc:
                if attempt == ATTEMPTS:
                    raise
                self.task.tell(f"{self.place}: again in {wait:.1f} s: {exc}")
                time.sleep(wait)
                wait = min(LONGEST_WAIT, 2 * wait)
                self._claim = self._take_over()
        else:
            raise RebuildError(f"{self.place} {first}..{end}: ClickHouse says yes to inserts and does not have the rows")
        self.inserted += int(wrote.sum())
        self.there += len(rows) - int(wrote.sum())
        self.task.points("window")

    def _missing(self, first: int, end: int, rows: Rows, wrote: Mask) -> Mask:
        """Which events are not stored. Raises RebuildError where one that was written here is stored twice or altered."""
        if not self.store.safety.read_back:
            return np.ones(len(rows), np.bool_)
        offsets, digests = self._claim.held(first, end)
        mine = rows.offsets[wrote]
        again = np.isin(offsets, mine)
        if len(offsets[again]) != len(np.unique(offsets[again])) or not np.isin(digests[again], rows.digests[wrote]).all():
            raise RebuildError(f"{self.place} {first}..{end}: rows written here are stored twice or altered: `auditwired fsck`")
        return ~np.isin(rows.offsets, offsets)

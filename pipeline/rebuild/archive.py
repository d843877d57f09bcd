"""Ranges and objects that are missing in the archive, made again from the clean topic or, below its beginning, from ClickHouse.

The same names and the same events as the archive sink would have written; create-only, so nothing that is there is overwritten.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from connectors import positions
from connectors.archive import Archive
from connectors.archive_reader import ArchivedPartition, Range, odd_versions
from connectors.archive_restore import check, manifest_of
from connectors.clickhouse.store import WHERE_RANGE, events_only, read_events
from connectors.deletions import kept, unit_of
from connectors.kafka_read import PartitionReader
from connectors.manifest import Manifest, Part, place_of, stem_of
from connectors.partitions import Chunk
from connectors.ranges import Plan, RejectedError, Rows
from connectors.registry import SchemaRegistry
from connectors.spill import SpilledRange, SpillFolder
from pipeline.rebuild.accounted import Accounts
from pipeline.rebuild.task import RebuildError, Task
from pipeline.sink.decode import Decoder

if TYPE_CHECKING:
    from pipeline.rebuild.command import Servers

MOST_BYTES = 512 << 20
MOST_EVENTS = 2_000_000
CHUNK = 5_000


@dataclass(frozen=True)
class Lost:
    """A stretch to make again. ``manifest``: the range's, where only objects of it are gone."""

    start: int
    end: int
    manifest: Manifest | None = None
    plans: tuple[Plan, ...] = ()
    """What was begun in the stretch: objects of it may be there."""


def rebuild(servers: Servers, partition: int, since: int, until: int, task: Task) -> bool:
    """True when every event at ``since <= offset < until`` is archived. Raises RebuildError, RejectedError, S3Error …"""
    with ExitStack() as stack:
        made = Maker(servers, partition, task, stack)
        made.refuse_hidden(since, until)
        found = made.lost(since, until)
        if not found:
            task.tell(f"{made.place}: nothing of {since}..{until} is missing in the archive")
        for one in found:
            made.make(one)
    return True


class Maker:
    """Makes what one partition has lost."""

    def __init__(self, servers: Servers, partition: int, task: Task, stack: ExitStack) -> None:
        self._servers, self._partition, self._step, self._tell = servers, partition, task.step, task.tell
        self._accounted = task.accounted
        self.place = f"{servers.topic}[{partition}]"
        self._where = (servers.topic, servers.topic_id, partition)
        self._reader = stack.enter_context(PartitionReader(servers.cluster, f"{servers.namespace}-operator"))
        registry = stack.enter_context(closing(SchemaRegistry(servers.values.schema_registry_url)))
        self._decoder = Decoder(registry)
        spill = stack.enter_context(SpillFolder(servers.folder / "spill", 8 * MOST_BYTES))
        self._expected: dict[str, Part] = {}
        self._claim = Archive(servers.bucket, spill, points=task.points, expect=self._same_bytes).take_over(*self._where)

    def lost(self, since: int, until: int) -> list[Lost]:
        """What is missing there, in order. Raises RebuildError beyond what the archive sink has committed."""
        committed = self._servers.committed("archive-sink", [self._partition])[self._partition]
        if committed is None or until > committed:
            raise RebuildError(
                f"{self.place}: the archive sink has committed {committed}, and writes what is behind it itself: "
                f"--until at most {committed or 0}"
            )
        archived = ArchivedPartition(self._servers.bucket, self._servers.folder, *self._where)
        ranges = archived.ranges(0)
        if archived.complaints:
            raise RebuildError(f"{archived.complaints[0].key}: {archived.complaints[0].text}: run `auditwired fsck` first")
        ends = [0, *(r.end for r in ranges)]
        gaps = [Lost(a, b) for a, b in zip(ends, [*(r.start for r in ranges), committed], strict=True) if a < b]
        asked = [r for r in ranges if r.end > since and r.start < until]
        damaged = [Lost(r.start, r.end, found) for r in asked if (found := self._damaged(r)) is not None]
        gone = [self._with_plans(gap) for gap in gaps if gap.end > since and gap.start < until]
        return sorted([*gone, *damaged], key=lambda one: one.start)

    def _with_plans(self, gap: Lost) -> Lost:
        plans = tuple(plan for plan in self._claim.plans(gap.start, gap.end) if plan.start < gap.end)
        for plan in plans:
            if plan.end > gap.end:
                raise RebuildError(
                    f"{self.place}: the archive sink has begun {plan} and writes that itself: start it, or give the plan up by "
                    f"committing {plan.end} for its group"
                )
        return replace(gap, plans=plans)

    def _damaged(self, one: Range) -> Manifest | None:
        """Its manifest, where an object of it is gone."""
        found = manifest_of(self._servers.bucket, one)
        wanted = kept(found, self._servers.deleted).parts
        missing = [part for part in wanted if self._servers.bucket.head(part.key) is None]
        if not missing:
            return None
        if any(unit_of(part.key) in self._servers.begun for part in missing):
            raise self._unfinished(one.start, one.end)
        if wanted != found.parts:
            raise self._deleted(one.start, one.end)
        return found

    def _deleted(self, start: int, end: int) -> RebuildError:
        return RebuildError(
            f"{self.place} {start}..{end}: events of it were deleted with a certificate, so the range cannot be made again as it "
            "was: nothing was written; see docs/retention.md"
        )

    def _unfinished(self, start: int, end: int) -> RebuildError:
        return RebuildError(
            f"{self.place} {start}..{end}: events of it are being deleted, and that is not finished: nothing was written; "
            "`auditwired retention run` finishes it"
        )

    def refuse_hidden(self, since: int, until: int) -> None:
        """Raises RebuildError where something is only hidden by a delete marker: what is behind it is the original."""
        for complaint in odd_versions(self._servers.bucket):
            if complaint.kind != "hidden_object" or not self._touches(complaint.key, since, until):
                continue
            if self._servers.bucket.head(complaint.key) is None:
                raise RebuildError(
                    f"{self._servers.bucket.name}/{complaint.key} is not lost, only hidden by a delete marker: remove that, "
                    "nothing needs to be made again (docs/runbooks/lost-archive-range.md)"
                )

    def _touches(self, key: str, since: int, until: int) -> bool:
        named = place_of(key)
        if named is None or (named.stem, named.partition) != (stem_of(*self._where[:2]), self._partition):
            return False
        return named.end > since and named.start < until

    def make(self, one: Lost) -> None:
        """The objects and the manifest of a lost stretch. Raises RejectedError where other events are there than archived, and
        RebuildError where ClickHouse has others than the ledger counted.
        """
        low, _ = self._reader.watermarks(self._servers.topic, self._partition)
        source = "the clean topic" if low <= one.start else "ClickHouse"
        if low > one.start and one.manifest is None and self._accounted:
            Accounts(self._servers, self._reader, self._partition).refuse_other(one.start, one.end)
        rows = self._checked(one, self._of_topic(one) if low <= one.start else self._of_clickhouse(one))
        standing = one.start if one.manifest is None else one.end
        if one.manifest is not None:
            self._expected = {part.key: part for part in one.manifest.parts if self._servers.bucket.head(part.key) is None}
        pieces = self._pieces(one, rows)
        count = 0
        for plan, spilled in pieces:
            self._claim.follow(standing)
            try:
                self._write(one.manifest, plan, spilled, source)
            finally:
                spilled.close()
            count, standing = count + plan.count, plan.end
            self._tell(f"{self.place} {plan.start}..{plan.end}: {plan.count} events archived again from {source}")
        self._expected = {}
        if not count:
            self._tell(f"{self.place} {one.start}..{one.end}: no events are there in {source}")

    def _write(self, manifest: Manifest | None, plan: Plan, spilled: SpilledRange, source: str) -> None:
        if manifest is not None:
            if (spilled.count, spilled.checksum) != (manifest.count, manifest.checksum):
                raise RejectedError(
                    f"{self.place} {plan.start}..{plan.end}: {source} has {spilled.count} events with checksum "
                    f"{spilled.checksum:016x}, the manifest says {manifest.count} with {manifest.checksum:016x}: nothing was "
                    "written; run `auditwired fsck`"
                )
            plan = Plan(
                *self._where,
                plan.start,
                plan.end,
                manifest.count,
                manifest.checksum,
                schema=manifest.schema,
                mapper=manifest.mapper,
            )
        self._claim.write(plan, spilled)
        if not self._claim.prove(plan).equals(plan):
            raise RejectedError(f"{plan}: written, and the archive does not show it: run `auditwired fsck`")

    def _same_bytes(self, part: Part) -> None:
        known = self._expected.get(part.key)
        if known is not None and (known.size, known.sha256) != (part.size, part.sha256):
            raise RejectedError(
                f"{self._servers.bucket.name}/{part.key}: made again it has the same events and other bytes than its manifest "
                "says, as another version of the Parquet library writes them: nothing was written; use the release that wrote it"
            )

    def _pieces(self, one: Lost, rows: Iterator[Rows]) -> Iterator[tuple[Plan, SpilledRange]]:
        """Ranges as the sink would cut them: at a change of month, at a size, and where a plan begins or ends. The last ends
        where the stretch does.
        """
        borders = sorted({offset for plan in one.plans for offset in (plan.start, plan.end)} | {one.end})
        begun = {(plan.start, plan.end): plan for plan in one.plans}
        start, spilled, month, last = one.start, self._claim.open(), None, one.start
        for piece in itertools.chain.from_iterable(_pieces_of(held, borders) for held in rows):
            this, first = _month(piece), int(piece.offsets[0])
            passed = [border for border in borders if last <= border <= first and border > start]
            crowded = month != this or spilled.size > MOST_BYTES or spilled.count > MOST_EVENTS
            whole = one.manifest is None and not any(a <= start < b for a, b in begun)
            if spilled.count and (passed or (crowded and whole)):
                end = passed[0] if passed else last
                yield self._plan(start, end, spilled, begun), spilled
                start, spilled = end, self._claim.open()
            start = max([start, *passed])
            spilled.add(piece)
            month, last = this, int(piece.offsets[-1]) + 1
        if spilled.count:
            end = min(border for border in borders if border >= last)
            yield self._plan(start, end, spilled, begun), spilled
        else:
            spilled.close()

    def _plan(self, start: int, end: int, spilled: SpilledRange, begun: Mapping[tuple[int, int], Plan]) -> Plan:
        """Of what was begun there if these are its events, so that its objects are found; else a new one."""
        made = Plan(*self._where, start, end, spilled.count, spilled.checksum)
        known = begun.get((start, end), made)
        return known if (known.count, known.checksum) == (made.count, made.checksum) else made

    def _checked(self, one: Lost, rows: Iterator[Rows]) -> Iterator[Rows]:
        for held in rows:
            if positions.gone(held.columns, held.timestamps, self._servers.deleted).any():
                raise self._deleted(one.start, one.end)
            if one.manifest is None and positions.gone(held.columns, held.timestamps, self._servers.begun).any():
                raise self._unfinished(one.start, one.end)
            yield held

    def _of_topic(self, one: Lost) -> Iterator[Rows]:
        records = self._reader.read(self._servers.topic, self._partition, one.start, one.end)
        while chunk := list(itertools.islice(records, CHUNK)):
            offsets, times = [record.offset for record in chunk], [record.timestamp for record in chunk]
            yield self._decoder.rows(Chunk(self._partition, offsets, times, [record.value for record in chunk]))

    def _of_clickhouse(self, one: Lost) -> Iterator[Rows]:
        for begin in range(one.start, one.end, self._step):
            place: dict[str, str | int] = {"topic_id": self._servers.topic_id, "partition": self._partition}
            bounds = {**place, "start": begin, "end": min(begin + self._step, one.end)}
            for batch in read_events(self._servers.client, self._servers.namespace, WHERE_RANGE, bounds):
                if batch.num_rows:
                    yield _checked(batch)


def _checked(batch: pa.RecordBatch) -> Rows:
    offsets, digests = (np.asarray(batch.column(name)) for name in ("kafka_offset", "event_digest"))
    rows = Rows(events_only(batch), offsets, np.asarray(batch.column("kafka_timestamp").cast(pa.int64())), digests)
    if (offsets[1:] == offsets[:-1]).any():
        raise RejectedError(
            f"ClickHouse has offset {offsets[1:][offsets[1:] == offsets[:-1]][0]} twice: run `auditwired fsck` first"
        )
    check(rows)
    return rows


def _pieces_of(rows: Rows, borders: Sequence[int]) -> Iterator[Rows]:
    """Cut at changes of month and at offsets."""
    months = rows.timestamps.astype("datetime64[ms]").astype("datetime64[M]")
    cuts = {*(np.flatnonzero(months[1:] != months[:-1]) + 1).tolist(), *np.searchsorted(rows.offsets, borders).tolist()}
    for start, end in itertools.pairwise(sorted(cuts | {0, len(rows)})):
        columns = rows.columns.slice(start, end - start)
        yield Rows(columns, rows.offsets[start:end], rows.timestamps[start:end], rows.digests[start:end])


def _month(rows: Rows) -> np.datetime64:
    found: np.datetime64 = rows.timestamps[:1].astype("datetime64[ms]").astype("datetime64[M]")[0]
    return found

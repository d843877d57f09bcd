"""The archive as a store of planned ranges: one create-only Parquet object per range and retention class, closed by a manifest.

A plan is put there before the first object, under a name that only one plan can take. Without it, a range that a crash cut short
is known to Kafka only: who moves the group's offset by hand would make the next range end elsewhere, beside objects of the first.

Every writer of a range writes the same objects under the same names, so a second one (after a crash, or a process that was
frozen and wakes up) finds them taken, compares, and agrees or raises the alarm. That is the fence: nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from connectors import manifest, parquet, positions, s3
from connectors.manifest import Manifest, Part
from connectors.positions import Positions
from connectors.ranges import FencedError, OpenRange, Plan, Proof, RejectedError, StoreError
from connectors.spill import ClassRows, SpilledRange, SpillFolder


class Written(NamedTuple):
    """An object of a finished range; ``adopted``: it was there already."""

    part: Part
    adopted: bool


class Archive:
    """The store. ``on_object`` hears of each object that is in place (for metrics); ``points`` is called with the name of a step
    about to happen (fault tests); ``expect`` may raise RejectedError for an object before it is written. ``plans=False``
    keeps none in the bucket: for negative tests only.
    """

    name = "archive"
    mapper = 1

    def __init__(
        self,
        bucket: s3.Bucket,
        spill: SpillFolder,
        on_object: Callable[[Written], None] = lambda _: None,
        points: Callable[[str], None] = lambda _: None,
        expect: Callable[[Part], None] = lambda _: None,
        *,
        plans: bool = True,
    ) -> None:
        self.bucket, self.spill, self.on_object, self.points, self.expect = bucket, spill, on_object, points, expect
        self.plans = plans
        self.encoding = threading.Lock()  # one row group in memory at a time, however many partitions close at once

    def take_over(self, topic: str, topic_id: str, partition: int) -> ArchiveClaim:
        """Claim a partition. There is nothing to fence out: see the module's text."""
        return ArchiveClaim(self, topic, topic_id, partition)


class ArchiveClaim:
    """One partition of the archive."""

    def __init__(self, archive: Archive, topic: str, topic_id: str, partition: int) -> None:
        self._archive, self._bucket = archive, archive.bucket
        self._where = (topic, topic_id, partition)
        self._standing: int | None = None
        self._begun: list[Plan] = []

    def stands_at(self) -> int | None:
        """End of the last range that is archived in full; None where there is none of this topic id and partition."""
        with _store_errors():
            ends = [manifest.range_of(key)[1] for key in self._manifest_keys(0)]
        return ends[-1] if ends else None

    def begun(self, standing: int) -> Plan | None:
        """See `connectors.ranges.Claim.begun`; the plan may be written in full by now."""
        self.follow(standing)
        return self._begun[-1] if self._begun else None

    def follow(self, standing: int) -> None:
        """The next `write` is of a range that begins at ``standing`` or behind; its plan comes behind those that are there."""
        self._standing, self._begun = standing, self.plans(standing, standing + 1) if self._archive.plans else []

    def plans(self, since: int, until: int) -> list[Plan]:
        """Plans that were made where the archive stood at ``since <= offset < until``. Raises StoreError, RejectedError."""
        folder = manifest.plan_folder(*self._where)
        with _store_errors():
            keys = self._bucket.keys(folder, after=f"{folder}{since:020d}")
            return [self._plan(key) for key in itertools.takewhile(lambda key: manifest.standing_of(key) < until, keys)]

    def open(self) -> SpilledRange:
        return self._archive.spill.open(self._where[2])

    def write(self, plan: Plan, rows: OpenRange) -> None:
        """Put what is missing of the range: its plan, its objects, its manifest. See `connectors.ranges.Claim.write`."""
        spilled = cast(SpilledRange, rows)
        spilled.seal()
        if (spilled.count, spilled.checksum) != (plan.count, plan.checksum):
            raise RejectedError(
                f"{plan}: the topic now gives {spilled.count} events with checksum {spilled.checksum:016x}."
                " Were records deleted, or is it another cluster? Nothing was written; see docs/archive.md"
            )
        with _store_errors(), _disk_errors(spilled.temporary()):
            self._begin(replace(plan, attempt=1), spilled.temporary())
            parts = []
            for name in sorted(spilled.classes):
                self._archive.points("before_object")
                parts.append(self._put(plan, spilled, name))
            self._archive.points("before_manifest")
            self._close(Manifest.of(plan, tuple(parts)), spilled.temporary())
        self._standing, self._begun = max(self._standing or 0, plan.end), []

    def prove(self, plan: Plan) -> Proof:
        """Read manifest, and size and metadata of every object it lists, from the store.

        Raises RejectedError where other ranges overlap this one, or an object is not what its manifest says.
        """
        with _store_errors():
            for key in self._manifest_keys(plan.start):
                start, end = manifest.range_of(key)
                if start >= plan.end:
                    break
                if (start, end) != (plan.start, plan.end):
                    raise RejectedError(
                        f"{plan}: the archive holds the range {start}..{end}, which overlaps it. Were the offsets of the group"
                        f" reset? Set them to where the archive stands ({self.stands_at()}); see docs/archive.md"
                    )
                parts = [p for p in self._manifest(key).parts if self._confirmed(plan, p)]
                count = sum(p.count for p in parts)
                return Proof(count, count, sum(p.checksum for p in parts) % 2**64)
        return Proof(0, 0, 0)

    def _manifest_keys(self, beyond: int) -> Iterator[str]:
        return self._bucket.keys(manifest.folder(*self._where), after=manifest.after(*self._where, beyond))

    def _begin(self, plan: Plan, path: Path) -> None:
        """Put the plan, unless it is there, or of a range that the archive is past. One that was given up keeps its name."""
        if self._standing is None:
            self.follow(self.stands_at() or 0)
        standing = self._standing or 0
        if not self._archive.plans or plan.end <= standing or plan in self._begun:
            return
        key = manifest.plan_key(*self._where, standing, len(self._begun))
        path.write_text(plan.to_metadata())
        try:
            self._bucket.put(key, path, {})
        except s3.Exists:
            if (theirs := self._plan(key)) != plan:
                raise FencedError(f"{self._bucket.name}/{key}: {theirs} was begun there, not {plan}") from None
        finally:
            path.unlink(missing_ok=True)
        self._begun.append(plan)

    def _plan(self, key: str) -> Plan:
        try:
            found = Plan.from_metadata(self._bucket.read(key).decode())
        except ValueError as exc:
            raise self._no_plan(key, str(exc)) from None
        if found is None or (found.topic, found.topic_id, found.partition) != self._where:
            raise self._no_plan(key, "it is of another partition, or empty")
        return found

    def _no_plan(self, key: str, why: str) -> RejectedError:
        return RejectedError(
            f"{self._bucket.name}/{key}: {why}. Only the archive sink may write there: its first version is the right one; see"
            " docs/archive.md"
        )

    def _manifest(self, key: str) -> Manifest:
        try:
            return Manifest.from_json(self._bucket.read(key))
        except ValueError as exc:
            raise RejectedError(f"{self._bucket.name}/{key}: {exc}. Run `auditwired fsck`; see docs/archive.md") from None

    def _confirmed(self, plan: Plan, part: Part) -> bool:
        stored = self._bucket.head(part.key)
        if stored is None:
            return False
        expected = {**object_metadata(plan, part), "sha256": part.sha256}
        if stored.size != part.size or {k: stored.metadata.get(k) for k in expected} != expected:
            raise RejectedError(
                f"{self._bucket.name}/{part.key} is not what its manifest says. Run `auditwired fsck`; see docs/archive.md"
            )
        return True

    def _put(self, plan: Plan, rows: SpilledRange, retention_class: str) -> Part:
        """One object: created now, or there already with the same events."""
        held, path = rows.classes[retention_class], rows.temporary()
        key = manifest.object_key(plan, retention_class, rows.first_timestamp or 0)
        try:
            with self._archive.encoding:
                parquet.write(path, held.batches(), _file_metadata(plan, held))
            part = Part(key, retention_class, held.count, held.checksum, path.stat().st_size, _sha256(path))
            self._archive.expect(part)
            try:
                self._bucket.put(key, path, {**object_metadata(plan, part), "sha256": part.sha256})
                written = Written(part, adopted=False)
            except s3.Exists:
                written = Written(self._adopt(plan, part, held, path), adopted=True)
        finally:
            path.unlink(missing_ok=True)
        self._archive.on_object(written)
        return written.part

    def _adopt(self, plan: Plan, mine: Part, held: ClassRows, path: Path) -> Part:
        """The object that took the key before us, if it holds the same events; other bytes are read back row by row."""
        stored = self._bucket.head(mine.key)
        if stored is None:
            raise StoreError(f"{self._bucket.name}/{mine.key} exists and then does not: it is being written; try again")
        expected = object_metadata(plan, mine)
        if {k: stored.metadata.get(k) for k in expected} != expected:
            raise self._other_content(mine.key)
        sha256 = stored.metadata.get("sha256", "")
        if (stored.size, sha256) != (mine.size, mine.sha256):
            self._bucket.download(mine.key, path)
            try:
                theirs = held_in(parquet.read(path))
            except ValueError:
                raise self._other_content(mine.key) from None
            if _sha256(path) != sha256 or not np.array_equal(theirs, held_in(held.batches())):
                raise self._other_content(mine.key)
        return Part(mine.key, mine.retention_class, mine.count, mine.checksum, stored.size, sha256)

    def _close(self, mine: Manifest, path: Path) -> None:
        path.write_bytes(mine.to_json())
        try:
            self._bucket.put(mine.key, path, {})
        except s3.Exists:
            if not mine.same_events(self._manifest(mine.key)):
                raise self._other_content(mine.key) from None
        finally:
            path.unlink(missing_ok=True)

    def _other_content(self, key: str) -> RejectedError:
        return RejectedError(
            f"{self._bucket.name}/{key} exists with other content; nothing was overwritten. Did somebody else write it, or were"
            " records of the topic replaced? Keep both, run `auditwired fsck`, and only then commit an offset to go on from;"
            " see docs/archive.md"
        )


def held_in(batches: Iterator[pa.RecordBatch]) -> Positions:
    """Positions in the columns of an object's batches, in offset order. Raises ValueError where a column is missing."""
    try:
        return positions.joined(positions.of_stored(parquet.events_of(batch), batch) for batch in batches)
    except KeyError as exc:
        raise ValueError(f"not a file of the archive: column {exc} is missing") from None


def object_metadata(plan: Plan | Manifest, part: Part) -> dict[str, str]:
    """The logical digest: what an object stands for, whatever its bytes."""
    return {
        "topic": quote(plan.topic, safe=""),
        "topic-id": plan.topic_id,
        "partition": str(plan.partition),
        "start": str(plan.start),
        "end": str(plan.end),
        "range-count": str(plan.count),
        "range-checksum": f"{plan.checksum:016x}",
        "count": str(part.count),
        "checksum": f"{part.checksum:016x}",
        "schema": str(plan.schema),
    }


def _file_metadata(plan: Plan, held: ClassRows) -> dict[str, str]:
    part = Part("", "", held.count, held.checksum, 0, "")
    return {f"auditwire.{name}": value for name, value in object_metadata(plan, part).items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _store_errors() -> Iterator[None]:
    """What the bucket says, in the words of the loop; a refusal may be mended by a person, so it is waited out too."""
    try:
        yield
    except (s3.Unavailable, s3.Refused) as exc:
        raise StoreError(str(exc)) from exc


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(f"cannot write {path.parent} ({exc.strerror or exc}): make room there") from exc

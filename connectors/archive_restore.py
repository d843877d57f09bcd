"""Reads events back out of the archive, to be stored anew: whole ranges in order of offsets, each object checked before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from connectors import avro, parquet, positions
from connectors.archive_reader import Range
from connectors.manifest import Manifest
from connectors.ranges import Rows
from connectors.s3 import Bucket, Refused


class DamagedError(Exception):
    """An object is not what was archived, so nothing of it may be stored again; the text names it."""


def manifest_of(bucket: Bucket, one: Range) -> Manifest:
    """The manifest of a range. Raises DamagedError, S3Error."""
    try:
        found = Manifest.from_json(bucket.read(one.key))
    except (ValueError, Refused) as exc:
        raise DamagedError(f"{bucket.name}/{one.key}: {exc}") from None
    if found.key != one.key:
        raise DamagedError(f"{bucket.name}/{one.key}: its content is that of {found.key}")
    return found


class FetchedRange:
    """The objects of one range as files in ``folder``, removed at the end. Raises DamagedError, S3Error."""

    def __init__(self, bucket: Bucket, folder: Path, manifest: Manifest) -> None:
        self._paths: list[Path] = []
        try:
            for number, part in enumerate(manifest.parts):
                path = folder / f"{number:04d}.parquet"
                self._paths.append(path)
                place = f"{bucket.name}/{part.key}"
                if bucket.head(part.key) is None:
                    raise DamagedError(f"{place} is not there, or hidden by a delete marker")
                bucket.download(part.key, path)
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                        raise DamagedError(f"{place}: its bytes are not those that were written")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FetchedRange:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the files."""
        for path in self._paths:
            path.unlink(missing_ok=True)

    def windows(self, start: int, end: int, step: int) -> Iterator[tuple[int, int, Rows]]:
        """(first offset, offset behind the last, events) for every ``step`` offsets of ``start … end``, rising.

        Memory is that of a window and of the row groups that touch it. Raises DamagedError where an event is not the one its
        digest was taken of.
        """
        for first in range(start, end, step):
            behind = min(first + step, end)
            yield first, behind, self._rows(first, behind)

    def _rows(self, first: int, end: int) -> Rows:
        events, offsets, times, digests = (
            [avro.empty()],
            [np.empty(0, np.int64)],
            [np.empty(0, np.int64)],
            [np.empty(0, np.uint64)],
        )
        for path in self._paths:
            try:
                for batch in parquet.read(path, first, end):
                    at = np.asarray(batch.column("kafka_offset"))
                    inside = np.flatnonzero((at >= first) & (at < end))
                    taken = batch.take(pa.array(inside))
                    events.append(parquet.events_of(taken))
                    offsets.append(at[inside])
                    times.append(np.asarray(taken.column("kafka_timestamp").cast(pa.int64())))
                    digests.append(np.asarray(taken.column("event_digest")))
            except (ValueError, KeyError) as exc:
                raise DamagedError(f"an object of the range {first}..{end} cannot be read: {exc}") from None
        return _sorted(Rows(avro.concat(events), np.concatenate(offsets), np.concatenate(times), np.concatenate(digests)))


def _sorted(rows: Rows) -> Rows:
    order = np.argsort(rows.offsets, kind="stable")
    columns = rows.columns.take(pa.array(order))
    found = Rows(columns, rows.offsets[order], rows.timestamps[order], rows.digests[order])
    check(found)
    return found


def check(rows: Rows) -> None:
    """Raises DamagedError unless each event is the one that its digest was taken of."""
    own = positions.of(rows.columns, rows.offsets, rows.timestamps, rows.digests)["own"]
    if not own.all():
        raise DamagedError(f"offset {rows.offsets[~own][0]}: the event is not the one that its digest was taken of")

"""Positions with digests: what the places that keep an event are compared by."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors import avro
from connectors.writer_schemas import released

POSITION = np.dtype(
    [
        *(("offset", "<i8"), ("timestamp", "<i8"), ("stored", "<u8"), ("digest", "<u8"), ("own", "?"), ("raw", "<i8")),
        ("gone", "?"),
    ]
)
"""Offset, append time (ms since 1970 UTC), digest as stored beside the event, digest recomputed from its columns in the newest
schema, whether the stored one is that of these columns, in the newest schema or in the older one they were written with,
the offset of the raw record that it was made of (-1: none), and whether it is of a retention class and month that a certificate
says is deleted."""

Positions = npt.NDArray[np.void]
Units = Collection[tuple[str, str]]
"""Retention classes and months (``YYYY-MM``)."""


def of(
    events: pa.RecordBatch, offsets: npt.ArrayLike, timestamps: npt.ArrayLike, stored: npt.ArrayLike, deleted: Units = ()
) -> Positions:
    """Positions of events in columns of the newest schema; their digests are computed here, from the columns. ``deleted``: what
    certificates say is deleted.
    """
    rows = empty(events.num_rows)
    rows["offset"], rows["timestamp"], rows["stored"] = offsets, timestamps, stored
    rows["digest"] = avro.digests(avro.encode(events))
    rows["own"] = _own(events, rows)
    rows["raw"] = raw_offsets(events)
    rows["gone"] = gone(events, rows["timestamp"], deleted)
    return rows


def gone(events: pa.RecordBatch, timestamps: npt.NDArray[np.int64], deleted: Units) -> npt.NDArray[np.bool_]:
    """Which events are of a class and month in ``deleted``; ``timestamps``: append times, ms since 1970 UTC."""
    found = np.zeros(events.num_rows, np.bool_)
    if not deleted or not events.num_rows:
        return found
    months = timestamps.astype("datetime64[ms]").astype("datetime64[M]")
    there = {str(month) for month in np.unique(months)}
    for retention_class, month in deleted:
        if month in there:
            mine = pc.equal(events.column("processed_retention_class"), retention_class).to_numpy(zero_copy_only=False)
            found |= mine & (months == np.datetime64(month))
    return found


def raw_offsets(events: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Offset of the raw record of each event, -1 where it says none."""
    found: npt.NDArray[np.int64] = pc.fill_null(events.column("processed_raw_offset"), -1).to_numpy(zero_copy_only=False)
    return found


def written(rows: Positions) -> npt.NDArray[np.uint64]:
    """Digests as the events were written: of the bytes in the topic, or of the columns under the schema of their time."""
    found: npt.NDArray[np.uint64] = np.where(rows["own"], rows["stored"], rows["digest"])
    return found


def _own(events: pa.RecordBatch, rows: Positions) -> npt.NDArray[np.bool_]:
    own: npt.NDArray[np.bool_] = rows["stored"] == rows["digest"]
    for schema in released()[1:]:
        left = np.flatnonzero(~own)
        if not len(left):
            break
        older, fits = avro.as_written(events.take(left), schema)
        own[left[fits]] = rows["stored"][left[fits]] == avro.digests(older)
    return own


def of_stored(events: pa.RecordBatch, batch: pa.RecordBatch, deleted: Units = ()) -> Positions:
    """The same from a batch with the columns kafka_offset, kafka_timestamp (ms) and event_digest."""
    timestamps: pa.Array[Any] = batch.column("kafka_timestamp").cast(pa.int64())
    offsets, digests = (np.asarray(batch.column(name)) for name in ("kafka_offset", "event_digest"))
    return of(events, offsets, np.asarray(timestamps), digests, deleted)


def empty(rows: int = 0) -> Positions:
    return np.zeros(rows, POSITION)


def joined(parts: Iterable[Positions]) -> Positions:
    """All of them in offset order."""
    return np.sort(np.concatenate([empty(), *parts]), order="offset")


def first_of_each(rows: Positions) -> Positions:
    """Sorted rows without those at the offset of the one before."""
    keep = np.ones(len(rows), np.bool_)
    keep[1:] = rows["offset"][1:] != rows["offset"][:-1]
    return rows[keep]

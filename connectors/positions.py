"""Positions with digests: what the places that keep an event are compared by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors import avro
from connectors.writer_schemas import released

POSITION = np.dtype([("offset", "<i8"), ("timestamp", "<i8"), ("stored", "<u8"), ("digest", "<u8"), ("own", "?")])
"""Offset, append time (ms since 1970 UTC), digest as stored beside the event, digest recomputed from its columns in the newest
schema, and whether the stored one is that of these columns, in the newest schema or in the older one they were written with."""

Positions = npt.NDArray[np.void]


def of(events: pa.RecordBatch, offsets: npt.ArrayLike, timestamps: npt.ArrayLike, stored: npt.ArrayLike) -> Positions:
    """Positions of events in columns of the newest schema; their digests are computed here, from the columns."""
    rows = empty(events.num_rows)
    rows["offset"], rows["timestamp"], rows["stored"] = offsets, timestamps, stored
    rows["digest"] = avro.digests(avro.encode(events))
    rows["own"] = _own(events, rows)
    return rows


def _own(events: pa.RecordBatch, rows: Positions) -> npt.NDArray[np.bool_]:
    own: npt.NDArray[np.bool_] = rows["stored"] == rows["digest"]
    for schema in released()[1:]:
        left = np.flatnonzero(~own)
        if not len(left):
            break
        older, fits = avro.as_written(events.take(left), schema)
        own[left[fits]] = rows["stored"][left[fits]] == avro.digests(older)
    return own


def of_stored(events: pa.RecordBatch, batch: pa.RecordBatch) -> Positions:
    """The same from a batch with the columns kafka_offset, kafka_timestamp (ms) and event_digest."""
    timestamps: pa.Array[Any] = batch.column("kafka_timestamp").cast(pa.int64())
    return of(events, np.asarray(batch.column("kafka_offset")), np.asarray(timestamps), np.asarray(batch.column("event_digest")))


def empty(rows: int = 0) -> Positions:
    return np.empty(rows, POSITION)


def joined(parts: Iterable[Positions]) -> Positions:
    """All of them in offset order."""
    return np.sort(np.concatenate([empty(), *parts]), order="offset")

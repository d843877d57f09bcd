"""The columnar core type: events as Arrow columns, each row with the input record it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import event_fields

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reject:
    """One input record that a stage keeps out of the clean events.

    ``index`` is the record's ordinal in its chunk, ``reason`` a code out of the stage's documented list. ``detail`` names the
    field and the rule, never the value, so that it may be logged and stored in the open. ``tenant_id`` is "" if unusable.
    """

    index: int
    stage: str
    reason: str
    detail: str
    tenant_id: str = ""


@dataclass(frozen=True)
class Batch:
    """Decoded events: ``columns`` as in ``schemas/avro/audit_event.avsc``, ``index[row]`` = ordinal of the input record.

    Strings are utf8, longs int64, times timestamp[us] (UTC, no zone), lists list<utf8>, attributes list<struct<key, value>>.
    Immutable: the ``take`` and ``replace`` methods return new batches that share the columns they leave alone.
    """

    columns: pa.RecordBatch
    index: Indices

    def __post_init__(self) -> None:
        if tuple(self.columns.schema.names) != event_fields():
            raise ValueError("A batch holds the columns of audit_event.avsc in schema order; fill older events up to it first.")
        if len(self.index) != self.columns.num_rows:
            raise ValueError(f"index has {len(self.index)} entries for {self.columns.num_rows} rows; pass one ordinal per row.")

    @classmethod
    def of(cls, columns: pa.RecordBatch) -> Batch:
        """A batch whose rows are the input records 0, 1, 2 …"""
        return cls(columns, np.arange(columns.num_rows, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.index)

    def column(self, name: str) -> pa.Array[Any]:
        """The column of that name; KeyError where the schema has none."""
        return self.columns.column(name)

    def take(self, rows: npt.NDArray[Any] | pa.Array[Any]) -> Batch:
        """The rows that a boolean mask marks or that integer positions name, in that order. A mask of all rows copies nothing."""
        wanted = rows.to_numpy(zero_copy_only=False) if isinstance(rows, pa.Array) else np.asarray(rows)
        if wanted.dtype == np.bool_:
            if len(wanted) != len(self):
                raise ValueError(f"The mask has {len(wanted)} entries for {len(self)} rows; pass one per row.")
            if wanted.all():
                return self
            wanted = np.flatnonzero(wanted)
        positions = wanted.astype(np.int64, copy=False)
        return Batch(self.columns.take(positions), self.index[positions])

    def replace(self, changed: Mapping[str, pa.Array[Any]]) -> Batch:
        """This batch with some columns exchanged, type and row count unchanged; itself where nothing is exchanged."""
        if not changed:
            return self
        schema = self.columns.schema
        for name in changed.keys() - set(schema.names):
            raise ValueError(f"An event has no column {name!r}; take the name from audit_event.avsc.")
        arrays = [changed.get(name, column) for name, column in zip(schema.names, self.columns.columns, strict=True)]
        return Batch(pa.RecordBatch.from_arrays(arrays, schema=schema), self.index)

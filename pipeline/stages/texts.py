"""Every text of a batch as flat Arrow arrays, so that a rule is written once for plain columns, lists and attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.batch import Batch, Indices

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Text:
    """The texts of one column. ``part`` is "" for strings, "item" for lists of strings, "key" or "value" for attributes."""

    column: str
    part: str
    values: pa.Array[Any]
    offsets: Indices | None  # where each row's items begin in ``values``; None = one value per row

    def rows(self) -> Indices:
        """Row of each value."""
        if self.offsets is None:
            return np.arange(len(self.values), dtype=np.int64)
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def name(self, position: int) -> str:
        """Name of one value as in truncated_fields: ``prompt`` or ``attributes[2]``."""
        if self.offsets is None:
            return self.column
        row = int(np.searchsorted(self.offsets, position, side="right")) - 1
        return f"{self.column}[{position - int(self.offsets[row])}]"

    def value_offsets(self) -> Indices:
        """Where each value begins in the column's bytes, and where the last one ends."""
        offsets = np.frombuffer(self.values.buffers()[1] or b"\0\0\0\0", dtype=np.int32)
        return offsets[self.values.offset : self.values.offset + len(self.values) + 1].astype(np.int64)

    def data(self) -> Bytes:
        """The UTF-8 bytes of all values, one after the other; nothing is copied."""
        offsets = np.frombuffer(self.values.buffers()[1] or b"\0\0\0\0", dtype=np.int32)
        first, last = offsets[self.values.offset], offsets[self.values.offset + len(self.values)]
        return np.frombuffer(self.values.buffers()[2] or b"", dtype=np.uint8)[first:last]


def texts(batch: Batch) -> Iterator[Text]:
    """All texts of the batch but for columns without a single character."""
    for field, column in zip(batch.columns.schema, batch.columns.columns, strict=True):
        for text in of_column(field.name, column):
            if len(text.values) and len(text.data()):
                yield text


def of_column(name: str, column: pa.Array[Any]) -> Iterator[Text]:
    """The texts of one column, none where it holds no texts."""
    if pa.types.is_string(column.type):
        yield Text(name, "", column, None)
    elif isinstance(column, pa.ListArray):
        offsets, items = _items(column)
        if isinstance(items, pa.StructArray):
            for part in ("key", "value"):
                yield Text(name, part, items.field(part), offsets)
        else:
            yield Text(name, "item", items, offsets)


def _items(column: Any) -> tuple[Indices, Any]:
    """The items of a list column's own rows (a slice shares those of others), and where each row's begin."""
    offsets = column.offsets.to_numpy().astype(np.int64)
    return offsets - offsets[0], column.values.slice(offsets[0], offsets[-1] - offsets[0])


def with_texts(batch: Batch, changed: Mapping[tuple[str, str], pa.Array[Any]]) -> Batch:
    """The batch with the values of some (column, part) exchanged; all other columns are shared."""
    columns = {name: batch.column(name) for name, _ in changed}
    for (name, part), values in changed.items():
        columns[name] = _rebuilt(columns[name], part, values)
    return batch.replace(columns)


def _rebuilt(column: Any, part: str, values: pa.Array[Any]) -> pa.Array[Any]:
    if part == "":
        return values
    offsets, items = _items(column)
    if part != "item":
        fields = [values if field.name == part else items.field(field.name) for field in items.type]
        values = pa.StructArray.from_arrays(fields, fields=list(items.type))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=column.type)

"""Columns → bytes of a file. The bytes depend on the rows and their order alone, so a repeated extract is byte-identical.

Times are ISO 8601 in UTC (Parquet: timestamps), lists and pairs are JSON. In CSV a text that a spreadsheet would execute gets
a ``'`` in front: one that begins with ``= + - @`` (full-width ones too), tab, CR or LF, or with such a one after ``'`` already
(so it can be undone). Lists and pairs begin with ``[``, names of columns with a letter.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, Protocol

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

GROUP_ROWS, GROUP_BYTES = 64_000, 32 << 20
EXECUTABLE = "^'*[=+\\-@\uff1d\uff0b\uff0d\uff20\\t\\r\\n]"
Column = "pa.Array[Any]"


class Writer(Protocol):
    """Writes batches of one schema to a file that it does not own."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows. Batches must be cut by row count alone: Parquet's row groups follow them."""

    def size(self) -> int:
        """Bytes of the file so far, without what is held or under way: it depends on the rows alone, too."""

    def close(self) -> None:
        """Write what is held and the format's end."""

    def abandon(self) -> None:
        """Write nothing more."""


class Parquet:
    """zstd, row groups of at most 64,000 rows or about 32 MiB of columns; one is written while the next is gathered."""

    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        self._out = out
        self._writer = pq.ParquetWriter(out, schema, compression="zstd", coerce_timestamps=None)
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = self._size = 0
        self._pool = ThreadPoolExecutor(1, "row-group")
        self._writing: Future[None] | None = None

    def size(self) -> int:
        return self._size

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._rows, self._bytes = self._rows + batch.num_rows, self._bytes + _size(batch)
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        if self._held:
            self._flush()
        self._settle()
        self._pool.shutdown()
        self._writer.close()

    def abandon(self) -> None:
        self._pool.shutdown(wait=False)  # a group under way fails at the closed file, and nobody asks

    def _flush(self) -> None:
        self._settle()
        self._writing = self._pool.submit(self._group, self._held)
        self._held, self._rows, self._bytes = [], 0, 0

    def _group(self, batches: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(batches).combine_chunks()
        self._writer.write_table(table, row_group_size=table.num_rows)

    def _settle(self) -> None:
        if self._writing is not None:
            self._writing.result()
        self._writing, self._size = None, self._out.tell()


def _size(batch: pa.RecordBatch) -> int:
    """Bytes of the values. Bitmaps of absent ones do not count: whether there is one depends on how the rows came."""
    bitmaps = sum(1 for column in batch.columns if column.buffers()[0] is not None)
    return int(batch.nbytes - bitmaps * -(-batch.num_rows // 8))


class JsonLines:
    """One JSON object a line, keys in column order."""

    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        self._out = out
        keys = [orjson.dumps(name).decode() + ":" for name in schema.names]
        self._before = [("{" if i == 0 else ",") + key for i, key in enumerate(keys)]

    def write(self, batch: pa.RecordBatch) -> None:
        pieces: list[Any] = []
        for before, column in zip(self._before, batch.columns, strict=True):
            pieces += [pa.scalar(before), as_json(column)]
        lines = pc.binary_join_element_wise(*pieces, pa.scalar("}\n"), pa.scalar(""))
        self._out.write(_joined(lines))

    def size(self) -> int:
        return self._out.tell()

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class Csv:
    """RFC 4180 with a header line and LF line ends; every text is in quotes, absent numbers and times are empty."""

    def __init__(self, out: BinaryIO, schema: pa.Schema) -> None:
        shown = pa.schema([pa.field(f.name, _csv_type(f.type)) for f in schema])
        self._out, self._schema = out, shown
        self._writer = pa.csv.CSVWriter(out, shown)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(pa.RecordBatch.from_arrays([_csv_cells(c) for c in batch.columns], schema=self._schema))

    def size(self) -> int:
        return self._out.tell()

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        pass


WRITERS: dict[str, Callable[[BinaryIO, pa.Schema], Writer]] = {"parquet": Parquet, "jsonl": JsonLines, "csv": Csv}
MEDIA_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}


def as_json(column: Any) -> Any:
    """Each value as JSON text. Texts are rendered once per distinct value."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        text = _iso(column)
        return pc.if_else(pc.is_valid(text), pc.binary_join_element_wise('"', text, '"', ""), "null")
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pc.fill_null(column.cast(pa.string()), "null")
    if pa.types.is_string(kind):
        distinct = column.dictionary_encode()
        return _rendered(distinct.dictionary).take(distinct.indices)
    return _rendered(column)


def _rendered(column: Any) -> Any:
    return pa.array([orjson.dumps(value).decode() for value in column.to_pylist()], pa.string())


def _iso(column: Any) -> Any:
    unit = column.type.unit
    return pc.strftime(column.cast(pa.timestamp(unit)), format="%Y-%m-%dT%H:%M:%SZ")


def _joined(lines: Any) -> bytes:
    """All texts of an array behind one another: its value buffer."""
    whole = lines if lines.offset == 0 else pa.concat_arrays([lines])
    offsets, values = whole.buffers()[1], whole.buffers()[2]
    end = int.from_bytes(memoryview(offsets)[len(whole) * 4 : len(whole) * 4 + 4], "little")
    return bytes(memoryview(values)[:end])


def _csv_type(kind: pa.DataType) -> pa.DataType:
    plain = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)
    return kind if plain else pa.string()


def _csv_cells(column: Any) -> Any:
    if pa.types.is_timestamp(column.type):
        return _iso(column)
    if pa.types.is_list(column.type):
        return as_json(column)
    if pa.types.is_string(column.type):
        risky = pc.match_substring_regex(column, EXECUTABLE)
        return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column) if pc.any(risky).as_py() else column
    return column

"""Clean events as Parquet: columns with positions → one file, and back. Pure but for the file itself.

A file is written from batches in offset order. Row groups are cut by the rows alone (`ROWS`, `BYTES`), not by how the batches
were split, and sorted inside by tenant and time: the same rows and library version give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import schemas
from connectors import avro
from connectors.ranges import Rows

ROWS = 50_000
BYTES = 32 << 20
CLASS = "processed_retention_class"
POSITION_FIELDS = (
    pa.field("kafka_partition", pa.int32(), nullable=False),
    pa.field("kafka_offset", pa.int64(), nullable=False),
    pa.field("kafka_timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
    pa.field("event_digest", pa.uint64(), nullable=False),
)
SORT = [("tenant_id", "ascending"), ("occurred_at", "ascending")]
# Columns with few values a row group: a dictionary pays. For ids and texts it only costs.
FEW_VALUES = [
    *("tenant_id", "event_type", "source", "source_event_type", "activity", "outcome", "actor_type"),
    *("agent_id", "agent_name", "agent_version", "agent_type", "flow_definition", "session_status", "producer_id"),
    *("producer_epoch", "entity_type", "entity_id", "entity_path", "target_type", "model_provider", "model_name", "tool_name"),
    *("tool_server", "tool_version", "tool_definition_digest", "tool_category", "tools_offered.list.element", "decision"),
    *("policy_id", "approval_status", "error_type", "attributes.list.element.key", "processed_ingested_at"),
    *("processed_raw_partition", CLASS, "processed_redacted_fields.list.element", "processed_rules_revision"),
    *("processed_version", "processed_identity_conflict", "processed_tool_risk", "processed_tenant_region"),
    *("processed_owners.list.element", "processed_controls.list.element", "processed_flags.list.element"),
    *("processed_reference_revision", "audit_mode", "kafka_partition", "kafka_timestamp"),
]


def schema() -> pa.Schema:
    """Columns of a file in their fixed order: the event's, with times in UTC, then partition, offset, append time, digest."""
    return pa.schema([*(pa.field(f.name, _stored(f.type), f.nullable) for f in avro.event_arrow_schema()), *POSITION_FIELDS])


def columns_of(rows: Rows, partition: int) -> pa.RecordBatch:
    """Rows of one partition → the columns of a file, in the same order of rows; event columns are not copied."""
    positions = (
        pa.array(np.full(len(rows), partition, np.int32)),
        pa.array(rows.offsets),
        pa.array(rows.timestamps),
        pa.array(rows.digests),
    )
    target = schema()
    arrays = [_cast(a, f.type) for a, f in zip([*rows.columns.columns, *positions], target, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def events_of(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Columns read from a file → the event's columns of the newest schema, those that an old file lacks with their defaults."""
    names = [name for name in schemas.event_fields() if name in batch.schema.names]
    arrays = [_cast(batch.column(name), _plain(batch.column(name).type)) for name in names]
    return avro.conform(pa.RecordBatch.from_arrays(arrays, names=names))


def write(path: Path, batches: Iterable[pa.RecordBatch], metadata: Mapping[str, str]) -> None:
    """Batches of `columns_of`, offsets rising over all of them, into a Parquet file with ``metadata`` as key-value pairs.

    Memory is that of one row group. Raises OSError where the disk is full.
    """
    with pq.ParquetWriter(
        path,
        schema(),
        compression="zstd",
        compression_level=1,  # as small as with 3, for an eighth less work
        use_dictionary=FEW_VALUES,
        write_statistics=[*schemas.fields_of_class("fact"), *(f.name for f in POSITION_FIELDS)],
        write_page_index=True,
        store_schema=False,
    ) as writer:
        writer.add_key_value_metadata(dict(metadata))
        for group in row_groups(batches):
            table = pa.Table.from_batches([group.take(pc.sort_indices(group, SORT))])
            writer.write_table(table, row_group_size=table.num_rows)


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut rows into groups of at most `ROWS` rows and `BYTES` bytes of text (but at least one row), whatever the batches."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        ends = np.cumsum(row_bytes(batch))
        at = 0
        while at < batch.num_rows:
            before = int(ends[at - 1]) if at else 0
            fits = int(np.searchsorted(ends, before + BYTES - size, side="right")) - at
            take = min(fits, ROWS - rows, batch.num_rows - at)
            if take <= 0 and rows == 0:
                take = 1
            if take > 0:
                held.append(batch.slice(at, take))
                rows, size, at = rows + take, size + int(ends[at + take - 1]) - before, at + take
            if at < batch.num_rows or rows == ROWS:
                yield avro.concat(held)
                held, rows, size = [], 0, 0
    if held:
        yield avro.concat(held)


def row_bytes(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Bytes of text in each row: what of a row varies, found without looking at the text."""
    return sum((_text_bytes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64))


def read(path: Path, first: int | None = None, end: int | None = None) -> Iterator[pa.RecordBatch]:
    """Batches of a file; with ``first`` and ``end`` only row groups that may hold offsets ``first <= offset < end``.

    Raises ValueError when the file is not Parquet or lacks the position columns.
    """
    try:
        with pq.ParquetFile(path) as file:
            for index in range(file.num_row_groups):
                if _touches(file.metadata.row_group(index), first, end):
                    yield from file.read_row_group(index).combine_chunks().to_batches()
    except pa.ArrowException as exc:
        raise ValueError(f"not a readable Parquet file of the archive ({type(exc).__name__})") from None


def _touches(group: Any, first: int | None, end: int | None) -> bool:
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema == "kafka_offset" and column.statistics is not None and column.statistics.has_min_max:
            low, high = column.statistics.min, column.statistics.max
            return (end is None or low < end) and (first is None or high >= first)
    return True


def _text_bytes(column: pa.Array[Any]) -> npt.NDArray[np.int64]:
    kind = column.type
    if pa.types.is_string(kind):
        return _offsets(column, 1, np.diff)
    if pa.types.is_list(kind):
        inner = np.concatenate([[0], np.cumsum(_text_bytes(column.values))])
        return _offsets(column, 1, lambda o: inner[o[1:]] - inner[o[:-1]])
    if pa.types.is_struct(kind):
        return sum((_text_bytes(column.field(i)) for i in range(kind.num_fields)), np.zeros(len(column), np.int64))
    return np.zeros(len(column), np.int64)


def _offsets(column: pa.Array[Any], index: int, use: Any) -> npt.NDArray[np.int64]:
    buffer = column.buffers()[index]
    if buffer is None or len(column) == 0:
        return np.zeros(len(column), np.int64)
    offsets = np.frombuffer(buffer, np.int32, len(column) + 1, column.offset * 4)
    found: npt.NDArray[np.int64] = use(offsets.astype(np.int64))
    return found


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit, tz="UTC") if pa.types.is_timestamp(kind) else kind


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind


def _cast(column: pa.Array[Any], kind: pa.DataType) -> pa.Array[Any]:
    return column if column.type == kind else column.cast(kind)

"""Avro bodies ↔ Arrow columns, the Confluent frame around them, and the digest of an event.

Columns go through pyruhvro (Rust). It panics on bytes, fixed and uuid, misses bad UTF-8
and names no culprit: `decode_each` finds it.
Records that are not events (quarantine, ledger) go one by one through fastavro.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

import schemas

MAGIC = b"\x00"


class DecodeError(Exception):
    """Bytes are not a record of the schema. The text says what is wrong without quoting the bytes; quarantine the record."""


def frame(schema_id: int) -> bytes:
    """The five bytes in front of a body (Confluent wire format: zero byte, schema id as big-endian int32)."""
    return MAGIC + struct.pack(">i", schema_id)


def schema_id_of(value: bytes) -> int | None:
    """Schema id of a framed value; None where there is no frame."""
    if len(value) < 5 or value[:1] != MAGIC:
        return None
    return int.from_bytes(value[1:5], "big")


@cache
def event_arrow_schema() -> pa.Schema:
    """The event's columns as Arrow types: utf8, int64, timestamp[us] (UTC without a zone), float64, bool, lists."""
    schema = pyruhvro.avro_to_arrow_schema(schemas.schema_text("audit_event"))
    return pa.schema([pa.field(f.name, f.type, f.nullable) for f in schema])


def decode(bodies: Sequence[bytes], writer_schema: str) -> pa.RecordBatch:
    """Bodies without frame, all of one writer's schema → columns of the newest known schema, absent ones filled with defaults.

    Raises DecodeError when any body is bad; it does not say which (see `decode_each`).
    """
    try:
        batch = pyruhvro.deserialize_array(list(bodies), writer_schema)
        batch.validate(full=True)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:  # pyruhvro panics with a BaseException
        raise DecodeError(f"not a record of the writer's schema ({type(exc).__name__})") from None
    return conform(batch)


def decode_each(bodies: Sequence[bytes], writer_schema: str) -> tuple[pa.RecordBatch, npt.NDArray[np.int64], list[int]]:
    """Like `decode`, but finds the culprits by bisection: (columns of the good, their indexes, indexes of the bad)."""
    good: list[tuple[int, pa.RecordBatch]] = []
    bad: list[int] = []
    todo = [(0, len(bodies))] if bodies else []
    while todo:
        start, end = todo.pop()
        try:
            good.append((start, decode(bodies[start:end], writer_schema)))
        except DecodeError:
            if end - start == 1:
                bad.append(start)
            else:
                middle = (start + end) // 2
                todo += [(middle, end), (start, middle)]
    if not good:
        return empty(), np.empty(0, np.int64), bad
    index = np.concatenate([np.arange(start, start + batch.num_rows, dtype=np.int64) for start, batch in good])
    return concat([batch for _, batch in good]), index, bad


def empty() -> pa.RecordBatch:
    """No events, all columns."""
    schema = event_arrow_schema()
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)


def concat(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of the rows of all, in order."""
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def conform(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Columns in the order and types of the newest schema; those the writer did not know get their default."""
    target = event_arrow_schema()
    have = set(batch.schema.names)
    columns = [batch.column(f.name) if f.name in have else _default(f, batch.num_rows) for f in target]
    return pa.RecordBatch.from_arrays([_plain(c, f.type) for c, f in zip(columns, target, strict=True)], schema=target)


def _plain(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)


def _default(field: pa.Field[Any], rows: int) -> pa.Array:
    if field.nullable:
        return pa.nulls(rows, field.type)
    value: Any = [] if pa.types.is_list(field.type) else (False if pa.types.is_boolean(field.type) else "")
    return pa.array([value] * rows, field.type)


def encode(batch: pa.RecordBatch, schema: str | None = None) -> list[bytes]:
    """Columns of a schema (default: the newest) → one Avro body a row, without frame; canonical: equal rows give equal bytes."""
    if batch.num_rows == 0:
        return []
    text = schemas.schema_text("audit_event") if schema is None else schema
    bodies: list[bytes] = pyruhvro.serialize_record_batch(batch, text, 1)[0].to_pylist()
    return bodies


def as_written(batch: pa.RecordBatch, older_schema: str) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Bodies under an older schema of the rows that it can hold whole: those with defaults in all columns added since.

    Returns the bodies and the rows' positions in the batch.
    """
    names = [field["name"] for field in json.loads(older_schema)["fields"]]
    fits = np.ones(batch.num_rows, np.bool_)
    for field in batch.schema:
        if field.name not in names:
            fits &= _is_default(batch.column(field.name), field)
    rows = np.flatnonzero(fits)
    return encode(batch.select(names).take(rows), older_schema), rows


def _is_default(column: pa.Array[Any], field: pa.Field[Any]) -> npt.NDArray[np.bool_]:
    if field.nullable:
        found = column.is_null()
    elif pa.types.is_list(field.type):
        found = pc.equal(pc.list_value_length(column), 0)
    else:
        found = pc.equal(column, _default(field, 1)[0])
    mask: npt.NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return mask


def digests(bodies: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Digest of each clean event: the first 8 bytes, little-endian, of SHA-256 over its Avro body without frame."""
    sha = hashlib.sha256
    joined = b"".join([sha(body).digest() for body in bodies])
    return np.frombuffer(joined, "<u8")[::4].astype(np.uint64)


def checksum(values: npt.NDArray[np.uint64]) -> int:
    """Order-free checksum of digests: their sum modulo 2^64."""
    return int(values.sum(dtype=np.uint64))


class RecordCodec:
    """Framed single records of a schema in ``schemas/avro`` that is not the event: ``encode(dict)``, ``decode(bytes)``."""

    def __init__(self, name: str, schema_id: int) -> None:
        self._schema = fastavro.parse_schema(json.loads(schemas.schema_text(name)))
        self._older = [fastavro.parse_schema(json.loads(text)) for text in schemas.released(name)]
        self._frame = frame(schema_id)

    def encode(self, record: dict[str, Any]) -> bytes:
        """Raises ValueError (from fastavro) when the record does not fit the schema."""
        out = io.BytesIO(self._frame)
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, self._schema, record, strict=True)
        return out.getvalue()

    def decode(self, value: bytes) -> dict[str, Any]:
        """A record of the newest schema or an older one, what that did not know at its default.

        Fields are only ever added at the end and take a byte at least, so an older record ends before the newer schema does.
        Raises DecodeError when the bytes are no record of any version.
        """
        why = ""
        for writer in (self._schema, *self._older):
            body = io.BytesIO(value[5:])
            try:
                record: dict[str, Any] = fastavro.schemaless_reader(body, writer, self._schema)
            except Exception as exc:
                why = why or type(exc).__name__
                continue
            if not body.read(1):
                return record
        raise DecodeError(f"not a record of its schema ({why or 'bytes are left over'})") from None

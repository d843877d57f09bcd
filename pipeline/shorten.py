"""Makes one event fit in a Kafka message by cutting its largest content fields; what was cut is marked."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from connectors import avro
from schemas import fields_of_class

KEEP_BYTES = 16 * 1024


def fit(row: pa.RecordBatch, limit: int) -> bytes | None:
    """The Avro body of this one-row batch in at most ``limit`` bytes, or None where cutting its texts is not enough.

    Texts of class content are cut to 16 KiB at a code point, the longest first; truncated_fields keeps each one's true length.
    """
    while True:
        body = avro.encode(row)[0]
        if len(body) <= limit:
            return body
        name, text = _longest(row)
        if len(text) <= KEEP_BYTES:
            return None
        row = _cut(row, name, text)


def _longest(row: pa.RecordBatch) -> tuple[str, bytes]:
    texts = [name for name in fields_of_class("content") if pa.types.is_string(row.schema.field(name).type)]
    return max(((name, row.column(name)[0].as_py().encode()) for name in texts), key=lambda pair: len(pair[1]))


def _cut(row: pa.RecordBatch, name: str, text: bytes) -> pa.RecordBatch:
    marks: list[str] = row.column("truncated_fields")[0].as_py()
    if not any(mark.startswith(f"{name}=") for mark in marks):
        marks = [*marks, f"{name}={len(text)}"]
    changed: dict[str, list[Any]] = {name: [text[:KEEP_BYTES].decode(errors="ignore")], "truncated_fields": [marks]}
    columns = [
        pa.array(changed[field.name], field.type) if field.name in changed else column
        for field, column in zip(row.schema, row.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=row.schema)

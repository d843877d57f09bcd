"""Decoded batches for the tests of the stages, through the same codec as in the processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from connectors import avro
from pipeline.batch import Batch
from schemas import event_schema, schema_text

NOW_US = 1_790_000_000_000_000
_ABSENT = {field["name"]: field.get("default", "") for field in event_schema()["fields"]}
_REQUIRED = {
    "event_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "tenant_id": "acme",
    "event_type": "tool.invoked",
    "occurred_at": NOW_US,
}


def batch_of(*events: dict[str, Any]) -> Batch:
    """One row per event; what an event does not give is valid or absent."""
    codec = avro.RecordCodec("audit_event", 1)
    bodies = [codec.encode(_ABSENT | _REQUIRED | event)[5:] for event in events]
    return Batch.of(avro.decode(bodies, schema_text("audit_event")))


def prompts(texts: Sequence[str], cut: bool = False) -> Batch:
    """One row per text in ``prompt``; ``cut`` marks each as cut at the limit."""
    batch = batch_of(*[{}] * len(texts))
    marks = [["prompt=70000"] if cut else []] * len(texts)
    kind = batch.columns.schema.field("truncated_fields").type
    return batch.replace({"prompt": pa.array(texts, pa.string()), "truncated_fields": pa.array(marks, kind)})


def column(batch: Batch, name: str) -> list[Any]:
    """The values of a column."""
    values: list[Any] = batch.column(name).to_pylist()
    return values

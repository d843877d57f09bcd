"""Events of a chosen size, dirtiness and number of tenants, encoded: the load of `bench.scale_out` and `bench.capacity`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from bench.stages import START_US, event
from connectors import avro
from tests import processing

BASE = 10_000
FEW = ("event_id", "tenant_id", "event_type", "occurred_at", "producer_id", "producer_epoch", "sequence")


@dataclass(frozen=True)
class Shape:
    """``size``: bytes of Avro, 0 for some 700. ``dirty``: share of events with something to redact.

    ``fill``: `usual` (as `bench.stages`), `few` (the needed columns, the rest of the bytes in one text), `all` (no text empty).
    """

    size: int = 0
    dirty: float = 0.3
    tenants: int = 20
    partitions: int = 4
    fill: str = "usual"

    @property
    def producers(self) -> int:
        """Each sends to one partition and for one tenant."""
        return -(-self.tenants // 16) * 16

    def bodies(self, first: int, count: int, clean: bool) -> Iterator[bytes]:
        """Events ``first …`` without frame; number n is for partition n % partitions. ``clean``: as the processor writes them."""
        start, end = first, first + count
        while start < end:
            at = start % BASE
            numbers = range(start, min(start + BASE - at, end))
            yield from avro.encode(self._numbered(_base(self).slice(at, len(numbers)), numbers, clean))
            start = numbers.stop

    def _numbered(self, batch: pa.RecordBatch, numbers: range, clean: bool) -> pa.RecordBatch:
        many, tenants = self.producers, self.tenants
        own: dict[str, list[Any]] = {
            "event_id": [event_id(n) for n in numbers],
            "tenant_id": [f"tenant-{n % many % tenants:04d}" for n in numbers],
            "producer_id": [f"assistant-{n % many:04d}" for n in numbers],
            "sequence": [n // many for n in numbers],
        }
        if clean:
            own["processed_ingested_at"] = [START_US + n for n in numbers]
            own["processed_raw_partition"] = [n % self.partitions for n in numbers]
            own["processed_raw_offset"] = [n // self.partitions for n in numbers]
            own["processed_retention_class"] = ["standard"] * len(numbers)
        arrays = {f.name: batch.column(f.name) for f in batch.schema}
        arrays |= {name: pa.array(values, batch.schema.field(name).type) for name, values in own.items()}
        return pa.RecordBatch.from_arrays(list(arrays.values()), schema=batch.schema)


def event_id(number: int) -> str:
    """The id of an event by its number."""
    return f"{number:08x}-0000-4000-8000-000000000000"


@cache
def _base(shape: Shape) -> pa.RecordBatch:
    rng = random.Random(7)
    rows = [event(rng, n, rng.random() < shape.dirty, shape.size) for n in range(BASE)]
    if shape.fill == "few":
        rows = [_few(row) for row in rows]
    batch = processing.batch(rows)
    return _all(batch) if shape.fill == "all" else batch


def _few(row: dict[str, Any]) -> dict[str, Any]:
    """The same characters in few columns."""
    rest = [str(value) for name, value in row.items() if name not in FEW]
    return {**{name: row[name] for name in FEW}, "message": " ".join(rest)}


def _all(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Every text that is empty in all rows gets a short value."""
    arrays = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        empty = pa.types.is_string(field.type) and not field.name.startswith("processed_") and not any(column.to_pylist())
        arrays.append(pa.array([f"value-{n % 9}" for n in range(len(column))], field.type) if empty else column)
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)

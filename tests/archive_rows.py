"""Clean events made up for tests of the archive: every column filled, reproducible, with positions."""

from __future__ import annotations

import random
import uuid
from typing import Any

import numpy as np
import pyarrow as pa

from connectors import avro
from connectors.ranges import Plan, Rows

NOVEMBER = 1_793_500_000_000  # 2026-11-01T02:26:40Z, ms


def columns(count: int, seed: int = 0, classes: tuple[str, ...] = ("standard",)) -> pa.RecordBatch:
    """``count`` events; the same seed gives the same events."""
    rng = random.Random(seed)
    schema = avro.event_arrow_schema()
    return pa.RecordBatch.from_arrays(
        [pa.array([_value(rng, field, classes) for _ in range(count)], field.type) for field in schema], schema=schema
    )


def _value(rng: random.Random, field: pa.Field[Any], classes: tuple[str, ...]) -> Any:
    if field.name == "event_id":
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    if field.name == "tenant_id":
        return f"tenant-{rng.randrange(5)}"
    if field.name == "processed_retention_class":
        return rng.choice(classes)
    if field.nullable and rng.random() < 0.3:
        return None
    return _of_type(rng, field.type)


def _of_type(rng: random.Random, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return rng.choice(["", "ä", "word " * rng.randrange(1, 8), "🙂" * rng.randrange(3)])
    if pa.types.is_list(kind):
        return [_of_type(rng, kind.value_type) for _ in range(rng.randrange(3))]
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _of_type(rng, kind.field(i).type) for i in range(kind.num_fields)}
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    if pa.types.is_floating(kind):
        return rng.uniform(-1e9, 1e9)
    if pa.types.is_timestamp(kind):
        return rng.randrange(1_790_000_000_000_000, 1_793_000_000_000_000)
    return rng.randrange(-(2**62), 2**62)


def rows(
    count: int, first: int = 0, seed: int = 0, classes: tuple[str, ...] = ("standard",), step: int = 1, at_ms: int = NOVEMBER
) -> Rows:
    """Events at offsets ``first``, ``first + step`` …, appended one a millisecond from ``at_ms`` on."""
    batch = columns(count, seed, classes)
    offsets = np.arange(first, first + count * step, step, dtype=np.int64)
    return Rows(batch, offsets, np.arange(at_ms, at_ms + count, dtype=np.int64), avro.digests(avro.encode(batch)))


def part(of: Rows, start: int, end: int) -> Rows:
    """Rows ``start`` to ``end`` (exclusive) by ordinal."""
    return Rows(of.columns.slice(start, end - start), of.offsets[start:end], of.timestamps[start:end], of.digests[start:end])


def plan_of(
    of: Rows, topic: str = "audit.events", partition: int = 2, topic_id: str = "mz0Gx-_TQ7aVw1c2d3e4fg", **more: Any
) -> Plan:
    """The plan whose range is exactly these rows."""
    start, end = int(of.offsets[0]), int(of.offsets[-1]) + 1
    return Plan(topic, topic_id, partition, start, end, len(of), avro.checksum(of.digests), **more)

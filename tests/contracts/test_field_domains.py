"""Every clean event is storable in every store unchanged: each field's whole domain goes in and comes back as the same bytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from connectors import avro
from connectors.ranges import Rows
from tests.archive_rows import NOVEMBER, part, plan_of
from tests.contracts.stores import BENCHES, Bench, new_topic_id

STRINGS = [
    *(
        "",
        " ",
        "a",
        "ä",
        "e\u0301",
        "\u00e9",
        "🙂👩‍👩‍👧",
        "\u200fעברית",
        "\ufeff",
        "\x01\x1f\x7f\u0085\u2028",
        "\ud7ff\ue000\U0010ffff",
    ),
    *("line\nline\r\n\ttab", "back\\slash \\N \\0", "'quote' \"double\" `tick`", "NULL", "null", "nan", "true", "0", "-0"),
    *(
        "1.2.3.4",
        "::ffff:1.2.3.4",
        "F47AC10B-58CC-4372-A567-0E02B2C3D479",
        "2026-11-22T00:00:00Z",
        "{}",
        "[]",
        '{"a": "\\u0000"}',
    ),
    *("x" * 65536, "ü" * 32768),
]
LONGS = [0, 1, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63)]
DOUBLES = [0.0, -0.0, 0.1, -1.5, 1e308, -1e308, 5e-324, 2.0**53 + 1, 1 / 3]
TIMES = [0, 1, 999_999, 1_000_000, 1_793_500_000_123_456, 4_102_444_800_000_000, 7_258_118_399_999_999]  # 1970 to 2199
CLASSES = ["standard", "", "a/b c=ä%2F", "short"]


def _domain(field: pa.Field[Any]) -> list[Any]:
    kind = field.type
    if field.name == "event_id":
        return [str(uuid.UUID(int=i * (2**128 // 40))) for i in range(40)]
    if field.name == "processed_retention_class":
        return CLASSES
    return ([None] if field.nullable else []) + _of_type(kind)


def _of_type(kind: pa.DataType) -> list[Any]:
    if pa.types.is_string(kind):
        return STRINGS
    if pa.types.is_boolean(kind):
        return [True, False]
    if pa.types.is_floating(kind):
        return DOUBLES
    if pa.types.is_timestamp(kind):
        return TIMES
    if pa.types.is_struct(kind):
        return [{"key": k, "value": v} for k, v in zip(STRINGS, reversed(STRINGS), strict=True)]
    if pa.types.is_list(kind):
        inner = _of_type(kind.value_type)
        return [[], inner[:1], inner[:1] * 3, inner, *([one] for one in inner)]
    return LONGS


def _whole_domain() -> Rows:
    """Row i has the i-th value of every field's domain, each from its beginning again when it is at its end."""
    schema = avro.event_arrow_schema()
    domains = [_domain(field) for field in schema]
    count = max(len(d) for d in domains)
    arrays = [pa.array([d[i % len(d)] for i in range(count)], f.type) for d, f in zip(domains, schema, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    times = np.arange(NOVEMBER, NOVEMBER + count, dtype=np.int64)
    return Rows(batch, np.arange(count, dtype=np.int64) * 2**40, times, avro.digests(avro.encode(batch)))


@pytest.fixture(scope="module", params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with BENCHES[request.param](request) as one:
        yield one


def test_each_fields_whole_domain_comes_back_as_the_same_bytes(bench: Bench) -> None:
    given = _whole_domain()
    plan = plan_of(given, topic_id=new_topic_id())
    claim = bench.store.take_over(plan.topic, plan.topic_id, plan.partition)
    held = claim.open()
    for start in range(0, len(given), 16):
        held.add(part(given, start, min(start + 16, len(given))))
    claim.write(plan, held)
    held.close()
    assert claim.prove(plan).equals(plan)
    back = bench.read(plan.topic_id, plan.partition)
    wrong = [name for name in given.columns.schema.names if not _same(back.column(name), given.columns.column(name))]
    assert wrong == []
    assert avro.encode(back) == avro.encode(given.columns)


def _same(one: pa.Array[Any], other: pa.Array[Any]) -> bool:
    return bool(one.equals(other))

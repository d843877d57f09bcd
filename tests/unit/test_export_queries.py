"""What a request may say, what is said when it may not, and that no value ever becomes SQL."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka_marks import Marks
from pipeline.export import columns
from pipeline.export.errors import RefusedError
from pipeline.export.queries import Query, Reading, parse

GOOD: dict[str, Any] = {"tenant": "demo", "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00+01:00"}


def refusal(**change: Any) -> RefusedError:
    body = {k: v for k, v in {**GOOD, **change}.items() if v is not ...}
    with pytest.raises(RefusedError) as raised:
        parse(json.dumps(body).encode())
    assert raised.value.status == 422
    return raised.value


def test_defaults_are_filled_in_and_times_become_utc() -> None:
    query = parse(json.dumps(GOOD).encode())
    assert query.public() == {
        "tenant": "demo",
        "from": "2026-11-01T00:00:00.000000Z",
        "to": "2026-11-30T23:00:00.000000Z",
        "time": "occurred",
        "filters": {},
        "columns": list(columns.known()),
        "format": "parquet",
    }
    assert Query.stored(json.loads(json.dumps(query.public()))) == query


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"from": "2026-12-02T00:00:00Z"}, "`from` is not before `to`"),
        ({"from": GOOD["to"]}, "`from` is not before `to`"),
        ({"from": "1969-12-31T23:59:59Z"}, "1970 to 2200"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "1970 to 2200"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "1970 to 2200"),
        ({"to": "2201-01-01T00:00:00Z"}, "1970 to 2200"),
        ({"from": "2026-11-01T00:00:00"}, "from: Input should have timezone info"),
        ({"from": 1_793_000_000}, "from: .*ISO 8601 with a zone"),
        ({"from": "yesterday"}, "from: Input should be a valid datetime"),
        ({"to": ...}, "to: Field required"),
        ({"tenant": ""}, "tenant: String should have at least 1 character"),
        ({"format": "xlsx"}, "format: Input should be 'parquet', 'jsonl' or 'csv'"),
        ({"columns": []}, "columns: List should have at least 1 item"),
        ({"columns": ["event_id", "event_id"]}, "named twice"),
        ({"filters": {"message": "x"}}, "cannot be filtered: its content cannot be searched"),
        ({"filters": {"occurred_at": "x"}}, "cannot be filtered: use `from` and `to`"),
        ({"filters": {"outcome": []}}, "has 0 values"),
        ({"filters": {"outcome": ["x"] * 101}}, "has 101 values"),
        ({"filters": {"outcome": "x" * 1025}}, "not a possible String"),
        ({"filters": {"outcome": "nul\0"}}, "not a possible String"),
        ({"filters": {"outcome": 1}}, "not a possible String"),
        ({"filters": {"input_tokens": "5"}}, "not a possible Int64"),
        ({"filters": {"input_tokens": 2**63}}, "not a possible Int64"),
        ({"filters": {"input_tokens": True}}, "not a possible Int64"),
        ({"filters": {"event_digest": -1}}, "not a possible UInt64"),
        ({"filters": {"processed_identity_conflict": 1}}, "not a possible Bool"),
        ({"filters": {f"c{i}": "x" for i in range(21)}}, "at most 20 items"),
    ],
)
def test_what_can_never_be_served_is_named(change: dict[str, Any], said: str) -> None:
    assert re.search(said, refusal(**change).error), refusal(**change).error


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"columns": ["event_tpye"]}, "Did you mean event_type?"),
        ({"filters": {"actorid": "x"}}, "Did you mean actor_id?"),
        ({"columns": ["zzzz"]}, "The columns are listed"),
        ({"from": "2026-11-01"}, "such as 2026-11-01T00:00:00Z"),
        ({"from": "2026-11-01T00:00:00"}, "such as 2026-11-01T00:00:00Z"),
        ({"until": "x"}, "The fields are tenant, from, to, filters, columns, format, time, require_complete."),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one_and_a_time_an_example(change: dict[str, Any], hint: str) -> None:
    assert hint in refusal(**change).what_to_do


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff", b'{"tenant": "\\ud800"}'])
def test_what_is_not_a_request_is_said_so(body: bytes) -> None:
    with pytest.raises(RefusedError) as raised:
        parse(body)
    assert raised.value.status == 422


def test_a_refusal_quotes_no_value() -> None:
    secret = "hunter2hunter2"
    filters: list[dict[str, Any]] = [{"input_tokens": secret}, {"outcome": [[secret]]}]
    changes: list[dict[str, Any]] = [{"from": secret}, {"format": secret}, *({"filters": f} for f in filters)]
    for change in changes:
        found = refusal(**change)
        assert secret not in found.error + found.what_to_do


@given(st.text(min_size=1, max_size=50), st.lists(st.text(max_size=50).filter(lambda t: "\0" not in t), min_size=1, max_size=5))
def test_values_travel_as_parameters_only(tenant: str, values: list[str]) -> None:
    plain = Query("demo", 0, 10, {"actor_id": ["x"] * len(values)}, ["event_id"], "csv")
    query = Query(tenant, 0, 10, {"actor_id": values}, ["event_id"], "csv")
    marks = Marks("topic", {0: 5, 3: 7})
    for made, expected in zip(
        (Reading("audit", query, marks).read(0, 5), Reading("audit", query, marks).count(0, 5, 1)),
        (Reading("audit", plain, marks).read(0, 5), Reading("audit", plain, marks).count(0, 5, 1)),
        strict=True,
    ):
        assert made[0] == expected[0]
        assert made[1]["tenant"] == tenant
        assert [made[1][f"filter_0_{i}"] for i in range(len(values))] == values
        assert set(re.findall(r"\{(\w+):", made[0])) == set(made[1])

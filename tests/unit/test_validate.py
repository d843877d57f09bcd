"""Validate: every rule at its border, cuts at a code point, and clean events untouched."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch import Batch
from pipeline.stages import validate
from pipeline.stages.validate import FIELD_BYTES, REASONS, YEAR_2200_US
from tests.unit.batches import NOW_US, batch_of, column

PAIR = {"key": "k", "value": "v"}
DOCS = Path(__file__).parents[2] / "docs" / "redaction.md"

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("bad_event_id", {"event_id": ""}),
    ("bad_event_id", {"event_id": "0F8FAD5B-D9CB-469F-A165-70867728950E"}),
    ("bad_event_id", {"event_id": "0f8fad5bd9cb469fa16570867728950e"}),
    ("bad_event_id", {"event_id": "0f8fad5b-d9cb-469f-a165-70867728950e\n"}),
    ("bad_event_id", {"event_id": "{0f8fad5b-d9cb-469f-a165-70867728950e}"}),
    ("bad_tenant_id", {"tenant_id": ""}),
    ("bad_tenant_id", {"tenant_id": "Acme"}),
    ("bad_tenant_id", {"tenant_id": "a/b"}),
    ("bad_tenant_id", {"tenant_id": "acme\n"}),
    ("bad_tenant_id", {"tenant_id": "é"}),
    ("bad_tenant_id", {"tenant_id": "a" * 65}),
    ("bad_event_type", {"event_type": ""}),
    ("bad_event_type", {"event_type": "x" * 257}),
    ("bad_event_type", {"event_type": "é" * 129}),
    ("bad_producer_id", {"producer_id": "p" * 257}),
    ("bad_time", {"occurred_at": -1}),
    ("bad_time", {"occurred_at": YEAR_2200_US}),
    ("bad_time", {"occurred_at": NOW_US * 1000}),
    ("bad_time", {"occurred_at": -(2**63)}),
    ("bad_time", {"observed_at": 2**63 - 1}),
    ("bad_number", {"cost_usd": math.nan}),
    ("bad_number", {"cost_usd": math.inf}),
    ("bad_number", {"duration_ms": -math.inf}),
    ("nul_character", {"prompt": "a\0b"}),
    ("nul_character", {"entity_path": "\0"}),
    ("nul_character", {"delegation_chain": ["user:1", "agent\0"]}),
    ("nul_character", {"attributes": [PAIR, {"key": "k\0", "value": "v"}]}),
    ("nul_character", {"attributes": [{"key": "k", "value": "\0"}]}),
    ("too_many_items", {"tools_offered": ["t"] * 257}),
    ("too_many_items", {"attributes": [PAIR] * 257}),
]

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"event_id": "00000000-0000-0000-0000-000000000000"},
    {"tenant_id": "a" * 64},
    {"tenant_id": "a_b.c-9"},
    {"event_type": "x" * 256},
    {"event_type": "Völlig neu"},
    {"occurred_at": 0},
    {"occurred_at": YEAR_2200_US - 1, "observed_at": 0},
    {"cost_usd": 1e308, "duration_ms": -0.5},
    {"outcome": "an outcome nobody knows", "ip_address": "[IP]", "trace_id": "not hex"},
    {"tools_offered": ["t"] * 256, "attributes": [PAIR] * 256},
    {"prompt": "x" * FIELD_BYTES},
]


@pytest.mark.parametrize(("reason", "event"), REFUSED)
def test_each_rule_refuses_with_its_reason(reason: str, event: dict[str, Any]) -> None:
    kept, rejects = validate(batch_of({}, event, {}), NOW_US)
    assert kept.index.tolist() == [0, 2]
    assert [(r.index, r.stage, r.reason) for r in rejects] == [(1, "validate", reason)]
    assert rejects[0].tenant_id == ("" if reason == "bad_tenant_id" else "acme")
    assert REASONS[reason] in rejects[0].detail
    assert reason in ("bad_event_id", "bad_tenant_id", "bad_event_type") or next(iter(event)) in rejects[0].detail


def test_every_reason_has_a_case_and_is_documented() -> None:
    assert {reason for reason, _ in REFUSED} == set(REASONS)
    documented = DOCS.read_text(encoding="utf-8")
    assert [reason for reason in REASONS if f"`{reason}`" not in documented] == []


@pytest.mark.parametrize("event", ACCEPTED, ids=str)
def test_what_every_store_takes_is_kept_unchanged(event: dict[str, Any]) -> None:
    batch = batch_of(event)
    kept, rejects = validate(batch, NOW_US)
    assert rejects == []
    assert kept is batch


def test_a_detail_names_the_unit_and_never_a_value() -> None:
    _, rejects = validate(batch_of({"occurred_at": NOW_US * 1000}, {"occurred_at": NOW_US * 4000}), NOW_US)
    assert "It looks like nanoseconds." in rejects[0].detail
    assert "nanoseconds" not in rejects[1].detail
    assert not any(str(NOW_US) in reject.detail for reject in rejects)


def test_only_the_first_broken_rule_is_named_and_the_input_index_is_kept() -> None:
    batch = batch_of({}, {"event_id": "x", "tenant_id": "X", "prompt": "\0"}, {"prompt": "\0"})
    _, rejects = validate(Batch(batch.columns, batch.index + 40), NOW_US)
    assert [(r.index, r.reason) for r in rejects] == [(41, "bad_event_id"), (42, "nul_character")]


def test_rows_of_a_slice_are_judged_by_their_own_values() -> None:
    outside, fine, bad = {"prompt": "\0", "tools_offered": ["a\0"]}, {"tools_offered": ["a"]}, {"tools_offered": ["b", "\0"]}
    whole = batch_of(outside, bad, fine, fine, outside)
    kept, rejects = validate(Batch.of(whole.columns.slice(1, 3)), NOW_US)
    assert (kept.index.tolist(), [r.index for r in rejects]) == ([1, 2], [0])


def test_long_texts_are_cut_at_a_code_point_and_the_cut_is_written_down() -> None:
    batch = batch_of(
        {"prompt": "a" + "é" * 40_000, "attributes": [PAIR, {"key": "k", "value": "x" * 70_000}], "content_length": 5},
        {"response": "x" * 65_537, "truncated_fields": ["response=900000"], "content_length": 900_000},
        {"entity_path": "p" * 70_000},
        {"prompt": "short"},
    )
    kept, rejects = validate(batch, NOW_US)
    assert rejects == []
    assert column(kept, "prompt")[0] == "a" + "é" * 32_767
    assert column(kept, "attributes")[0] == [PAIR, {"key": "k", "value": "x" * FIELD_BYTES}]
    assert column(kept, "truncated_fields") == [
        ["prompt=80001", "attributes[1]=70000"],
        ["response=900000"],
        ["entity_path=70000"],
        [],
    ]
    assert column(kept, "content_length") == [80_001, 900_000, None, None]
    assert column(kept, "prompt")[3] == "short"
    kept.columns.validate(full=True)
    assert validate(kept, NOW_US)[0] is kept


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=60)
@given(
    events=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "event_id": st.one_of(st.uuids().map(str), TEXTS),
                "tenant_id": TEXTS,
                "event_type": TEXTS,
                "occurred_at": st.integers(-(2**63), 2**63 - 1),
                "cost_usd": st.floats(),
                "prompt": TEXTS,
                "tools_offered": st.lists(TEXTS, max_size=3),
                "attributes": st.lists(st.fixed_dictionaries({"key": TEXTS, "value": TEXTS}), max_size=3),
            },
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_row_is_kept_unchanged_or_rejected_once(events: list[dict[str, Any]]) -> None:
    batch = batch_of(*events)
    kept, rejects = validate(batch, NOW_US)
    assert sorted([*kept.index.tolist(), *(r.index for r in rejects)]) == list(range(len(events)))
    assert kept.columns.equals(batch.columns.take(pa.array(kept.index)))
    assert "\\u0000" not in json.dumps(
        kept.columns.drop_columns(["occurred_at", "observed_at", "processed_ingested_at"]).to_pylist()
    )

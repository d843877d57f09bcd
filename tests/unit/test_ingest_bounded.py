"""Bounds are checked over the bytes and agree with what a parser would find."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest import bounded
from pipeline.ingest.bounded import BadShape, Budget, check_shape, parse_json
from pipeline.ingest.refusal import Refusal


def reason(body: bytes) -> str:
    try:
        check_shape(body)
    except BadShape as exc:
        return exc.reason
    return ""


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"[" * 64 + b"]" * 64, ""),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "too_deep"),
        (b"[]," * 200, ""),
        (b'["' + b"[" * 5000 + b'"]', ""),
        (b'["\\"' + b"[" * 5000 + b'"]', ""),
        (b'["\\\\"' + b"[" * 5000, "too_deep"),
        (b"{" + b'"k":1,' * 499_999 + b"}", ""),
        (b"{" + b'"k":1,' * 500_001 + b"}", "too_many_keys"),
        (b'["' + b":" * 600_000 + b'"]', ""),
        (b"[" + b"[]," * 500_001 + b"1]", "too_many_values"),
        (b"[" + b"1," * 1_000_001 + b"1]", "too_many_values"),
    ],
)
def test_shapes(body: bytes, wanted: str) -> None:
    assert reason(body) == wanted


def test_a_hostile_body_of_25_megabytes_is_refused_before_objects_are_made() -> None:
    for unit in (b"[],", b"{},", b"1,", b'{"":', b"["):
        body = b"[" + unit * (25 * 1024 * 1024 // len(unit))
        assert reason(body) in {"too_many_values", "too_many_keys", "too_deep"}


def nesting(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(nesting, value.values()), default=0)
    return 1 + max(map(nesting, value), default=0) if isinstance(value, list) else 0


BRACKETS = st.text('[]{}",:\\x', max_size=6)
NESTED = st.recursive(BRACKETS, lambda i: st.lists(i, max_size=3) | st.dictionaries(BRACKETS, i, max_size=3), max_leaves=30)


@given(value=NESTED, levels=st.integers(0, 70), limit=st.integers(0, 70))
def test_depth_of_a_value(value: Any, levels: int, limit: int) -> None:
    for _ in range(levels):
        value = {"k": value}
    assert bounded.deeper_than(value, limit) == (nesting(value) > limit)


@given(value=NESTED, levels=st.integers(0, 70))
def test_depth_is_what_a_parser_sees_whatever_stands_in_strings(value: Any, levels: int) -> None:
    for _ in range(levels):
        value = [value]
    assert reason(json.dumps(value).encode()) == ("too_deep" if nesting(value) > bounded.DEPTH else "")


def test_elements_are_counted() -> None:
    assert len(parse_json(b"[" + b"1," * 9_999 + b"1]")) == 10_000
    with pytest.raises(BadShape, match="more than 10000 elements"):
        parse_json(b"[" + b"1," * 10_000 + b"1]")


def test_a_budget_takes_no_more_than_it_has_and_gets_all_of_it_back() -> None:
    budget = Budget(bounded.OBJECTS_PER_BYTE * 10)
    first, second = budget.lease(), budget.lease()
    first.grow(6)
    with pytest.raises(Refusal) as caught:
        second.grow(5)
    assert caught.value.status == 503
    second.grow(4)
    for lease in (first, first, second):
        lease.release()
    first.grow(10)

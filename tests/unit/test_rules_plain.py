"""Rules over columns against rules as the page says them, one event at a time: whatever the rules, whatever their order."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rules import condition, tree
from pipeline.rules.decide import Rules
from pipeline.rules.model import canonical, parse
from pipeline.stages.act import clean
from tests.plain.data_rules import CONTENT, PERSONAL, STRENGTH, ruled
from tests.unit.batches import batch_of

TENANTS, NAMES = ("a", "b", "c"), ("x", "y", "z")
WORDS = st.sampled_from(["", "wort", "äöü", "two words here"])
WHEN = st.none() | st.tuples(st.sampled_from(["tool_name", "agent_name"]), st.sampled_from(NAMES))
SCOPE = st.fixed_dictionaries({"when": WHEN}, optional={"tenant": st.sampled_from(TENANTS)})
FIELDS = st.lists(st.sampled_from(["content", "personal", *CONTENT, *PERSONAL]), min_size=1, max_size=3, unique=True)
EVENT = st.fixed_dictionaries(
    {
        "tenant_id": st.sampled_from(TENANTS),
        "tool_name": st.sampled_from(NAMES),
        "agent_name": st.sampled_from(NAMES),
        "processed_retention_class": st.just("of-tenant"),
        "content_length": st.sampled_from([None, 70_000]),
        "truncated_fields": st.sampled_from([[], ["prompt=70000", "actor_id=9"]]),
        "delegation_chain": st.lists(WORDS, max_size=2),
        "attributes": st.lists(st.fixed_dictionaries({"key": st.just("k"), "value": WORDS}), max_size=2),
    }
    | {name: WORDS for name in (*CONTENT, *PERSONAL) if name not in ("delegation_chain", "attributes")}
)


def key_of(tenant: str) -> bytes:
    return tenant.encode() * 32


@st.composite
def documents(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    def some(kind: str, **fields: st.SearchStrategy[Any]) -> list[dict[str, Any]]:
        drawn = draw(st.lists(st.tuples(SCOPE, st.fixed_dictionaries(fields)), max_size=4))
        return [{"name": f"{kind}-{n}", **scope, **rest} for n, (scope, rest) in enumerate(drawn)]

    redactions = some("r", fields=FIELDS, action=st.sampled_from(STRENGTH), length=st.integers(1, 4))
    return {
        "redaction": redactions,
        "capture": some("c", level=st.sampled_from(["metadata", "request", "request_response"])),
        "retention": some("t", **{"class": st.sampled_from(["p", "q"])}),
    }


def compiled(rules: dict[str, list[dict[str, Any]]]) -> Rules:
    def with_tree(rule: dict[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in rule.items() if key != "when"}
        if rule["when"] is None:
            return rest
        text = "{} = '{}'".format(*rule["when"])
        return {**rest, "when": {"text": text, "tree": tree.to_json(condition.parse(text).tree)}}

    return Rules(parse("1", canonical({kind: [with_tree(rule) for rule in found] for kind, found in rules.items()})))


@settings(max_examples=30)
@given(rules=documents(), events=st.lists(EVENT, min_size=1, max_size=6))
def test_columns_become_what_the_page_says_of_each_event(rules: dict[str, Any], events: list[dict[str, Any]]) -> None:
    batch = batch_of(*events)
    after, changed, _ = clean(batch, compiled(rules), key_of)
    for before, now, entries in zip(batch.columns.to_pylist(), after.columns.to_pylist(), changed.to_pylist(), strict=True):
        wanted, named = ruled(before, rules, key_of(before["tenant_id"]))
        assert now == wanted
        assert set(entries) == named and len(entries) == len(named)

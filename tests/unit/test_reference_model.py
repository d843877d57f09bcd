"""Snapshots of reference data: lookups, canonical text, built-in controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.stack.stack import CHECKOUT
from pipeline.reference import check, source
from pipeline.reference.model import BUILT_IN_CONTROLS, EMPTY, KINDS, ModelError, canonical, parse

Documents = dict[str, list[dict[str, Any]]]


def test_a_tenants_own_entry_wins_and_a_servers_own_before_any_servers() -> None:
    tools: list[dict[str, Any]] = [
        {"name": "t", "owner": "any", "risk_tier": "low"},
        {"name": "t", "server": "s", "owner": "server", "risk_tier": "low"},
        {"name": "t", "tenant": "demo", "owner": "tenant", "risk_tier": "low"},
        {"name": "t", "tenant": "demo", "server": "s", "owner": "both", "risk_tier": "low"},
    ]
    agents: list[dict[str, Any]] = [
        {"id": "a", "owner": "any"},
        {"id": "a", "tenant": "demo", "owner": "own", "versions": {"1": "retired"}},
    ]
    snapshot = parse("3", canonical({"tool": tools, "agent": agents, "tenant": [{"id": "demo", "region": "eu"}]}))

    def owner(tenant: str, server: str) -> str:
        found = snapshot.tool(tenant, server, "t")
        return found.owner if found else ""

    assert [owner(*wanted) for wanted in (("demo", "s"), ("demo", "x"), ("acme", "s"), ("acme", "x"))] == [
        "both",
        "tenant",
        "server",
        "any",
    ]
    assert snapshot.tool("demo", "s", "other") is None
    mine, theirs = snapshot.agent("demo", "a"), snapshot.agent("acme", "a")
    assert mine and theirs and (mine.owner, dict(mine.versions), theirs.owner) == ("own", {"1": "retired"}, "any")
    demo = snapshot.tenant("demo")
    assert demo and (demo.region, demo.retention_class, snapshot.tenant("acme")) == ("eu", "", None)


def test_controls_by_event_type_with_and_without_a_star() -> None:
    controls = [
        {"id": "B", "title": "all", "event_types": ["*"]},
        {"id": "A", "title": "tools", "event_types": ["tool.*", "note"]},
    ]
    snapshot = parse("1", canonical({"control": controls}))
    assert snapshot.controls_of("tool.denied") == ("A", "B")
    assert snapshot.controls_of("note") == ("A", "B")
    assert snapshot.controls_of("note.taken") == ("B",)
    assert snapshot.controls_of("tool") == ("B",)


def test_own_controls_replace_the_built_in_ones_and_only_then() -> None:
    own = parse("1", canonical({"control": [{"id": "X", "title": "t", "event_types": ["x"]}]}))
    assert [c.id for c in own.controls] == ["X"]
    assert parse("1", canonical({"tenant": [{"id": "demo"}]})).controls == EMPTY.controls


def test_built_in_controls_are_in_order_and_cover_what_they_say() -> None:
    documents, problems = source.read(BUILT_IN_CONTROLS.parent)
    assert problems == []
    assert check.problems(documents, ["standard"]) == []
    ids = {c.id for c in EMPTY.controls}
    assert {i.split(":")[0] for i in ids} == {"EU-AI-Act", "ISO-42001", "SOC2"}
    assert {"EU-AI-Act:Art.12", "EU-AI-Act:Art.26(6)"} <= set(EMPTY.controls_of("tool.invoked"))
    assert "EU-AI-Act:Art.26(2)" in EMPTY.controls_of("approval.approved")
    assert "SOC2:CC8.1" in EMPTY.controls_of("reference.applied")
    assert EMPTY.controls_of("something.else") == ()
    assert EMPTY.revision == ""


def test_the_same_documents_give_the_same_text_however_they_are_written() -> None:
    one: Documents = {
        "tenant": [{"id": "b"}, {"kind": "tenant", "id": "a", "region": ""}],
        "source": [{"name": "s", "tenants": ["b", "a"]}],
    }
    other: Documents = {"source": [{"tenants": ["a", "b", "b"], "name": "s"}], "tenant": [{"id": "a"}, {"id": "b"}], "agent": []}
    assert canonical(one) == canonical(other)
    assert canonical(one) != canonical({"tenant": [{"id": "a"}]})


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"form":1}', '{"form":1,"tenants":[{}]}', '{"form":1,"tenants":3}'])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="revision 7 of the reference data is no canonical document"):
        parse("7", text)


def test_a_newer_form_is_refused_and_not_guessed_at() -> None:
    text = canonical({}).replace('"form":1', '"form":2')
    with pytest.raises(ModelError, match="form 2: upgrade this part"):
        parse("7", text)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
TENANTS = st.lists(
    st.builds(lambda i, r: {"id": i, "region": r}, st.from_regex(r"[a-z0-9_.-]{1,8}", fullmatch=True), st.just("eu"))
)
VERSIONS = st.dictionaries(NAMES, st.sampled_from(["approved", "deprecated", "retired"]), max_size=3)
AGENTS = st.lists(st.builds(lambda i, o, v: {"id": i, "owner": o, "versions": v}, NAMES, NAMES, VERSIONS), max_size=4)


@given(TENANTS, AGENTS)
def test_yaml_of_a_revision_reads_back_as_the_same_revision(
    tmp_path_factory: pytest.TempPathFactory, tenants: list[dict[str, Any]], agents: list[dict[str, Any]]
) -> None:
    unique = {t["id"]: t for t in tenants}, {a["id"]: a for a in agents}
    text = canonical({"tenant": [*unique[0].values(), {"id": "always"}], "agent": list(unique[1].values())})
    folder: Path = tmp_path_factory.mktemp("back")
    (folder / "all.yaml").write_text(source.text_of(json.loads(text), "Revision 1: why\nsecond # line"), encoding="utf-8")
    documents, problems = source.read(folder)
    assert problems == []
    assert canonical({kind: [d.content for d in documents if d.kind == kind] for kind in KINDS}) == text


def test_the_examples_are_in_order_and_know_the_demo() -> None:
    from infra.demo import feed, platform

    documents, problems = source.read(CHECKOUT / "examples" / "reference")
    assert problems + check.problems(documents, ["standard", "extended"]) == []
    text, large = check.document_of(documents)
    assert large is None
    snapshot = parse("1", text)
    for tenant in feed.TENANTS:
        assert snapshot.tenant(tenant)
        assert all(snapshot.tool(tenant, t.server, t.name) for t in platform.TOOLS)
    for agent in platform.AGENTS:
        found = snapshot.agent("demo", agent.agent_id)
        assert found and agent.version in found.versions
    assert snapshot.source("gitlab") and snapshot.source("demo-platform")

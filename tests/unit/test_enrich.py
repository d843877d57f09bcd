"""The stage against the same rules written row by row, over made-up revisions and batches; and what a revision cannot do."""

from __future__ import annotations

import string
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import avro
from pipeline.batch import Batch
from pipeline.reference import model
from pipeline.reference.check import schema_of
from pipeline.reference.model import EMPTY, Agent, Control, Snapshot, Source, Tenant, Tool
from pipeline.stages import Lookup, enrich
from pipeline.stages.enrich import LONGEST
from tests.plain import enrichment as plain
from tests.unit.batches import batch_of, column

TENANTS = ("acme", "umbrella", "initech")
NAMES = ("", "a", "b", "c")
DIGESTS = ("", "sha256:1", "sha256:2", "sha256:3")
STATUS = ("approved", "deprecated", "retired")
WRITTEN = ("tool_risk", "tenant_region", "owners", "controls", "flags", "reference_revision", "retention_class")

name = st.sampled_from(NAMES)
named = st.sampled_from(NAMES[1:])
maybe_tenant = st.sampled_from(("", *TENANTS))
agents = st.builds(Agent, named, maybe_tenant, name, st.dictionaries(name, st.sampled_from(STATUS), max_size=2))
tools = st.builds(
    Tool,
    name=named,
    server=name,
    tenant=maybe_tenant,
    owner=name,
    risk_tier=st.sampled_from(("low", "high")),
    category=st.sampled_from(("", "read", "write")),
    definitions=st.dictionaries(name, st.sampled_from(DIGESTS[1:]), max_size=2),
)
snapshots = st.builds(
    Snapshot,
    revision=st.sampled_from(("", "7")),
    tenants=st.lists(st.builds(Tenant, st.sampled_from(TENANTS), name, name), max_size=2, unique_by=lambda t: t.id).map(tuple),
    agents=st.lists(agents, max_size=4, unique_by=lambda a: (a.tenant, a.id)).map(tuple),
    tools=st.lists(tools, max_size=5, unique_by=lambda t: (t.tenant, t.server, t.name)).map(tuple),
    sources=st.lists(
        st.builds(Source, named, st.lists(st.sampled_from(TENANTS), max_size=2).map(tuple)),
        max_size=2,
        unique_by=lambda s: s.name,
    ).map(tuple),
    controls=st.lists(
        st.builds(Control, st.sampled_from(("X:1", "Y:2", "Z:3")), name, st.sampled_from((("t.*",), ("t.one", "u.two"), ("*",)))),
        max_size=3,
        unique_by=lambda c: c.id,
    ).map(tuple),
)
events = st.fixed_dictionaries(
    {
        "tenant_id": st.sampled_from(TENANTS),
        "event_type": st.sampled_from(("t.one", "t.two", "u.two", "v")),
        "source": name,
        "agent_id": name,
        "agent_version": name,
        "tool_server": name,
        "tool_name": name,
        "tool_version": name,
        "tool_definition_digest": st.sampled_from(DIGESTS),
        "tool_category": st.sampled_from(("", "read", "write")),
    },
    optional={
        "processed_flags": st.just(["forged"]),
        "processed_tool_risk": st.just("none"),
        "processed_owners": st.just(["me"]),
    },
)


def enriched(batch: Batch, snapshot: Snapshot) -> list[dict[str, Any]]:
    lookup = Lookup(snapshot)
    first, second = (enrich(batch, lookup, "standard") for _ in range(2))
    first.columns.validate(full=True)
    assert first.columns.equals(second.columns), "what was remembered gives the same"
    names = ["tool_category", *(f"processed_{name}" for name in WRITTEN)]
    rows: list[dict[str, Any]] = first.columns.select(names).to_pylist()
    return rows


@settings(max_examples=300)
@given(snapshots, st.lists(events, max_size=12))
def test_columns_say_what_the_rules_say_row_by_row(snapshot: Snapshot, given_events: list[dict[str, Any]]) -> None:
    batch = batch_of(*given_events) if given_events else Batch.of(avro.empty())
    wanted = [plain.enriched(event, snapshot) for event in given_events]
    assert enriched(batch, snapshot) == [
        {n: row[n] for n in ("tool_category", *(f"processed_{w}" for w in WRITTEN))} for row in wanted
    ]
    after = enrich(batch, Lookup(snapshot), "standard")
    untouched = [n for n in batch.columns.schema.names if n != "tool_category" and n.removeprefix("processed_") not in WRITTEN]
    assert after.columns.select(untouched).equals(batch.columns.select(untouched))


REGISTERED = Snapshot(
    "12",
    tenants=(Tenant("acme", "eu", "long"),),
    agents=(Agent("helper", "", "ann", {"1": "approved", "2": "deprecated", "3": "retired"}),),
    tools=(
        Tool("search", "github", "", "bob", "medium", "read", {"1": "sha256:aa", "2": "sha256:bb"}),
        Tool("search", "github", "acme", "eve", "critical", "write", {}),
    ),
    sources=(Source("assistant", ("acme",)),),
    controls=(Control("X:1", "t", ("tool.*",)),),
)
GOOD = {"source": "assistant", "agent_id": "helper", "agent_version": "1"}


@pytest.mark.parametrize(
    ("event", "flags"),
    [
        ({}, []),
        ({"tenant_id": "umbrella"}, ["tenant_unknown", "source_not_of_tenant"]),
        ({"source": "elsewhere"}, ["source_unknown"]),
        ({"source": ""}, ["source_unknown"]),
        ({"agent_id": "", "agent_version": "9"}, []),
        ({"agent_id": "other"}, ["agent_unknown"]),
        ({"agent_version": "9"}, ["agent_version_unknown"]),
        ({"agent_version": ""}, ["agent_version_unknown"]),
        ({"agent_version": "2"}, ["agent_version_deprecated"]),
        ({"agent_version": "3"}, ["agent_version_retired"]),
        ({"tool_server": "github"}, []),
        ({"tool_name": "delete", "tool_server": "github"}, ["tool_unknown"]),
        ({"tool_name": "search", "tool_server": "gitlab"}, ["tool_unknown"]),
        ({"tool_name": "search", "tool_server": "github", "tool_category": "read"}, ["tool_category_differs=write"]),
    ],
)
def test_flags(event: dict[str, Any], flags: list[str]) -> None:
    assert enriched(batch_of(GOOD | event), REGISTERED)[0]["processed_flags"] == flags


@pytest.mark.parametrize(
    ("version", "digest", "flag"),
    [
        ("1", "sha256:aa", None),
        ("1", "sha256:bb", "tool_definition_differs=sha256:aa"),
        ("1", "", "tool_definition_unstated=sha256:aa"),
        ("", "sha256:bb", None),
        ("", "", "tool_definition_unstated="),
        ("3", "sha256:cc", "tool_definition_differs="),
    ],
)
def test_no_flag_about_a_definition_means_that_it_is_an_approved_one(version: str, digest: str, flag: str | None) -> None:
    call = {"tool_name": "search", "tool_server": "github", "tool_version": version, "tool_definition_digest": digest}
    tool = Snapshot("1", tools=REGISTERED.tools[:1])
    assert enriched(batch_of(call), tool)[0]["processed_flags"] == ([flag] if flag else [])


def test_without_reference_data_nothing_is_flagged_and_what_a_producer_wrote_is_gone() -> None:
    forged = {
        "processed_flags": ["clean"],
        "processed_owners": ["tool:me"],
        "processed_controls": ["X"],
        "processed_tool_risk": "low",
    }
    (row,) = enriched(
        batch_of({"tool_name": "rm", "processed_reference_revision": "99", "processed_tenant_region": "eu", **forged}), EMPTY
    )
    assert (row["processed_flags"], row["processed_owners"], row["processed_tool_risk"]) == ([], [], "")
    assert (row["processed_reference_revision"], row["processed_tenant_region"]) == ("", "")
    assert "EU-AI-Act:Art.12" in row["processed_controls"]


def test_a_tenants_own_document_wins_and_an_empty_category_is_filled() -> None:
    call = {**GOOD, "tool_name": "search", "tool_server": "github"}
    own, other = enriched(batch_of(call, {**call, "tenant_id": "umbrella"}), REGISTERED)
    assert (own["tool_category"], own["processed_tool_risk"], own["processed_owners"]) == (
        "write",
        "critical",
        ["tool:eve", "agent:ann"],
    )
    assert (other["tool_category"], other["processed_tool_risk"]) == ("read", "medium")
    assert (own["processed_retention_class"], other["processed_retention_class"]) == ("long", "standard")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3), min_size=1, max_size=4))
def test_odd_and_cut_names_are_unknown_and_stay_as_they_are(odd: list[str]) -> None:
    long = "search" + "x" * (2 * LONGEST)
    batch = batch_of(*({**GOOD, "tool_name": text or long, "tool_category": long} for text in odd))
    after = enrich(batch, Lookup(REGISTERED), "standard")
    assert column(after, "tool_name") == column(batch, "tool_name") and column(after, "tool_category") == [long] * len(odd)
    assert column(after, "processed_flags") == [["tool_unknown"]] * len(odd)


def test_a_batch_of_nothing_but_distinct_names_is_bounded_in_what_it_leaves_behind() -> None:
    lookup = Lookup(REGISTERED)
    letters = string.ascii_letters
    for first in letters[:10]:
        batch = batch_of(*[{}] * 2000)
        names = pa.array([f"{first}{i}" for i in range(2000)], pa.string())
        after = enrich(batch.replace({"tool_name": names}), lookup, "standard")
        assert column(after, "processed_flags")[-1][-1] == "tool_unknown"
    assert lookup.tool.cache_info().currsize <= 10_000


def test_the_released_form_of_a_document_is_what_the_stage_takes() -> None:
    text = model.canonical({"tool": [{"kind": "tool", "name": "search", "risk_tier": "high", "category": "read"}]})
    (row,) = enriched(batch_of({"tool_name": "search"}), model.parse("3", text))
    assert (row["processed_tool_risk"], row["processed_reference_revision"], row["processed_flags"]) == ("high", "3", [])
    assert "EU-AI-Act:Art.12" in row["processed_controls"]


def test_every_registered_name_is_shorter_than_what_is_looked_up() -> None:
    """Else a longer name of an event, cut, would pass for the registered one."""
    for kind, names in {"agent": ("id",), "tool": ("name", "server"), "source": ("name",)}.items():
        fields = schema_of(kind)["properties"]
        assert all(fields[name]["maxLength"] < LONGEST for name in names)

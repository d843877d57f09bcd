"""The sample queries of docs/queries answer their questions, to an analyst of the tenant and about this tenant only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra import queries
from tests import analyst_world
from tests.analyst_world import MARK
from tests.space import Space

AT = "2026-11-10 {}:00.000000".format
ANA, BO, CHI, DEE = (f"{name}@example.com" for name in ("ana", "bo", "chi", "dee"))
ANSWERS: dict[str, list[list[Any]]] = {
    "01-high-risk-tools": [
        ["critical", "deploy-mcp", "release", "Deploy", ANA, 2, 0, AT("09:52")],
        ["high", "vault-mcp", "read_secret", "Triage", BO, 1, 1, AT("10:45")],
    ],
    "02-denied-then-retried": [[AT("10:41"), AT("10:45"), "s-triage", "read_secret", "Triage", BO, "no-secrets", 1]],
    "03-secrets-read": [
        [AT("10:41"), "denied", "Triage", BO, "vault-mcp", "read_secret", "db/password", "no-secrets", "s-triage"],
        [AT("10:45"), "called", "Triage", BO, "vault-mcp", "read_secret", "db/password", "", "s-triage"],
    ],
    "04-production-without-approval": [
        [AT("09:52"), "Deploy", ANA, "release", "write", "", "prod-eu", "", "s-deploy", "c-2"],
    ],
    "05-slow-approvals": [
        [AT("09:03"), "approved", 45, "Deploy", ANA, "release", CHI, "a-1"],
        [AT("12:22"), "requested", None, "Support", CHI, "refund", "", "a-2"],
    ],
    "06-sessions-that-ended-badly": [
        [AT("10:40"), "failure", 600, "Triage", BO, "Timeout", 2, 1, 1, 0, "s-triage"],
        [AT("12:20"), "stopped", 180, "Support", CHI, "", 0, 0, 0, 0, "s-support"],
    ],
    "07-cost-per-team": [
        ["2026-11-10", "team-platform", "Deploy", "anthropic", "claude", 1, 100, 20, 0.25, 0],
        ["2026-11-10", "not registered", "Support", "mistral", "large", 1, 10, 5, 0, 1],
    ],
    "08-changed-tool-definitions": [
        ["gitlab-mcp", "comment", "3", "sha256:other", "sha256:good", "team-forge", ["Triage"], 1, AT("10:46")],
    ],
    "09-unregistered-agents": [
        ["agent-triage", "1.1", "agent_version_retired", 1, 6, AT("10:40"), AT("10:50")],
        ["agent-x", "9", "agent_unknown", 1, 4, AT("12:20"), AT("12:23")],
    ],
    "10-sequence-gaps": [["platform/1", analyst_world.EPOCH, 6, 7, 2, AT("09:49"), AT("09:52")]],
    "11-late-events": [["platform", "", "2026-11-10", 1, 300, AT("17:20")]],
    "12-what-redaction-took-out": [
        ["platform", "Triage", "comment", "tool_args", 1, AT("10:46"), "00000000-0000-4000-8000-00000000000c"],
    ],
    "13-delegation-chains": [
        [3, "human:ana@example.com > agent:agent-lead > agent:agent-deploy", ANA, 2, 0, 1, AT("10:00")],
    ],
    "14-who-read-the-audit-trail": [
        [DEE, "export.delivered", "success", 1, AT("14:01"), AT("14:01"), ["x-1"]],
        [DEE, "export.refused", "denied", 1, AT("14:02"), AT("14:02"), []],
        [DEE, "export.requested", "success", 1, AT("14:00"), AT("14:00"), ["x-1"]],
    ],
    "15-first-seen-tools": [
        ["deploy-mcp", "release", AT("09:49"), "Deploy", ANA, "critical", 2],
        ["gitlab-mcp", "comment", AT("10:46"), "Triage", BO, "", 1],
    ],
}


@pytest.fixture(scope="module")
def world(new_analysed_space: Callable[[], Space]) -> Space:
    space = new_analysed_space()
    analyst_world.insert(space, analyst_world.batch(analyst_world.world()))
    return space


def test_every_query_has_an_answer_here() -> None:
    assert [q.path.stem for q in queries.all_queries()] == list(ANSWERS)


@pytest.mark.parametrize("query", queries.all_queries(), ids=lambda q: q.path.stem)
def test_the_answer_is_the_known_one(world: Space, query: queries.Query) -> None:
    with analyst_world.analyst(world) as client:
        assert client.rows(query.sql, query.examples(), database=world.name) == ANSWERS[query.path.stem]


@pytest.mark.parametrize("query", queries.all_queries(), ids=lambda q: q.path.stem)
def test_asking_about_another_tenant_gives_nothing(world: Space, query: queries.Query) -> None:
    """Who reads every tenant gets that tenant's rows by the same words: it is the row filter that keeps them back."""
    asked = {**query.examples(), "tenant": "acme"}
    with analyst_world.analyst(world) as client:
        assert client.rows(query.sql, asked, database=world.name) == []
    with analyst_world.analyst(world, "analyst") as everybody:
        rows = everybody.rows(query.sql, asked, database=world.name)
    assert len(rows) == len(ANSWERS[query.path.stem])
    assert MARK in str(rows)

"""The views have the columns that the dictionary tells, and pass conditions on to the sort key."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from infra import dictionary
from infra.stack.servers import analysts
from tests import analyst_world
from tests.sinks import clickhouse
from tests.space import Space


@pytest.fixture(scope="module")
def world(new_analysed_space: Callable[[], Space]) -> Space:
    space = new_analysed_space()
    analyst_world.insert(space, analyst_world.batch(analyst_world.world()))
    return space


def test_the_dictionary_tells_every_view() -> None:
    assert set(dictionary.views()) == set(analysts.VIEWS)


@pytest.mark.parametrize("view", analysts.VIEWS)
def test_a_view_has_the_columns_of_the_dictionary(world: Space, view: str) -> None:
    with analyst_world.analyst(world) as client:
        found = [(row[0], row[1]) for row in client.rows(f"DESCRIBE TABLE {view}", database=world.name)]
    assert found == [(column.name, column.clickhouse) for column in dictionary.columns_of(view)]


def test_the_table_has_the_columns_of_the_dictionary(world: Space) -> None:
    with analyst_world.analyst(world) as client:
        found = [
            (row[0], re.sub(r"\n +", " ", row[1]).replace("( ", "("))
            for row in client.rows("DESCRIBE TABLE events", database=world.name)
        ]
    assert found == [(column.name, column.clickhouse) for column in dictionary.events()]


def test_the_sequences_have_the_columns_of_the_dictionary(world: Space) -> None:
    with analyst_world.analyst(world) as client:
        found = [(row[0], row[1]) for row in client.rows("DESCRIBE TABLE ledger_sequences", database=world.name)]
    assert found == [(column.name, column.clickhouse) for column in dictionary.sequences()]


@pytest.mark.parametrize("view", ["tool_calls", "denials_and_failures", "who_did_what_for_whom"])
def test_a_range_of_time_reaches_the_sort_key(world: Space, view: str) -> None:
    sql = f"EXPLAIN indexes = 1 SELECT * FROM {view} WHERE tenant_id = 'demo' AND occurred_at >= '2026-11-10 10:00:00'"
    with clickhouse(world) as client:
        plan = "\n".join(row[0] for row in client.rows(sql, database=world.name))
    key = plan.partition("PrimaryKey")[2]
    assert "tenant_id in ['demo', 'demo']" in key
    assert "toStartOfHour(occurred_at) in [1794304800, +Inf)" in key


def test_a_range_of_days_skips_by_index(world: Space) -> None:
    sql = "EXPLAIN indexes = 1 SELECT * FROM model_usage WHERE tenant_id = 'demo' AND day >= '2026-11-11'"
    with clickhouse(world) as client:
        plan = "\n".join(row[0] for row in client.rows(sql, database=world.name))
    assert "occurred_range" in plan and "Granules: 0/" in plan.partition("occurred_range")[2]


def test_an_approval_without_an_id_is_found_by_its_call(new_analysed_space: Callable[[], Space]) -> None:
    """As GitLab tells approvals: no approval_id, no status."""
    space = new_analysed_space()
    call = {"session_id": "s", "tool_call_id": "c"}
    events = [
        analyst_world.event("approval.requested", 0, **call),
        analyst_world.event("approval.approved", 2, **call, approver_id="chi@example.com"),
    ]
    analyst_world.insert(space, analyst_world.batch(events))
    with analyst_world.analyst(space) as client:
        sql = "SELECT approval, approval_status, waited_seconds, approver_id FROM approvals"
        assert client.rows(sql, database=space.name) == [["s/c", "approved", 120, "chi@example.com"]]


def test_a_session_that_was_resumed_is_open_again(new_analysed_space: Callable[[], Space]) -> None:
    space = new_analysed_space()
    steps = ("session.started", "session.stopped", "session.resumed")
    events = [analyst_world.event(kind, minute, session_id="s") for minute, kind in enumerate(steps)]
    analyst_world.insert(space, analyst_world.batch(events))
    with analyst_world.analyst(space) as client:
        assert client.rows("SELECT outcome, ended_at FROM sessions", database=space.name) == [["open", None]]

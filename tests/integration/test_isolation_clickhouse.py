"""One tenant's analyst in ClickHouse against another tenant's rows, in over 200 generated queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import httpx
import pytest

from infra.stack.servers import analysts
from infra.stack.servers.clickhouse import ClickHouse
from tests import export_service, isolation, isolation_sql
from tests.isolation import OTHER, OWN, Watch, World
from tests.space import Space


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def space(new_analysed_space: Callable[[], Space], world: World) -> Space:
    made = new_analysed_space()
    made.provision()
    isolation.store(made, world)
    return made


def ask(http: httpx.Client, space: Space, watch: Watch, kind: str, sql: str, user: str) -> bool:
    """Whether it was answered."""
    key = {"X-ClickHouse-User": user, "X-ClickHouse-Key": space.stack.state.secrets[f"clickhouse_{user}"]}
    url = f"{space.env['AUDITWIRE_CLICKHOUSE_URL']}/?database={space.name}&param_tenant={OTHER}"
    answer = http.post(url, content=sql, headers=key)
    answered = answer.is_success and "DB::Exception" not in answer.text[-2000:]
    watch.look(kind, "answered" if answered else "refused", sql, answer.text + str(answer.headers))
    return answered


def everything(space: Space, world: World, watch: Watch, user: str, every: int = 1) -> dict[str, bool]:
    """All queries, or every so many-th; whether each was answered."""
    kinds = {"read": isolation_sql.reads(), "probe": isolation_sql.probes(), "elsewhere": isolation_sql.elsewhere()}
    queries = [(kind, sql) for kind, of in (kinds | {"by value": isolation_sql.by_value(world)}).items() for sql in of]
    with httpx.Client(timeout=60) as http:
        return {f"{kind}: {sql}": ask(http, space, watch, kind, sql, user) for kind, sql in queries[::every]}


def recorded(space: Space) -> int:
    """Queries of the tenant's analyst that the server wrote down as refused or failed."""
    clickhouse = cast(ClickHouse, space.stack.servers["clickhouse"])
    clickhouse.query("SYSTEM FLUSH LOGS query_log")
    own = "user = 'analyst_demo' AND exception_code != 0 AND current_database = "
    return int(clickhouse.query(f"SELECT count() FROM system.query_log WHERE {own}'{space.name}'"))


def test_no_query_shows_a_row_of_another_tenant(space: Space, world: World) -> None:
    watch = Watch(world.secrets())
    answered = everything(space, world, watch, "analyst_demo")
    print("\n" + watch.table())
    assert watch.leaks == []
    assert watch.total > 200
    assert [q for q, ok in answered.items() if q.startswith("probe") and not ok] == []
    assert [q for q, ok in answered.items() if q.startswith("elsewhere") and ok] == []
    of_reads = [ok for q, ok in answered.items() if q.startswith("read")]
    assert sum(of_reads) > len(of_reads) * 0.7, "most are valid queries that are answered with the own rows"
    refused = sum(not ok for ok in answered.values())
    assert recorded(space) == refused, "each refusal is in the server's query log"


def test_every_table_and_view_has_rows_of_both_tenants(space: Space) -> None:
    """Otherwise nothing would show because nothing is there."""
    for table in analysts.READS:
        with export_service.clickhouse(space, "analyst") as client:
            found = client.rows(f"SELECT DISTINCT tenant_id FROM {table} ORDER BY tenant_id", database=space.name)
        assert found == [[OTHER], [OWN]], table


def test_each_left_out_function_is_not_called() -> None:
    queries = [*isolation_sql.reads(), *isolation_sql.probes(), *isolation_sql.elsewhere(), *isolation_sql.by_value(World())]
    assert [q for q in queries for name in isolation_sql.LEFT_OUT if f"{name}(" in q] == []


def test_without_the_row_filter_the_same_queries_show_it(space: Space, world: World) -> None:
    """Negative control: the analyst of all tenants."""
    watch = Watch(world.secrets())
    answered = everything(space, world, watch, "analyst", every=5)
    assert len(watch.leaks) > 12
    probes = [ok for query, ok in answered.items() if query.startswith("probe")]
    assert probes and not any(probes)

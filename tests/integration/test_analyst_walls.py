"""What a tenant's analyst tries in vain: other tenants' rows, other tables, the server's own tables, more than the limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import httpx
import pytest

from connectors.clickhouse.client import Client
from infra.stack.servers import analysts
from infra.stack.servers.clickhouse import ClickHouse
from tests import analyst_world
from tests.analyst_world import MARK
from tests.sinks import clickhouse
from tests.space import Space

READING = [
    *(f"SELECT * FROM {name}" for name in analysts.READS),
    *(f"SELECT * FROM {name} WHERE tenant_id != 'demo'" for name in analysts.READS),
    *(f"SELECT DISTINCT tenant_id FROM {name}" for name in analysts.READS),
    "SELECT min(tenant_id), max(tenant_id), count() FROM events",
    "SELECT tenant_id FROM events WHERE 1 OR tenant_id = 'demo'",
    "SELECT tenant_id FROM events PREWHERE tenant_id != 'demo'",
    "SELECT * FROM events FINAL",
    "SELECT * FROM events SAMPLE 1",
    "SELECT * FROM merge(currentDatabase(), '.*')",
    "SELECT tenant_id FROM merge('.*', '^events$')",
    "SELECT * FROM view(SELECT * FROM events)",
    "SELECT a.* FROM events AS a RIGHT JOIN events AS b ON a.event_id = b.event_id",
    "SELECT * FROM (SELECT 1 AS x) AS one CROSS JOIN events",
    "WITH all AS (SELECT * FROM events) SELECT * FROM all UNION ALL SELECT * FROM all",
    "SELECT (SELECT groupArray(tenant_id) FROM events)",
    "SELECT groupUniqArray(agent_name), topK(100)(agent_name), any(message) FROM events",
    "SELECT tenant_id FROM events ORDER BY tenant_id LIMIT 1 BY tenant_id",
    "SELECT tenant_id, count() FROM events GROUP BY tenant_id WITH TOTALS",
    "SELECT tenant_id, count() FROM events GROUP BY tenant_id WITH ROLLUP",
    "SELECT kafka_topic_id, max(kafka_offset), sum(event_digest) FROM events GROUP BY ALL",
    "EXPLAIN SELECT * FROM events",
    "EXPLAIN SYNTAX SELECT * FROM tool_calls",
    "EXPLAIN QUERY TREE SELECT * FROM tool_calls",
    "EXPLAIN PIPELINE SELECT * FROM tool_calls",
    "EXPLAIN actions = 1, indexes = 1, projections = 1 SELECT * FROM tool_calls WHERE agent_name = 'x'",
    "EXPLAIN ESTIMATE SELECT * FROM events",
    "EXPLAIN TABLE OVERRIDE INTO events PARTITION BY 1",
    "DESCRIBE TABLE events",
    "SHOW CREATE TABLE events",
    "SHOW CREATE TABLE tool_calls",
    "SHOW GRANTS",
    "SHOW TABLES",
]
"""Answered or refused; either way without a word of another tenant."""

TELLING = [
    f"SELECT throwIf(agent_name = '{MARK} Deploy') FROM events",
    "SELECT throwIf(tenant_id = 'acme') FROM events",
    f"SELECT count() FROM events WHERE throwIf(startsWith(agent_name, '{MARK}'))",
    f"SELECT count() FROM tool_calls WHERE throwIf(startsWith(tool_name, '{MARK}'))",
    "SELECT intDiv(1, tenant_id != 'acme') FROM events",
    "SELECT sum(exp10(if(tenant_id = 'acme', 400, 0))) = inf FROM events HAVING throwIf(sum(tenant_id = 'acme') > 0)",
]
"""Fail as soon as a row of another tenant is looked at, whatever is shown of it."""

ERRORS = [
    "SELECT toInt64(agent_name) FROM events",
    "SELECT toDateTime(message) FROM events",
    "SELECT toUUID(tenant_id) FROM events",
    "SELECT CAST(agent_name AS Enum8('x' = 1)) FROM events",
    "SELECT JSONExtract(throwIf(1, toString(agent_name)), 'x') FROM events",
    "SELECT toDecimal32(tool_name, 2) FROM tool_calls",
    "SELECT accurateCast(session_id, 'UInt8') FROM sessions",
    "SELECT parseDateTime(policy_id, '%Y') FROM approvals",
]
"""Errors whose text quotes a value."""

REFUSED = [
    "SELECT * FROM fence",
    "SELECT * FROM migrations",
    "SELECT * FROM events_of(tenant = 'acme')",
    "SELECT * FROM events_of(tenant = 'demo')",
    "SELECT * FROM audit_elsewhere.events",
    "SELECT * FROM merge('audit_elsewhere', 'events')",
    "SELECT * FROM mergeTreeIndex(currentDatabase(), 'events')",
    "SELECT * FROM mergeTreeProjection(currentDatabase(), 'events', 'positions')",
    "SELECT * FROM mergeTreeAnalyzeIndexes(currentDatabase(), 'events')",
    "SELECT * FROM mergeTreeAnalyzeIndexes(currentDatabase(), 'events', tenant_id = 'acme')",
    "SELECT _part, _partition_id FROM events",
    "SELECT max(_part_offset) FROM events",
    "SELECT * FROM Python(x)",
    "SELECT * FROM loop(currentDatabase(), 'events') LIMIT 1",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "DESCRIBE TABLE url('http://127.0.0.1:1/', 'CSV')",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'a String')",
    "SELECT * FROM file('x.csv', 'CSV', 'a String')",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1', currentDatabase(), 'events')",
    "SELECT * FROM remoteSecure('127.0.0.1', currentDatabase(), 'events')",
    "SELECT * FROM cluster('default', currentDatabase(), 'events')",
    "SELECT * FROM clusterAllReplicas('default', currentDatabase(), 'events')",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM executable('x', 'CSV', 'a String')",
    "SELECT * FROM input('a String')",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))",
    "SELECT * FROM dictionary('x')",
    "SELECT dictGet('x', 'y', 1)",
    "SELECT joinGet('x', 'y', 1)",
    "SELECT catboostEvaluate('/x', 1)",
    "SELECT addressToLine(1)",
    "SELECT 1 INTO OUTFILE '/tmp/auditwire-outfile'",
    "INSERT INTO FUNCTION file('x.csv') SELECT 1",
    "INSERT INTO FUNCTION url('http://127.0.0.1:1/', 'CSV', 'a String') SELECT tenant_id FROM events",
    "INSERT INTO events (tenant_id) VALUES ('demo')",
    "INSERT INTO tool_calls (tenant_id) VALUES ('demo')",
    "ALTER TABLE events DELETE WHERE 1",
    "ALTER TABLE events UPDATE tenant_id = 'demo' WHERE 1",
    "DELETE FROM events WHERE 1",
    "TRUNCATE TABLE events",
    "OPTIMIZE TABLE events FINAL",
    "DROP TABLE events",
    "DROP VIEW tool_calls",
    "DROP DATABASE {database}",
    "RENAME TABLE events TO events_2",
    "CREATE OR REPLACE VIEW tool_calls DEFINER = admin SQL SECURITY DEFINER AS SELECT * FROM events",
    "CREATE VIEW mine AS SELECT * FROM events",
    "CREATE TABLE mine (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE mine (a Int8)",
    "CREATE FUNCTION mine AS x -> x",
    "CREATE DICTIONARY mine (a Int8) PRIMARY KEY a SOURCE(NULL()) LAYOUT(FLAT()) LIFETIME(0)",
    "CREATE USER mine",
    "CREATE ROW POLICY mine ON events USING 1 TO analyst_demo",
    "DROP ROW POLICY IF EXISTS analyst_demo ON events",
    "ALTER USER analyst_demo SETTINGS readonly = 0",
    "GRANT SELECT ON *.* TO analyst_demo",
    "EXECUTE AS analyst_acme SELECT 1",
    "SHOW USERS",
    "SHOW CREATE USER analyst_acme",
    "SHOW GRANTS FOR analyst_acme",
    "SHOW ROW POLICIES",
    "SHOW QUOTAS",
    "SHOW PROCESSLIST",
    "SHOW CREATE TABLE fence",
    "DESCRIBE TABLE migrations",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "SYSTEM RELOAD CONFIG",
    "SYSTEM FLUSH LOGS",
    "SYSTEM STOP MERGES events",
    "BACKUP DATABASE {database} TO Null",
    "SET readonly = 0",
    "SET max_execution_time = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS readonly = 2",
    "SELECT 1 SETTINGS additional_table_filters = {'events': '1'}",
    "SELECT demangle('x')",
    "SELECT 1 SETTINGS log_queries = 0",
    "SELECT 1 SETTINGS max_concurrent_queries_for_user = 0",
    *(f"SELECT 1 SETTINGS {name} = 0" for name in analysts.LIMITS if name != "max_threads"),
    *(f"SELECT 1 SETTINGS {name} = {limit + 1}" for name, limit in analysts.LIMITS.items()),
    "SELECT count() FROM numbers(1000000000000)",
    "SELECT * FROM numbers(200000)",
    "SELECT repeat('x', 1000000) FROM numbers(200) SETTINGS max_result_bytes = 1000",
    "SELECT groupArray(number) FROM numbers(500000000)",
    "SELECT sleepEachRow(3) FROM numbers(20)",
    "SELECT * FROM generateRandom('a String')",
]
"""Must be an error."""


HTTP = httpx.Client(timeout=60)  # one for all: each reads the certificates anew


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    HTTP.close()


@pytest.fixture(scope="module")
def world(new_analysed_space: Callable[[], Space]) -> Space:
    space = new_analysed_space()
    analyst_world.insert(space, analyst_world.batch(analyst_world.world()))
    with clickhouse(space, "ADMIN") as admin:
        admin.command("CREATE DATABASE IF NOT EXISTS audit_elsewhere")
        admin.command(
            "CREATE TABLE IF NOT EXISTS audit_elsewhere.events (tenant_id String) ENGINE = MergeTree ORDER BY tenant_id"
        )
        admin.command(
            f"INSERT INTO ledger_sequences (tenant_id, producer_id) VALUES ('demo', 'own'), ('acme', '{MARK}')",
            database=space.name,
        )
    return space


def _ask(space: Space, sql: str, user: str = "analyst_demo") -> httpx.Response:
    """The answer as it is, errors too."""
    key = {"X-ClickHouse-User": user, "X-ClickHouse-Key": space.stack.state.secrets[f"clickhouse_{user}"]}
    url = f"{space.env['AUDITWIRE_CLICKHOUSE_URL']}/?database={space.name}"
    return HTTP.post(url, content=sql.replace("{database}", space.name), headers=key)


@pytest.mark.parametrize("sql", READING + ERRORS)
def test_no_word_of_another_tenant_is_told(world: Space, sql: str) -> None:
    said = _ask(world, sql).text
    assert MARK not in said
    assert "acme" not in said.replace(MARK, "").replace("analyst_acme", "") or "acme" in sql


@pytest.mark.parametrize("sql", TELLING)
def test_no_row_of_another_tenant_is_looked_at(world: Space, sql: str) -> None:
    answer = _ask(world, sql)
    assert answer.is_success, answer.text
    assert not _ask(world, sql, "analyst").is_success, "negative control: who reads every tenant hits the row"


@pytest.mark.parametrize("sql", READING[: len(analysts.READS)])
def test_without_a_row_filter_the_other_tenant_shows(world: Space, sql: str) -> None:
    """Negative control of this whole file."""
    assert MARK in _ask(world, sql, "analyst").text


@pytest.mark.parametrize("sql", REFUSED)
def test_it_is_refused(world: Space, sql: str) -> None:
    answer = _ask(world, sql)
    assert not answer.is_success or "DB::Exception" in answer.text[-2000:], answer.text[:500]
    assert MARK not in answer.text


def test_the_servers_own_tables_tell_nothing_of_others(world: Space) -> None:
    """Each is refused, or tells neither another tenant's values nor other users, nor what they run."""
    with clickhouse(world, "ADMIN") as admin:
        tables = [row[0] for row in admin.rows("SELECT name FROM system.tables WHERE database = 'system'")]
    assert len(tables) > 100
    readable = {}
    for table in tables:
        answer = _ask(world, f"SELECT * FROM system.`{table}` LIMIT 20000 FORMAT TSV SETTINGS max_execution_time = 10")
        if answer.is_success:
            readable[table] = answer.text
    cast(ClickHouse, world.stack.servers["clickhouse"]).query("SYSTEM FLUSH LOGS query_log")
    assert readable.pop("user_query_log", None) is not None
    assert _ask(world, "SELECT DISTINCT user FROM system.user_query_log FORMAT TSV").text == "analyst_demo\n", (
        "what one asked oneself"
    )
    wrong = [
        t for t, text in readable.items() if any(word in text for word in (MARK, "analyst_acme", "'acme'", "audit_elsewhere"))
    ]
    assert wrong == []
    assert not {"processes", "query_log", "parts", "users", "row_policies", "errors", "text_log", "grants"} & set(readable)


def test_views_ask_with_the_rights_of_who_asks(world: Space) -> None:
    with clickhouse(world, "ADMIN") as admin:
        sql = "SELECT name FROM system.tables WHERE database = {d:String} AND create_table_query LIKE '%SQL SECURITY INVOKER%'"
        assert {row[0] for row in admin.rows(sql, {"d": world.name})} == set(analysts.VIEWS)


def test_a_view_with_the_rights_of_its_maker_would_tell(new_analysed_space: Callable[[], Space]) -> None:
    """Negative control: the same view without INVOKER."""
    space = new_analysed_space()
    analyst_world.insert(space, analyst_world.batch(analyst_world.world()))
    assert MARK not in _ask(space, "SELECT * FROM tool_calls").text
    with clickhouse(space, "ADMIN") as admin:
        sql = "CREATE OR REPLACE VIEW tool_calls DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT * FROM events"
        admin.command(sql, database=space.name)
    assert MARK in _ask(space, "SELECT * FROM tool_calls").text


@pytest.mark.parametrize("name", [*analysts.LIMITS])
def test_limits_can_be_lowered(world: Space, name: str) -> None:
    with analyst_world.analyst(world) as client:
        assert client.rows(
            f"SELECT getSetting('{name}') SETTINGS {name} = 1000" if name == "x" else f"SELECT getSetting('{name}')"
        )
        assert _lowered(client, name) == max(analysts.LIMITS[name] // 2, 1)


def _lowered(client: Client, name: str) -> int:
    lower = max(analysts.LIMITS[name] // 2, 1)
    (row,) = client.rows(f"SELECT toInt64(getSetting('{name}')) SETTINGS {name} = {lower}")
    return int(row[0])


VALUES = {"session_timezone": "'Europe/Berlin'", "date_time_output_format": "'iso'", "log_comment": "'mine'"}


@pytest.mark.parametrize("name", analysts.FREE)
def test_the_form_of_answers_is_free(world: Space, name: str) -> None:
    assert _ask(world, f"SELECT 1 SETTINGS {name} = {VALUES.get(name, '1')}").text.startswith("1\n")

"""Generated queries of tenant ``demo``'s analyst that look for rows of ``acme``; always the same ones.

Left out by name: the scalar function `file`, which on the local stack's embedded ClickHouse every user may call
(docs/operations.md says what follows from it).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from infra.stack.servers import analysts
from tests.isolation import OTHER, World

LEFT_OUT = ("file",)
CONDITIONS = (
    *(
        "1",
        "tenant_id != 'demo'",
        "tenant_id = 'acme'",
        "NOT (tenant_id = 'demo')",
        "tenant_id IN ('acme', 'demo')",
        "tenant_id LIKE '%'",
    ),
    *(
        "tenant_id = {tenant:String}",
        "lower(tenant_id) = 'acme'",
        "tenant_id > 'a'",
        "hasToken(tenant_id, 'acme') OR 1",
        "rand() >= 0",
    ),
)
SHAPES = (
    "SELECT * FROM {from_} WHERE {where}",
    "SELECT groupArray(tuple(*)) FROM (SELECT * FROM {from_} WHERE {where})",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM {from_}) WHERE {where})",
    "WITH x AS (SELECT * FROM {from_}) SELECT * FROM x WHERE {where} UNION ALL SELECT * FROM x",
    "WITH x AS (SELECT * FROM {from_}) SELECT * FROM x UNION DISTINCT SELECT * FROM x WHERE {where}",
    "SELECT * FROM {from_} WHERE {where} INTERSECT SELECT * FROM {from_}",
    "SELECT l.* FROM {from_} AS l FULL JOIN {from_} AS r USING (tenant_id) WHERE {where_l}",
    "SELECT r.* FROM {from_} AS l RIGHT JOIN {other} AS r ON l.tenant_id = r.tenant_id WHERE {where_r} LIMIT 500",
    "SELECT r.* FROM (SELECT 'acme' AS tenant_id) AS l LEFT JOIN {from_} AS r USING (tenant_id)",
    "SELECT r.* FROM (SELECT 1 AS one) AS l CROSS JOIN {from_} AS r WHERE {where_r}",
    "SELECT * FROM {from_} WHERE tenant_id IN (SELECT tenant_id FROM {other}) AND {where}",
    "SELECT * FROM {from_} AS o WHERE EXISTS (SELECT 1 FROM {other} WHERE {where})",
    "SELECT (SELECT groupArray(toString(tuple(*))) FROM {from_} WHERE {where}) AS everything",
    "SELECT arrayJoin(groupArray(toString(tuple(*)))) FROM {from_} WHERE {where}",
    "SELECT DISTINCT tenant_id FROM {from_} WHERE {where} ORDER BY tenant_id",
    "SELECT min(tenant_id), max(tenant_id), any(tenant_id), anyLast(tenant_id), uniqExact(tenant_id) FROM {from_} WHERE {where}",
    "SELECT * FROM view(SELECT * FROM {from_} WHERE {where})",
    "SELECT *, row_number() OVER (PARTITION BY tenant_id) AS n FROM {from_} WHERE {where}",
    "SELECT tenant_id, count() FROM {from_} WHERE {where} GROUP BY tenant_id WITH CUBE WITH TOTALS",
    "SELECT COLUMNS('.*') APPLY(toString) FROM {from_} WHERE {where}",
    "SELECT * FROM merge(currentDatabase(), '^{other}$') WHERE {where}",
    "EXPLAIN actions = 1, indexes = 1 SELECT * FROM {from_} WHERE {where}",
)
PROBES = (
    "SELECT throwIf(tenant_id != 'demo') FROM {from_}",
    "SELECT count() FROM {from_} WHERE throwIf(tenant_id = 'acme')",
    "SELECT intDiv(1, tenant_id != 'acme') FROM {from_}",
    "SELECT throwIf(max(tenant_id != 'demo')) FROM {from_}",
    "SELECT count() FROM {from_} HAVING throwIf(countIf(tenant_id = 'acme') > 0)",
    "SELECT throwIf(count() > 0) FROM {from_} WHERE tenant_id = 'acme'",
)
SETTINGS = (
    *("join_use_nulls = 1", "extremes = 1", "max_threads = 1", "session_timezone = 'Asia/Tokyo'", "max_result_rows = 1000"),
    *(
        "additional_table_filters = {'events': '1'}",
        "additional_result_filter = '1'",
        "readonly = 0",
        "allow_ddl = 1",
        "final = 1",
    ),
    *("apply_row_policy_after_final = 1", "optimize_move_to_prewhere = 0", "use_query_cache = 1", "enable_analyzer = 0"),
    *(
        "allow_introspection_functions = 1",
        "send_logs_level = 'trace'",
        "log_queries = 0",
        "parallel_replicas_only_with_analyzer = 0",
    ),
    *("SQL_x = 'acme'", "allow_experimental_analyzer = 0", "optimize_trivial_count_query = 1", "force_index_by_date = 0"),
)
ELSEWHERE = (
    *(
        "events_of(tenant = 'acme')",
        "fence",
        "migrations",
        "ledger",
        "ledger_ranges",
        "sequences_of(tenant = 'acme')",
        "stored_positions",
        "stored_parts",
        "system.query_log",
        "system.processes",
        "system.parts",
    ),
    *("mergeTreeIndex(currentDatabase(), 'ledger_sequences')", "mergeTreeAnalyzeIndexes(currentDatabase(), 'ledger_sequences')"),
    *("mergeTreeIndex(currentDatabase(), 'events')", "mergeTreeProjection(currentDatabase(), 'events', 'positions')"),
    *("mergeTreeAnalyzeIndexes(currentDatabase(), 'events')", "remote('127.0.0.1', currentDatabase(), 'events')"),
    *("loop(currentDatabase(), 'events')", "cluster('default', currentDatabase(), 'events')", "system.text_log", "system.users"),
    *("url('http://127.0.0.1:1/', 'CSV', 'a String')", "s3('http://127.0.0.1:1/b/k', 'CSV', 'a String')", "dictionary('events')"),
    *("postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')", "system.row_policies", "system.parts_columns", "system.part_log"),
)


def _filled(shape: str, table: str, chance: random.Random) -> str:
    where = chance.choice(CONDITIONS)
    fields = {"from_": table, "other": chance.choice(analysts.READS), "where": where}
    fields |= {f"where_{side}": where.replace("tenant_id", f"{side}.tenant_id") for side in "lr"}
    for name, value in fields.items():
        shape = shape.replace("{" + name + "}", value)
    return shape


def reads(seed: int = 11) -> Iterator[str]:
    """Queries in every shape over every table and view; settings that may or may not be set."""
    chance = random.Random(seed)
    for shape in SHAPES:
        for table in analysts.READS:
            yield _filled(shape, table, chance)
    for setting in SETTINGS:
        yield f"{_filled(chance.choice(SHAPES), 'events', chance)} SETTINGS {setting}"


def probes() -> Iterator[str]:
    """Queries that fail as soon as a row of another tenant is looked at, whatever they would show."""
    return (_filled(probe, table, random.Random(3)) for probe in PROBES for table in analysts.READS)


def elsewhere() -> Iterator[str]:
    """What is none of the analyst's business: must be an error."""
    for table in ELSEWHERE:
        yield f"SELECT * FROM {table} LIMIT 100"
        yield f"SELECT count() FROM (SELECT * FROM {table} LIMIT 100)"


def by_value(world: World) -> Iterator[str]:
    """Rows of one event that the attacker has heard of; nothing may come."""
    known = world.known
    for name in ("event_id", "actor_id", "session_id", "tool_name", "message", "prompt"):
        yield f"SELECT * FROM events WHERE {name} = '{known[name]}'"
        yield f"SELECT count() = 0 OR throwIf(1) FROM events WHERE startsWith({name}, '{known[name][:12]}')"
    yield f"SELECT * FROM events WHERE input_tokens = {known['input_tokens']}"
    yield f"SELECT toInt64(message), '{OTHER}' FROM events"

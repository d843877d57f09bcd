"""The table `events`, derived from the event schema: a ClickHouse type for every column, and the statement that makes the
table.

``python -m connectors.clickhouse.ddl`` prints ``migrations/0001_events.sql``. That file is frozen once it ran anywhere: a
column added to the schema later becomes a migration of its own (``ALTER TABLE … ADD COLUMN``), and a test compares all of
them with `columns`.
"""

from __future__ import annotations

import sys
from typing import Any

import schemas

# fmt: off
LOW_CARDINALITY = frozenset({
    "tenant_id", "event_type", "source", "source_event_type", "activity", "outcome", "actor_type", "agent_id",
    "agent_name", "agent_version", "agent_type", "flow_definition", "session_status", "entity_type", "target_type",
    "model_provider", "model_name", "tool_name", "tool_server", "tool_version", "tool_definition_digest",
    "tool_category", "decision", "policy_id", "approval_status", "error_type", "processed_retention_class",
    "processed_rules_revision", "processed_version", "processed_tool_risk", "processed_tenant_region",
    "processed_reference_revision", "audit_mode",
})
# fmt: on
"""Facts with few distinct values. Personal and content columns stay String: a mask, a token or a ciphertext must fit in."""

ADDED = {
    "kafka_topic_id": "LowCardinality(String)",
    "kafka_partition": "UInt16",
    "kafka_offset": "Int64",
    "kafka_timestamp": "DateTime64(3, 'UTC')",
    "event_digest": "UInt64",
}
"""What the store adds to an event: its position in the clean topic, the broker's append time, its digest."""

CHOOSE = "column {}: no ClickHouse type is chosen for Avro {}; choose one in connectors/clickhouse/ddl.py"
PLAIN = {"string": "String", "long": "Int64", "double": "Float64", "boolean": "Bool"}


def type_of(name: str, avro: Any) -> str:
    """ClickHouse type of an Avro type as the event schema uses it. Raises ValueError for one that it must not use."""
    if isinstance(avro, list):
        (inner,) = (branch for branch in avro if branch != "null")
        return f"Nullable({type_of(name, inner)})"
    if isinstance(avro, dict):
        return _complex(name, avro)
    if avro == "string" and name in LOW_CARDINALITY:
        return "LowCardinality(String)"
    if avro not in PLAIN:
        raise ValueError(CHOOSE.format(name, avro))
    return PLAIN[avro]


def _complex(name: str, avro: dict[str, Any]) -> str:
    if avro.get("logicalType") == "timestamp-micros":
        return "DateTime64(6, 'UTC')"
    if avro["type"] == "array":
        return f"Array({type_of('', avro['items'])})"
    if avro["type"] == "record":
        return "Tuple(" + ", ".join(f"{f['name']} {type_of('', f['type'])}" for f in avro["fields"]) + ")"
    raise ValueError(CHOOSE.format(name, avro["type"]))


def columns() -> dict[str, str]:
    """Column → ClickHouse type, the event's in schema order, then those the store adds."""
    return {**{f["name"]: type_of(f["name"], f["type"]) for f in schemas.event_schema()["fields"]}, **ADDED}


def create_events() -> str:
    """The first migration."""
    listed = ",\n".join(f"    {name} {kind}" for name, kind in columns().items())
    return f"{HEAD}\nCREATE TABLE IF NOT EXISTS {{namespace}}.events\n(\n{listed},\n{TAIL}"


HEAD = """\
-- Clean events, each once, never changed.
-- Printed by `python -m connectors.clickhouse.ddl`, then frozen: columns added to the schema later are later migrations."""

TAIL = """\
    INDEX occurred_range occurred_at TYPE minmax GRANULARITY 4,
    PROJECTION positions
    (
        SELECT kafka_topic_id, kafka_partition, kafka_offset, event_digest
        ORDER BY kafka_topic_id, kafka_partition, kafka_offset
    )
)
ENGINE = MergeTree
PARTITION BY (processed_retention_class, toYYYYMM(kafka_timestamp, 'UTC'))
ORDER BY (tenant_id, toStartOfHour(occurred_at), event_type)
SETTINGS min_bytes_for_wide_part = 1073741824, non_replicated_deduplication_window = 10000;
"""

if __name__ == "__main__":
    sys.stdout.write(create_events())

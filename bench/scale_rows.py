"""Rows for `bench.scale`, made inside ClickHouse: a table that grows day by day, as it does in service.

2^20 events are a day, from 1 May 2026 (UTC) on: about 12 a second, so 200 million are 191 days. 64 producers number their
events; 20 tenants (one has 30 %, one 20 % of the events), sessions of 33 events, four partitions of Kafka in order of the
numbers, two retention classes; and the ledger's rows to them, 1,024 events a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.clickhouse.client import Client

DAY = 1 << 20
PARTITIONS, PRODUCERS = 4, 64
RECORD = 1_024
FIRST_DAY = datetime(2026, 5, 1, tzinfo=UTC)
INSERT_ROWS = 1 << 19
AT = (
    f"toDateTime64('2026-05-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(({{}}) * {86_400_000_000 >> 13}, {DAY >> 13}))"
)

TENANT = "multiIf(p < 19, 'demo', p < 32, 'acme', concat('tenant-', leftPad(toString((p - 32) % 18), 2, '0')))"
EVENT_TYPE = """multiIf(k < 3, 'session.started', k >= 97, if(h % 50 = 0, 'session.failed', 'session.ended'),
    k % 25 = 24, 'auditwire.producer.heartbeat', d < 30, 'model.requested', d < 60, 'model.responded', d < 80, 'tool.invoked',
    d < 95, 'tool.responded', d = 95, 'tool.denied', d = 96, 'tool.failed', d = 97, 'approval.requested', d = 98,
    'approval.approved', 'tool.retried')"""
# n: number of the event; p: its producer; k: its place among the 100 that its producer sends while three sessions are open.
EVENTS = f"""
    INSERT INTO events (event_id, tenant_id, event_type, occurred_at, source, activity, outcome, message, actor_type,
        actor_id, human_principal_id, delegation_chain, agent_id, agent_name, agent_version, session_id,
        session_status, producer_id, producer_epoch, sequence, target_type, target_id, model_provider, model_name, input_tokens,
        output_tokens, cost_usd, prompt, tool_name, tool_server, tool_category, tool_call_id, tool_args, tool_result,
        duration_ms, approval_id, approval_status, attributes, processed_ingested_at, processed_raw_partition,
        processed_raw_offset, processed_retention_class, processed_redacted_fields, processed_rules_revision,
        processed_version, processed_tool_risk, processed_owners, processed_flags, audit_mode, kafka_topic_id,
        kafka_partition, kafka_offset, kafka_timestamp, event_digest)
    WITH number + {{first:UInt64}} AS n, sipHash64(n) AS h, h % 100 AS d, intDiv(h, 1000) % 40 AS t,
        n % {PRODUCERS} AS p, intDiv(n, {PRODUCERS}) AS sequence_, sequence_ % 100 AS k,
        sipHash128(p, intDiv(sequence_, 100), k % 3) AS session, sipHash64(session) AS g,
        {EVENT_TYPE} AS type_, startsWith(type_, 'tool.') AS tool, startsWith(type_, 'model.') AS model,
        startsWith(type_, 'approval.') AS approval, {AT.format("n")} AS at
    SELECT toString(reinterpretAsUUID(sipHash128(n))), {TENANT} AS tenant, type_, at, 'assistant',
        if(tool, ['read', 'update', 'execute', 'delete'][1 + t % 4], ''),
        multiIf(type_ = 'tool.denied', 'denied', type_ IN ('tool.failed', 'session.failed'), 'failure', 'success'),
        if(model OR tool, '', concat('step ', toString(h % 500), ' of the plan')), 'agent',
        concat('agent-', toString(g % 50)), concat('user-', toString(g % 3000), '@example.com'),
        if(d = 7, [concat('user-', toString(g % 3000)), 'planner', concat('agent-', toString(g % 50))], []),
        concat('agent-', toString(g % 50)),
        concat('helper ', toString(g % 50)), concat('1.', toString(g % 9), '.0'), toString(reinterpretAsUUID(session)),
        if(k >= 97, if(h % 50 = 0, 'failed', 'finished'), ''), concat('pod-', toString(p)), 1, sequence_,
        if(tool, 'table', ''), if(tool, concat('res/', toString(h % 100000), if(h % 90 = 0, '/production', '')), ''),
        if(model, 'anthropic', ''), if(model, ['claude-sonnet-4', 'gpt-5-mini', 'llama-4-70b'][1 + g % 3], ''),
        if(model, h % 8000, NULL), if(model, h % 2000, NULL), if(type_ = 'model.responded', (h % 20000) / 1000000, NULL),
        if(model, concat('please review change ', toString(h % 100000), ' and list what is open'), ''),
        if(tool OR approval, concat('tool_', toString(t)), ''), if(tool OR approval, concat('server-', toString(t % 8)), ''),
        if(tool, ['read', 'write', 'delete'][1 + t % 3], ''), if(tool OR approval, concat('call_', toString(h % 1000000007)), ''),
        if(tool, concat('{{"path": "src/module_', toString(h % 5000), '.py", "line": ', toString(h % 400), '}}'), ''),
        if(type_ = 'tool.responded', concat('{{"rows": ', toString(h % 500), ', "next": "page-', toString(h % 90000), '"}}'), ''),
        if(tool OR model, (h % 300000) / 100, NULL), if(approval, toString(intDiv(sequence_, 100) * {PRODUCERS} + p), ''),
        if(type_ = 'approval.approved', 'approved', ''), [('env', 'prod'), ('team', concat('team-', toString(g % 40)))],
        at + toIntervalMillisecond(900), n % {PARTITIONS}, intDiv(n, {PARTITIONS}),
        if(p % 10 = 9, 'extended', 'standard'), if(d % 10 = 3, ['tool_args'], []), 'rules-1', '1',
        if(tool, ['low', 'medium', 'high', 'critical'][1 + t % 4], ''),
        [concat('tool:team-', toString(t % 9)), concat('agent:team-', toString(g % 9))],
        if(g % 200 = 0, ['agent_version_unknown'], []), 'spooled', {{topic_id:String}}, n % {PARTITIONS}, intDiv(n, {PARTITIONS}),
        at + toIntervalMillisecond(1200), h
    FROM numbers({{rows:UInt64}})"""
LEDGER = f"""
    INSERT INTO ledger (kafka_topic_id, kafka_partition, kafka_offset, kafka_timestamp, raw_topic, raw_partition, start_offset,
        end_offset, read, clean, max_timestamp)
    WITH number + {{first:UInt64}} AS n, intDiv(n, {PARTITIONS}) AS record,
        {AT.format(f"(record + 1) * {RECORD * PARTITIONS}")} AS at
    SELECT {{topic_id:String}}, n % {PARTITIONS}, record, at + toIntervalMillisecond(1200), 'raw', n % {PARTITIONS},
        record * {RECORD}, (record + 1) * {RECORD}, {RECORD}, {RECORD}, at + toIntervalMillisecond(900)
    FROM numbers({{rows:UInt64}})"""
NUMBERED = RECORD * PARTITIONS // PRODUCERS
SEQUENCES = f"""
    INSERT INTO ledger_sequences (tenant_id, producer_id, producer_epoch, kind, first, last, kafka_topic_id, kafka_partition,
        kafka_offset, kafka_timestamp)
    WITH number + {{first:UInt64}} AS n, n % {PRODUCERS} AS p, intDiv(n, {PRODUCERS}) AS record
    SELECT {TENANT}, concat('pod-', toString(p)), 1, 'stored', record * {NUMBERED}, record * {NUMBERED} + {NUMBERED - 1},
        {{topic_id:String}}, p % {PARTITIONS}, record, {AT.format(f"(record + 1) * {RECORD * PARTITIONS}")}
    FROM numbers({{rows:UInt64}})"""
WRITE: dict[str, str | int] = {
    "max_threads": 2,
    "max_insert_threads": 1,
    "min_insert_block_size_rows": INSERT_ROWS,
    "min_insert_block_size_bytes": 0,
    "max_memory_usage": 1_600_000_000,
    "max_execution_time": 600,
    "parallel_distributed_insert_select": 0,
}


@dataclass(frozen=True)
class Made:
    """How far the tables are filled. ``topic_id``, ``ledger_id``: of the topics that the rows say they come from."""

    days: int
    topic_id: str
    ledger_id: str

    @property
    def rows(self) -> int:
        return self.days * DAY

    @property
    def until(self) -> datetime:
        """End of the last day, UTC."""
        return FIRST_DAY + timedelta(days=self.days)

    @property
    def ends(self) -> dict[int, int]:
        """Partition → offset behind its last event; the same in raw and clean topic."""
        return dict.fromkeys(range(PARTITIONS), self.rows // PARTITIONS)

    @property
    def ledger_ends(self) -> dict[int, int]:
        """Partition → offset behind its last ledger record."""
        return dict.fromkeys(range(PARTITIONS), self.rows // PARTITIONS // RECORD)


def add_day(client: Client, database: str, made: Made) -> Made:
    """One more day of events and ledger, in bounded memory. Raises ClickHouseError."""
    rows = ((LEDGER, RECORD, made.ledger_id), (SEQUENCES, NUMBERED, made.ledger_id), (EVENTS, 1, made.topic_id))
    for sql, of, topic_id in rows:
        values: dict[str, str | int] = {"first": made.rows // of, "rows": DAY // of, "topic_id": topic_id}
        client.command(sql, values, database=database, **WRITE)
    return Made(made.days + 1, made.topic_id, made.ledger_id)


def days_stored(client: Client, database: str) -> int:
    """Whole days that are there. Raises RuntimeError where a day is there in part: begin with a new folder."""
    rows = int(client.rows("SELECT count() FROM events", database=database)[0][0])
    if rows % DAY:
        raise RuntimeError(f"{rows:,} rows are stored, the last day was cut off: delete the folder and begin again")
    return rows // DAY

"""A small known world for what analysts ask: two tenants' sessions in ClickHouse, written as the sink writes them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from connectors import avro
from connectors.clickhouse import migrations, store
from connectors.clickhouse.client import Client
from connectors.ranges import Rows
from tests.sinks import clickhouse
from tests.space import Space

MORNING = datetime(2026, 11, 10, 9, 0, tzinfo=UTC)
EPOCH = 1_794_000_000_000_000
MARK = "only-acme"
"""Is part of every text of tenant acme: tenant demo's analyst must never see it."""

Fields = dict[str, Any]


def event(event_type: str, minute: float, **fields: Any) -> Fields:
    """An event of tenant demo, so many minutes after `MORNING`, stored a second after it happened."""
    at = MORNING + timedelta(minutes=minute)
    common = {"tenant_id": "demo", "event_type": event_type, "occurred_at": at, "source": "platform", "outcome": "success"}
    stored = {"processed_ingested_at": at + timedelta(seconds=1), "processed_retention_class": "standard"}
    return {**common, **stored, **fields}


def batch(events: Sequence[Fields]) -> pa.RecordBatch:
    """Events as columns of the newest schema; what is not given has the schema's default."""
    given = [{"event_id": str(uuid.UUID(int=n + 1, version=4)), **e} for n, e in enumerate(events)]
    names = {name for e in given for name in e}
    schema = avro.event_arrow_schema()
    columns = {f.name: pa.array([e.get(f.name, _default(f)) for e in given], f.type) for f in schema if f.name in names}
    return avro.conform(pa.RecordBatch.from_pydict(columns))


def _default(field: pa.Field[Any]) -> Any:
    if field.nullable:
        return None
    return [] if pa.types.is_list(field.type) else False if pa.types.is_boolean(field.type) else ""


def insert(space: Space, events: pa.RecordBatch, first: int = 0) -> Rows:
    """Make the tables and put the events there at offsets from ``first`` on; returns them with their positions."""
    count = events.num_rows
    offsets, times = np.arange(first, first + count, dtype=np.int64), np.full(count, 1_793_500_000_000, np.int64)
    rows = Rows(events, offsets, times, avro.digests(avro.encode(events)))
    with clickhouse(space, "ADMIN") as admin, clickhouse(space, "CLICKHOUSE_SINK") as sink:
        migrations.apply(admin, space.name)
        one = store.one_batch([rows], "topic", 0)
        sink.insert(store.insert_sql(fence=False), [one], database=space.name)
    return rows


@contextmanager
def analyst(space: Space, user: str = "analyst_demo") -> Iterator[Client]:
    """A client as one of the stack's analysts."""
    client = Client(space.env["AUDITWIRE_CLICKHOUSE_URL"], user, space.stack.state.secrets[f"clickhouse_{user}"])
    yield client
    client.close()


def world() -> list[Fields]:
    """Everything that happens; the sample queries' results are known by reading this."""
    demo = [*_deploy(), *_triage(), *_support(), *_others()]
    return [*demo, *(_of_acme(e) for e in demo)]


def _of_acme(e: Mapping[str, Any]) -> Fields:
    """The same again in another tenant, each text marked."""
    kept = ("event_type", "outcome", "activity", "tool_category", "decision", "approval_status", "session_status")
    marked = {n: f"{MARK} {v}" for n, v in e.items() if isinstance(v, str) and n not in kept and not n.startswith("processed_")}
    return {**e, **marked, "tenant_id": "acme"}


DEPLOY = {
    "session_id": "s-deploy",
    "agent_id": "agent-deploy",
    "agent_name": "Deploy",
    "agent_version": "2.0",
    "actor_type": "agent",
    "actor_id": "agent-deploy",
    "human_principal_id": "ana@example.com",
    "delegation_chain": ["human:ana@example.com", "agent:agent-lead", "agent:agent-deploy"],
    "producer_id": "platform/1",
    "producer_epoch": EPOCH,
}
RELEASE = {
    "tool_name": "release",
    "tool_server": "deploy-mcp",
    "tool_category": "write",
    "target_id": "prod-eu",
    "processed_tool_risk": "critical",
    "processed_owners": ["tool:team-release", "agent:team-platform"],
}


def _deploy() -> Iterator[Fields]:
    """Two releases to production, the first approved after 45 minutes, the second by nobody; one answer is missing."""
    approval = {"approval_id": "a-1", "tool_call_id": "c-1", "policy_id": "four-eyes"}
    owned = {**DEPLOY, "processed_owners": ["agent:team-platform"]}
    model = {**owned, "model_provider": "anthropic", "model_name": "claude"}
    yield event("session.started", 0, **owned, sequence=0, session_status="running")
    yield event("model.requested", 1, **model, sequence=1, input_tokens=100)
    answered = {"input_tokens": 100, "output_tokens": 20, "cost_usd": 0.25, "duration_ms": 900.0}
    yield event("model.responded", 2, **model, sequence=2, **answered)
    yield event("approval.requested", 3, **DEPLOY, **RELEASE, **approval, sequence=3, approval_status="requested")
    decided = {"approval_status": "approved", "approver_id": "chi@example.com"}
    yield event("approval.approved", 48, **DEPLOY, **RELEASE, **approval, **decided, sequence=4)
    yield event("tool.invoked", 49, **DEPLOY, **RELEASE, sequence=5, tool_call_id="c-1", approval_id="a-1")
    yield event("tool.invoked", 52, **DEPLOY, **RELEASE, sequence=8, tool_call_id="c-2")
    yield event("session.ended", 60, **owned, sequence=9, session_status="finished")


TRIAGE = {
    "session_id": "s-triage",
    "agent_id": "agent-triage",
    "agent_name": "Triage",
    "agent_version": "1.1",
    "actor_type": "agent",
    "actor_id": "agent-triage",
    "human_principal_id": "bo@example.com",
    "delegation_chain": ["human:bo@example.com", "agent:agent-triage"],
    "processed_flags": ["agent_version_retired"],
}
SECRET = {"tool_name": "read_secret", "tool_server": "vault-mcp", "tool_category": "read", "target_id": "db/password"}
COMMENT = {"tool_name": "comment", "tool_server": "gitlab-mcp", "tool_version": "3", "tool_category": "write"}


def _triage() -> Iterator[Fields]:
    """A secret denied and read four minutes later; a tool with a changed definition; the session fails."""
    high = {**SECRET, "processed_tool_risk": "high"}
    flags = ["agent_version_retired", "tool_definition_differs=sha256:good"]
    changed = {**TRIAGE, "processed_flags": flags, "processed_owners": ["tool:team-forge"]}
    error = {"error_type": "Timeout", "outcome": "failure"}
    yield event("session.started", 100, **TRIAGE, session_status="running")
    denied = {"outcome": "denied", "decision": "deny", "policy_id": "no-secrets"}
    yield event("tool.denied", 101, **{**TRIAGE, **high, **denied, "tool_call_id": "c-3"})
    yield event("tool.invoked", 105, **TRIAGE, **high, tool_call_id="c-4")
    redacted = {"processed_redacted_fields": ["tool_args"], "tool_args": "[REDACTED:gitlab_token]"}
    yield event("tool.invoked", 106, **changed, **COMMENT, **redacted, tool_call_id="c-5", tool_definition_digest="sha256:other")
    yield event("tool.failed", 107, **{**TRIAGE, **COMMENT, **error, "tool_call_id": "c-5"})
    yield event("session.failed", 110, **{**TRIAGE, **error}, session_status="failed")


def _support() -> Iterator[Fields]:
    """An agent nobody registered: a stopped session, a pending approval, a model without cost, an event five hours late."""
    support = {
        "session_id": "s-support",
        "agent_id": "agent-x",
        "agent_name": "Support",
        "agent_version": "9",
        "human_principal_id": "chi@example.com",
        "processed_flags": ["agent_unknown"],
    }
    late = {"processed_ingested_at": MORNING + timedelta(minutes=200 + 300)}
    answered = {"model_provider": "mistral", "model_name": "large", "input_tokens": 10, "output_tokens": 5}
    yield event("session.started", 200, **{**support, **late})
    yield event("model.responded", 201, **support, **answered)
    yield event("approval.requested", 202, **support, tool_name="refund", approval_id="a-2", approval_status="requested")
    yield event("session.stopped", 203, **support, session_status="stopped")


def _others() -> Iterator[Fields]:
    """A call a month before, and who read the trail."""
    before = -60 * 24 * 30
    yield event("tool.invoked", before, **{**TRIAGE, **SECRET, "session_id": "s-old", "processed_flags": []}, tool_call_id="c-0")
    reader = {"actor_type": "human", "actor_id": "dee@example.com", "source": "auditwire-export"}
    yield event("export.requested", 300, **reader, target_type="extract", target_id="x-1")
    yield event("export.delivered", 301, **reader, target_type="extract", target_id="x-1")
    yield event("export.refused", 302, **{**reader, "outcome": "denied"})

"""What the page has to show: events of two tenants whose numbers SQL knows, some with values that want to be markup."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from connectors import avro
from tests import export_service
from tests.space import Space

DAY = datetime(2026, 11, 2, tzinfo=UTC)
EVENTS, RECENT = 600, 40
TYPES = ("tool.invoked", "llm.requested", "llm.responded", "tool.denied", "session.started", "session.ended", "policy.evaluated")
OUTCOMES = ("success", "success", "success", "denied", "failure", "")
HOSTILE = {
    "event_type": "<img src=x onerror=owned=1>",
    "tool_name": "\"><script>owned=1</script><b onmouseover='owned=1'>",
    "actor_id": "javascript:owned=1//${owned=1}{{owned=1}}",
    "actor_name": "</td></table><h1>Owned</h1><iframe src=javascript:owned=1>",
    "agent_name": "\u202eevil\u202c &lt;script&gt;owned=1&lt;/script&gt;",
    "message": "<svg/onload=owned=1>",
    "prompt": "<style>*{display:none}</style><base href=//example.com><form action=//example.com><input name=token>",
    "session_id": "x" * 3000,
}
SECRET = "only-acme-may-see-this"


def provision(space: Space) -> None:
    """Two tenants' events in the stores, and principals for both."""
    space.provision()
    now = datetime.fromtimestamp(int(time.time()), UTC)
    rows = [_event(i, DAY + timedelta(seconds=i * 86_400 / EVENTS)) for i in range(EVENTS)]
    rows += [_event(i, now - timedelta(minutes=30 * (i + 1))) for i in range(RECENT)]
    rows += [_event(i, DAY + timedelta(hours=12, seconds=i)) | HOSTILE for i in range(3)]
    rows += [_event(i, DAY + timedelta(hours=i)) | {"tenant_id": "acme", "actor_id": SECRET} for i in range(8)]
    export_service.store(space, batch(rows), [i % 4 for i in range(len(rows))], [i // 4 for i in range(len(rows))])
    export_service.mark(space, dict.fromkeys(range(4), len(rows)))
    export_service.write_principals(space.folder / "export-principals.yaml")


def _event(number: int, at: datetime) -> dict[str, Any]:
    return {
        "event_id": str(uuid.uuid4()),
        "tenant_id": "demo",
        "event_type": TYPES[number % 11 % len(TYPES)],
        "outcome": OUTCOMES[number % 13 % len(OUTCOMES)],
        "occurred_at": at,
        "processed_ingested_at": at + timedelta(seconds=2),
        "source": "test",
        "actor_type": "agent",
        "actor_id": f"agent-{number % 5}",
        "actor_name": "Invoice agent" if number % 5 else "",
        "human_principal_id": "olga@example.com",
        "agent_id": f"agent-{number % 5}",
        "tool_name": ("search", "send_mail", "")[number % 3],
        "delegation_chain": ["olga@example.com", f"agent-{number % 5}"],
        "processed_retention_class": "standard",
    }


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Events of the schema with these values; everything else is empty."""
    schema = avro.event_arrow_schema()
    return pa.RecordBatch.from_arrays(
        [pa.array([row.get(f.name, _empty(f)) for row in rows], f.type) for f in schema], schema=schema
    )


def _empty(field: pa.Field[Any]) -> Any:
    if field.nullable and not pa.types.is_list(field.type):
        return None
    if pa.types.is_list(field.type):
        return []
    return False if pa.types.is_boolean(field.type) else ""


def counted(space: Space, by: str, where: str = "1") -> Mapping[str, int]:
    """Events of the day by a column's value, as SQL counts them."""
    with export_service.clickhouse(space) as client:
        rows = client.rows(
            f"SELECT {by}, count() FROM {space.name}.events WHERE tenant_id = 'demo' AND occurred_at >= '2026-11-02'"
            f" AND occurred_at < '2026-11-03' AND {where} GROUP BY 1"
        )
    return {str(value): int(count) for value, count in rows}

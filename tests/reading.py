"""Stored events and questions about them, for the tests of the reading API."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx

from connectors import avro
from tests import export_service, processing
from tests.space import Space

START = 1_793_577_600_000_000  # 2026-11-02T00:00:00Z
DAY = {"tenant": "demo", "from": "2026-11-02T00:00:00Z", "to": "2026-11-03T00:00:00Z"}
TYPES = ("tool.invoked", "tool.denied", "llm.requested")
_IDS = uuid.UUID("8f0f1a52-3ac5-4b9d-9a43-6a3c8e6d2f11")


def row(number: int, tenant: str = "demo", spread: int = 7_000_000, **more: Any) -> dict[str, Any]:
    """The event of that number: each third shares its time with its neighbours; ingested a minute after it happened."""
    at = START + number // 3 * 3 * spread
    return {
        "event_id": str(uuid.uuid5(_IDS, f"{tenant}/{number}")),
        "tenant_id": tenant,
        "event_type": TYPES[number % len(TYPES)],
        "occurred_at": at,
        "outcome": ("success", "denied")[number % 2],
        "actor_id": f"user-{number % 10}",
        "input_tokens": number if number % 2 else None,
        "tools_offered": ["a", f"t{number % 4}"],
        "message": f'line\n"{number}" ä🙂',
        "processed_identity_conflict": False,
        "processed_ingested_at": at + 60_000_000,
        "processed_raw_partition": number % 4,
        "processed_raw_offset": number // 4,
        "processed_retention_class": "standard",
        **more,
    }


def store(space: Space, rows: list[dict[str, Any]], first: int = 0) -> None:
    """Rows into ClickHouse as the sink would, over four partitions, numbered from ``first`` on; the marks do not move."""
    numbers = range(first, first + len(rows))
    batch = avro.conform(processing.batch(rows))
    export_service.store(space, batch, [n % 4 for n in numbers], [n // 4 for n in numbers])


def mark(space: Space, rows: int) -> None:
    """The sink has proven the first ``rows`` numbers."""
    export_service.mark(space, {p: (rows - p + 3) // 4 for p in range(4)})


def get(client: httpx.Client, path: str = "/v1/events", **params: Any) -> dict[str, Any]:
    """A question about the day."""
    answer = client.get(path, params={**DAY, **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def pages(client: httpx.Client, **params: Any) -> Iterator[dict[str, Any]]:
    """Every page of a question."""
    cursor: dict[str, str] = {}
    while True:
        page = get(client, **params, **cursor)
        yield page
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def ids(client: httpx.Client, **params: Any) -> list[str]:
    """event_id of all pages, in the order they came."""
    return [event["event_id"] for page in pages(client, columns="event_id", **params) for event in page["events"]]

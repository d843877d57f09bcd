"""Requests and records that are wrong: what the receiver, the export service and the processor say, running on real servers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer

import schemas
from auditwire import AuditEvent, EventTooLargeError
from auditwire.testing import Recorded
from connectors import avro
from connectors.kafka import producer_config
from connectors.registry import SchemaRegistry
from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT
from pipeline.chain import REASONS
from tests.export_service import DAY, TOKENS, Running, write_principals
from tests.integration.test_ingest import TOKEN, running
from tests.processing import Worker, bodies, cluster, event_frame, rows
from tests.space import Space
from tests.waiting import until

EVENT = {"event_type": "tool.invoked", "occurred_at": "2026-11-22T10:00:00Z"}


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    return made


@pytest.fixture(scope="module")
def export(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    principals = tmp_path_factory.mktemp("export") / "principals.yaml"
    write_principals(principals)
    with Running(space, space.part_env("export", EXPORT_PRINCIPALS_FILE=principals)) as service, service.client() as client:
        yield client


def test_the_receivers_refusals(space: Space, tmp_path: Path) -> None:
    with running(space, tmp_path, INGEST_MAX_BODY_BYTES=2000) as part:

        def said(body: Any, token: str = TOKEN) -> tuple[int, str]:
            answer = httpx.post(f"{part.url}/v1/events", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30)
            return answer.status_code, f"{answer.json()['error']} {answer.json()['what_to_do']}"

        status, text = said(EVENT, token="hunter2")
        assert status == 401
        assert "The token is missing or not known." in text
        assert "`auditwired token new --tenant T --source S`" in text
        assert "hunter2" not in text
        status, text = said({**EVENT, "prompt": "private " * 400})
        assert status == 413
        assert "The body is larger than 2000 bytes. Send fewer events in one request, or cut long texts" in text
        status, text = said({**EVENT, "tool_nam": "private"})
        assert status == 422
        assert "tool_nam is no" in text
        assert "tool_name" in text
        assert "private" not in text
        status, text = said({**EVENT, "input_tokens": "private"})
        assert status == 422
        assert "input_tokens must be a whole number of at most 64 bits" in text


REQUESTS = [
    ({"from": "2026-12-02T00:00:00Z"}, 422, "`from` is not before `to`"),
    ({"to": "9999-12-31T00:00:00Z"}, 422, "1970 to 2200"),
    ({"from": "yesterday"}, 422, "from: Input should be a valid datetime"),
    ({"columns": ["tool_nmae"]}, 422, "There is no column 'tool_nmae'. Did you mean tool_name?"),
    ({"filters": {"actorid": "private"}}, 422, "There is no column 'actorid'. Did you mean actor_id?"),
    ({"tenant": "acme"}, 403, "The token has no right to this tenant. Ask for a tenant of yours, or have an operator add it"),
]


@pytest.mark.parametrize(("change", "status", "says"), REQUESTS, ids=[str(r[2])[:30] for r in REQUESTS])
def test_the_export_services_refusals(export: httpx.Client, change: dict[str, Any], status: int, says: str) -> None:
    answer = export.post("/v1/extracts", json={**DAY, **change})
    text = f"{answer.json()['error']} {answer.json()['what_to_do']}"
    assert answer.status_code == status, text
    assert says in text
    assert "private" not in text


def test_the_export_service_and_a_wrong_token(export: httpx.Client) -> None:
    answer = httpx.post(f"{export.base_url}/v1/extracts", json=DAY, headers={"Authorization": "Bearer hunter2"}, timeout=30)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    text = f"{answer.json()['error']} {answer.json()['what_to_do']}"
    assert "token" in text and "auditwired token new" in text
    assert "hunter2" not in text
    assert TOKENS["olga@example.com"] not in text


def test_records_that_the_processor_cannot_take(space: Space) -> None:
    """Wrong Avro, unknown id, too large: in quarantine with a sentence; a newer schema: the partition waits and says so."""
    head, good = event_frame(space), bodies(rows(2))
    large = head + bodies(rows(1, 5, tools_offered=["x" * 60_000] * 50))[0]
    bad = [b"junk", head + b"\xff\xff", avro.frame(2_000_000_000) + good[0], large]
    producer = Producer(producer_config(cluster(space, "admin"), message_max_bytes=50_000_000))
    for value in (*bad, _newer_frame(space) + good[1] + b"\0"):
        producer.produce(f"{space.name}.raw", value, partition=0)
    assert producer.flush(30) == 0
    worker = Worker(space, "plain", PROCESSOR_LINGER_MS=5)
    try:
        until(lambda: "stopped" in worker.text(), 90, lambda: worker.text()[-3000:])
        health = httpx.get(f"http://{worker.admin}/healthz", timeout=10)
    finally:
        worker.kill()
    assert health.status_code == 503
    for text in (health.json()["reason"], worker.text()):
        assert "has fields that this release does not know (from_the_future). Upgrade the processor; the partition waits" in text
    listed = _quarantined(space)
    assert [record["reason"] for record in listed] == ["bad_frame", "bad_avro", "unknown_schema", "too_large"]
    assert [record["detail"] for record in listed] == [REASONS[record["reason"]] for record in listed]
    assert all(detail.endswith(".") and (";" in detail) for detail in (REASONS[r["reason"]] for r in listed)), "cause; remedy"


def _newer_frame(space: Space) -> bytes:
    newer = json.loads(schemas.schema_text("audit_event"))
    newer["fields"].append({"name": "from_the_future", "type": "string", "default": "", "doc": "New.", "class": "fact"})
    registry = SchemaRegistry(space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
    try:
        return avro.frame(registry.register(f"{space.name}.raw-value", json.dumps(newer)))
    finally:
        registry.close()


def _quarantined(space: Space) -> list[dict[str, Any]]:
    """What `auditwired quarantine list --json` prints."""
    command = [sys.executable, "-m", "pipeline", "quarantine", "list", "--json"]
    env = {**base_environment(), **space.env}
    done = subprocess.run(command, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_event_that_the_sdk_cannot_take() -> None:
    recorded = Recorded()
    facts = (
        "source",
        "actor_id",
        "agent_id",
        "agent_name",
        "session_id",
        "flow_definition",
        "tool_name",
        "policy_id",
        "entity_path",
    )
    event = AuditEvent(event_type="x")
    for name in facts:
        setattr(event, name, "private " * 8000)
    with pytest.raises(
        EventTooLargeError, match="larger than 524288 bytes even without its content: shorten its lists"
    ) as caught:
        recorded.client.record(event)
    assert "private" not in str(caught.value)
    assert recorded.types() == []

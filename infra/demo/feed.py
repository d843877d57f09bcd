"""Input of the demo: reference data, two tenants' agents through the SDK, GitLab's webhooks, a retry and a broken body."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from auditwire import AuditClient, AuditwireError
from infra.demo.platform import sessions
from infra.stack.stack import CHECKOUT

PAYLOADS = CHECKOUT / "tests" / "fixtures" / "gitlab"
REFERENCE = CHECKOUT / "examples" / "reference"
TENANTS = ("demo", "acme")


class DemoError(Exception):
    """A step did not do what it promises; the text says what was seen and where to look."""


@dataclass(frozen=True)
class Fed:
    """What went in: events that must be stored, per tenant, and the range of their times (UTC)."""

    events: dict[str, int]
    start: datetime
    end: datetime


def reference(settings: Mapping[str, str], console: Console) -> None:
    """Apply the example documents as an operator does; returns once they are published. Raises DemoError."""
    command = [
        "reference",
        "apply",
        str(REFERENCE),
        "--reason",
        "what the demo's agents and tools are",
        "--by",
        "platform@example.com",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *command], env=dict(settings), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"auditwired reference apply ended with {done.returncode}: {done.stdout}{done.stderr}")
    console.print(
        "  auditwired reference apply examples/reference: who answers for which agent and tool, and how risky a tool is"
    )
    for line in done.stdout.splitlines()[-2:]:
        console.print(f"  {line}", highlight=False)


def development(console: Console) -> None:
    """What an agent team sees before there is any server: the development mode prints events."""
    out = io.StringIO()
    with AuditClient.development("demo-platform", tenant="demo", stream=out) as client:
        for event in list(sessions("demo", 1, 7, datetime.now(UTC)))[3:6]:
            client.record(event)
    console.print("  AuditClient.development(...), no server needed:")
    for line in out.getvalue().splitlines():
        console.print(f"    {line}", highlight=False, markup=False)


def everything(settings: Mapping[str, str], per_tenant: int, console: Console) -> Fed:
    """Feed it all; returns once every event is acknowledged. Raises DemoError."""
    end = datetime.now(UTC) - timedelta(minutes=5)
    start = end - timedelta(seconds=7 * per_tenant)
    counts = {tenant: _platform(settings, tenant, per_tenant, start, console) for tenant in TENANTS}
    counts["demo"] += _gitlab(settings, console)
    return Fed(counts, min(start, datetime(2020, 1, 1, tzinfo=UTC)), end + timedelta(days=1))


def _platform(settings: Mapping[str, str], tenant: str, count: int, start: datetime, console: Console) -> int:
    try:
        with AuditClient.from_env("demo-platform", env=settings, tenant=tenant, max_block=30.0) as client:
            receipts = [client.record(event) for event in sessions(tenant, count, 1, start)]
            client.flush(60)
    except AuditwireError as exc:
        raise DemoError(f"the SDK could not record: {exc}") from exc
    where = receipts[-1].wait(1)
    console.print(
        f"  SDK: tenant [bold]{tenant}[/bold], {count} sessions of 4 agents, {len(receipts)} events acknowledged by Kafka"
        f" (the last is {where.topic}, partition {where.partition}, offset {where.offset})"
    )
    return len(receipts)


def _gitlab(settings: Mapping[str, str], console: Console) -> int:
    bodies = [json.loads(path.read_text(encoding="utf-8")) for path in payload_files()]
    one_by_one = sum(_post(settings, body)["accepted"] for body in bodies)
    console.print(f"  GitLab: {len(bodies)} webhooks (git, session and all eleven AI events), {one_by_one} events acknowledged")
    again = _post(settings, bodies)
    console.print(
        f"  GitLab again, as one array, as after a time-out: {again['accepted']} acknowledged; none may be stored twice"
    )
    broken = _post(settings, [{"id": "no-time", "event_type": "ai_tool_invoked"}, "not an object"])
    console.print(
        f"  GitLab, a body that cannot be understood: {broken['quarantined']} elements quarantined, sealed, not dropped"
    )
    if again["accepted"] != one_by_one or broken["quarantined"] != 2:
        raise DemoError(f"the receiver answered {again} and {broken}")
    return one_by_one


def _post(settings: Mapping[str, str], body: Any) -> dict[str, int]:
    headers = {
        "X-Gitlab-Event-Streaming-Token": settings["AUDITWIRE_INGEST_TOKEN"],
        "Content-Type": "application/x-www-form-urlencoded",
    }
    answer = httpx.post(
        f"{settings['AUDITWIRE_INGEST_URL']}/v1/gitlab", content=json.dumps(body).encode(), headers=headers, timeout=30
    )
    if not answer.is_success:
        raise DemoError(f"the receiver answered {answer.status_code}: {answer.text}")
    found: dict[str, int] = answer.json()
    return found


def payload_files() -> list[Path]:
    """The webhook bodies that are fed."""
    return sorted(path for path in PAYLOADS.glob("*.json") if path.stem != "expected")

"""A receiver in this process with an outbox in memory, and what its records hold."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

import schemas
from connectors import avro
from connectors.outbox import MemoryOutbox, Record
from pipeline.ingest.auth import Tokens
from pipeline.ingest.bounded import Limits
from pipeline.ingest.receiver import Receiver
from pipeline.ingest.records import Envelope
from pipeline.rejects import original_of
from pipeline.sealing import Sealer
from pipeline.tokens import source_entry

FIXTURES = Path(__file__).parent / "fixtures" / "gitlab"
MASTER_KEY = base64.b64encode(b"k" * 32).decode()
TOKEN = "token-of-demo-gitlab"
OTHER_TOKEN = "token-of-acme-gitlab"
# Types that stand in the header only, as older versions of GitLab send them.
HEADER_TYPES = {"ai_composite_header_type": "ai_tool_invoked", "git_older": "repository_git_operation"}
NAMES = sorted(path.stem for path in FIXTURES.glob("*.json") if path.stem != "expected")
AI_NAMES = [name for name in NAMES if name.startswith("ai_") and name not in {"ai_composite_header_type", "ai_integer_id"}]
QUARANTINE = avro.RecordCodec("quarantined_event", 8)


def payload(name: str) -> dict[str, Any]:
    """A fixture: a body as GitLab sends it."""
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return found


def expected() -> dict[str, dict[str, Any]]:
    """Fields of the event for each fixture."""
    found: dict[str, dict[str, Any]] = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
    return found


def write_tokens(path: Path) -> Path:
    path.write_text(source_entry("demo", "gitlab", TOKEN) + source_entry("acme", "gitlab", OTHER_TOKEN), encoding="utf-8")
    return path


@dataclass
class Local:
    """Requests to an application without a network; records land in ``outbox``."""

    folder: Path
    body_bytes: int = 25 * 1024 * 1024
    in_flight_bytes: int = 512 << 20
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)

    def __post_init__(self) -> None:
        self.sealer = Sealer(MASTER_KEY)
        envelope = Envelope("audit", 7, QUARANTINE, self.sealer)
        limits = Limits(self.body_bytes, self.in_flight_bytes)
        self.app = Receiver(Tokens(write_tokens(self.folder / "tokens.yaml")), self.outbox, envelope, limits)

    def post(
        self, path: str, body: Any, kind: str = "application/x-www-form-urlencoded", token: str = TOKEN, **headers: str
    ) -> httpx.Response:
        """POST ``body`` (bytes as they are, else as JSON); header names with ``_`` for ``-``."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, content, {"content-type": kind, "authorization": f"Bearer {token}", **named})

    def request(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver.example.com") as client:
                return await client.request(method, path, content=content, headers=dict(headers))

        return asyncio.run(call())

    def take(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Events and rejects that arrived since the last call, decoded; rejects with their ``original`` opened."""
        records, self.outbox.records = self.outbox.records, []
        return events_of(records), rejects_of(records, self.sealer)


def events_of(records: list[Record]) -> list[dict[str, Any]]:
    bodies = [record.value[5:] for record in records if record.topic.endswith(".raw")]
    if not bodies:
        return []
    rows: list[dict[str, Any]] = avro.decode(bodies, schemas.schema_text("audit_event")).to_pylist()
    return rows


def rejects_of(records: list[Record], sealer: Sealer) -> list[dict[str, Any]]:
    found = []
    for record in records:
        if record.topic.endswith(".quarantine"):
            row = QUARANTINE.decode(record.value)
            original = original_of(row, sealer)
            context = {name: (value or b"").decode() for name, value in original.headers}
            found.append({**row, "original": original.value, "context": context, "record": record})
    return found

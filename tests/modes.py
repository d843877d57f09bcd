"""Clients of the SDK over a transport in memory, for the tests of modes and heartbeats."""

from __future__ import annotations

from typing import Any

from auditwire import AuditClient
from auditwire.testing import RecordingTransport

KEY = bytes(range(32))


def client(transport: RecordingTransport, **options: Any) -> AuditClient:
    return AuditClient(transport, **{"service": "deploy", "tenant": "acme", **options})


def lanes(transport: RecordingTransport) -> dict[str, list[int]]:
    """Sequences by the mode that the producer id ends with."""
    found: dict[str, list[int]] = {}
    for event in transport.events:
        assert event["producer_id"].endswith("/" + event["audit_mode"])
        found.setdefault(event["audit_mode"], []).append(event["sequence"])
    return found


def overfull(**options: Any) -> tuple[AuditClient, RecordingTransport]:
    transport = RecordingTransport(capacity=1, held=True)
    return client(transport, max_block=0.0, **options), transport

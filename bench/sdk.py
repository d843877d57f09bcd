"""What recording costs: CPU microseconds an event of about 30 filled fields, the median of three runs each.

    python -m bench.sdk [--events N] [--kafka]
Without --kafka nothing is sent: the transport only takes the message, so this is the SDK's own share. With it, the events also
go to the Kafka that AUDITWIRE_* names, receipts and librdkafka's threads included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro

import schemas
from auditwire import AuditClient, AuditEvent, encode
from auditwire._transport import Report

EXAMPLE = Path(schemas.EXAMPLES) / "audit_event" / "tool_call.json"


class Nowhere:
    """Takes messages and forgets them."""

    schema_id = 1
    problem = ""

    def send(self, key: bytes, value: bytes, report: Report) -> None:
        """Take it."""

    def flush(self, timeout: float) -> int:
        """Nothing waits."""
        return 0

    def close(self) -> None:
        """Nothing to close."""

    def after_fork(self) -> None:
        """Nothing to forget."""


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--kafka", action="store_true")
    arguments = parser.parse_args()
    given = example()
    print(f"{len(given)} filled fields, {len(encode(AuditEvent(**given)))} bytes of Avro, {arguments.events} events a run")
    for name, step in steps(given).items():
        print(f"{name:<28} {statistics.median(cpu_micros(step, arguments.events) for _ in range(3)):6.1f} µs CPU")
    if arguments.kafka:
        cpu, rate, slowest = sorted(to_kafka(unfilled(given), arguments.events) for _ in range(3))[1]
        print(f"{'to Kafka, until flushed':<28} {cpu:6.1f} µs CPU, {rate:,.0f} events/s, slowest record {slowest * 1e3:.0f} ms")


def example() -> dict[str, Any]:
    """The golden tool call without what the client fills in; keys as interned as those of a call written in source."""
    record: dict[str, Any] = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    return {sys.intern(k): v for k, v in record.items() if k not in ("producer_id", "producer_epoch", "sequence", "observed_at")}


def unfilled(given: dict[str, Any]) -> AuditEvent:
    """The event as a user hands it over."""
    return AuditEvent(**{**given, "event_id": "", "occurred_at": None, "source": "", "tenant_id": ""})


def steps(given: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """What is measured, by name. Raises SystemExit where the two encoders disagree."""
    event, parsed = AuditEvent(**given), fastavro.parse_schema(schemas.event_schema())
    client, blank = AuditClient(Nowhere(), service="bench", tenant="acme"), unfilled(given)

    def by_fastavro() -> bytes:
        out = BytesIO()
        fastavro.schemaless_writer(out, parsed, given)
        return out.getvalue()

    if encode(event) != by_fastavro():
        raise SystemExit("the two encoders disagree: run the SDK's tests")
    return {
        "AuditEvent(…)": lambda: AuditEvent(**given),
        "encode (generated)": lambda: encode(event),
        "fastavro.schemaless_writer": by_fastavro,
        "client.record(event)": lambda: client.record(blank),
    }


def to_kafka(event: AuditEvent, count: int) -> tuple[float, float, float]:
    """CPU microseconds an event of the whole process, events per second, seconds of the slowest call."""
    slowest = 0.0
    with AuditClient.from_env("bench", tenant="bench", max_block=60.0) as client:
        cpu, wall = time.process_time(), time.monotonic()
        for _ in range(count):
            before = time.monotonic()
            client.record(event)
            slowest = max(slowest, time.monotonic() - before)
        client.flush(120)
        return (time.process_time() - cpu) / count * 1e6, count / (time.monotonic() - wall), slowest


def cpu_micros(step: Callable[[], object], count: int) -> float:
    """CPU microseconds a call."""
    started = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - started) / count * 1e6


if __name__ == "__main__":
    main()

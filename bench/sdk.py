"""What recording costs: CPU microseconds an event of about 30 filled fields, the median of three runs each.

    python -m bench.sdk [--events N] [--kafka]
Without --kafka nothing is sent: the transport only takes the message, so this is the SDK's own share. With it, the events also
go to the Kafka that AUDITWIRE_* names, and how long each call keeps its caller is said for each mode.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro

import schemas
from auditwire import AuditClient, AuditEvent, SpoolFolder, encode
from auditwire._transport import Report
from bench.load import Pace
from bench.watch import percentile

EXAMPLE = Path(schemas.EXAMPLES) / "audit_event" / "tool_call.json"
CALLS = (  # mode, events a second, calls
    ("best_effort", 0, 20_000),
    ("best_effort", 1_000, 3_000),
    ("spooled", 1_000, 2_000),
    ("blocking", 100, 200),
)
# What else keeps a caller at this pace: the same call without Kafka's client, and a call of about its length that is not ours.
NOWHERE, LOGGED = "`best_effort` without Kafka's client", "the event as JSON by Python's `logging`, to `/dev/null`"
BASELINES = ((NOWHERE, 1_000, 3_000), (LOGGED, 0, 20_000), (LOGGED, 1_000, 3_000))


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
        with tempfile.TemporaryDirectory() as folder:
            for one in callers(os.environ, Path(folder), 3):
                print(f"{one.mode} {one.pace or 'all it can':>10} a second: p50 {one.p50}, p99 {one.p99}, CPU {one.cpu} µs")


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


@dataclass
class Calls:
    """How long `record()` kept its caller: microseconds, one value for each run. ``pace``: events a second, 0 for all it can."""

    mode: str
    pace: int
    calls: int
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    longest: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, took: list[float], cpu: float) -> None:
        """One run: microseconds of each call, and CPU microseconds an event of the whole process until all was stored."""
        for seen, value in ((self.p50, percentile(took, 0.5)), (self.p99, percentile(took, 0.99)), (self.longest, max(took))):
            seen.append(round(value, 1))
        self.cpu.append(round(cpu, 1))


def callers(env: Mapping[str, str], folder: Path, runs: int) -> list[Calls]:
    """`record()` in each mode against the Kafka that ``env`` names, the events of `example`; then the baselines."""
    found, baselines = [Calls(*one) for one in CALLS], [Calls(*one) for one in BASELINES]
    event = unfilled(example())
    for run in range(runs):
        for one in found:
            spool = SpoolFolder(folder / f"spool-{one.mode}-{one.pace}-{run}", b"k" * 32) if one.mode == "spooled" else None
            options: dict[str, Any] = {"mode": one.mode, "tenant": "bench", "max_block": 60.0, "heartbeat": 0, "spool": spool}
            with AuditClient.from_env("bench", env=env, **options) as client:
                client.record(event).wait(30)  # connections
                one.add(*timed(partial(client.record, event), one, partial(client.flush, 120)))
        with AuditClient(Nowhere(), service="bench", tenant="bench") as client, logged(example()) as line:
            for one in baselines:
                one.add(*timed(partial(client.record, event) if one.mode == NOWHERE else line, one))
    return found + baselines


@contextmanager
def logged(given: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """A call that logs the event as services do."""
    logger = logging.Logger("bench", logging.INFO)
    with Path(os.devnull).open("w", encoding="utf-8") as out:
        handler = logging.StreamHandler(out)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger.addHandler(handler)
        yield lambda: logger.info("%s %s", given["event_type"], json.dumps(given))


def timed(call: Callable[[], object], one: Calls, finish: Callable[[], object] = lambda: None) -> tuple[list[float], float]:
    """Microseconds of each call, CPU microseconds a call until ``finish`` returns."""
    pace, took, cpu = Pace(one.pace), [], time.process_time()
    for _ in range(one.calls):
        before = time.perf_counter_ns()
        call()
        took.append((time.perf_counter_ns() - before) / 1e3)
        pace.step()
    finish()
    return took, (time.process_time() - cpu) / one.calls * 1e6


def cpu_micros(step: Callable[[], object], count: int) -> float:
    """CPU microseconds a call."""
    started = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - started) / count * 1e6


if __name__ == "__main__":
    main()

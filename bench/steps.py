"""CPU of each step of the pipeline alone, at 0.6 and 2 KB an event, with 5, 30 and 100 % of events holding something to redact.

    python -m bench.steps [STEP …] [--events 10000] [--runs 3]

Without arguments: every step that needs no server. The steps of `bench.served` start servers of their own. All cases are
measured in each round, so that a busy neighbour hits them alike; the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from auditwire import AuditClient, AuditEvent
from auditwire.redaction import detectors_for
from bench.figures import Meter, Row, table
from bench.peer_world import Figure
from bench.rules import made_rules
from bench.sdk import Nowhere
from bench.stages import START_US, made, record, revision
from connectors import avro, parquet
from connectors.ranges import Rows
from pipeline import stages
from pipeline.batch import Batch
from pipeline.chain import MAX_EVENT_BYTES, Context, process
from pipeline.dedupe import State
from pipeline.prints import prints
from pipeline.rules.decide import NO_RULES, Rules
from pipeline.sealing import Sealer
from schemas import schema_text

SIZES, SHARES = (600, 2000), (0.05, 0.3, 1.0)
SCHEMA, LOOKUP, HOURS = schema_text("audit_event"), stages.Lookup(revision()), 24
SEALER = Sealer(base64.b64encode(b"k" * 32).decode())
NOT_GIVEN = ("producer_id", "producer_epoch", "sequence", "observed_at")


class Raw(NamedTuple):
    """A raw record as the processor gets it."""

    offset: int
    value: bytes
    timestamp: int = START_US // 1000
    key: bytes | None = b"key"
    headers: tuple[()] = ()


@dataclass
class Case:
    """Events of one size, and of one share of dirty ones, as each step gets them."""

    size: int
    share: float
    events: int
    folder: Path
    bodies: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.bodies = made(self.events, self.share, self.size)
        self.raw = [Raw(n, avro.frame(1) + body) for n, body in enumerate(self.bodies)]
        self.batch = Batch.of(avro.decode(self.bodies, SCHEMA))
        self.clean = rows_of([body for _, body in self.chain().events])
        self.given = [given(row) for row in self.batch.columns.to_pylist()]
        self.client = AuditClient(Nowhere(), service="bench", tenant="acme", heartbeat=0)

    @property
    def mean(self) -> float:
        """Bytes of an event."""
        return sum(map(len, self.bodies)) / self.events

    def sdk(self) -> None:
        for event in self.given:
            self.client.record(event)

    def dedupe(self) -> None:
        state = State(HOURS)
        seen = prints(self.batch, self.bodies, b"k" * 32)
        state.remember(record(seen, state.judge(seen, START_US)))

    def chain(self, rules: Rules = NO_RULES) -> Any:
        context = Context("raw", 0, "standard", SEALER, MAX_EVENT_BYTES)
        return process(context, State(HOURS), self.raw, 0, self.events, writers={1: SCHEMA}, lookup=LOOKUP, rules=rules)

    def parquet(self) -> None:
        parquet.write(self.folder / "group.parquet", [parquet.columns_of(self.clean, 0)], {})


def rows_of(bodies: list[bytes], start: int = 0) -> Rows:
    """Clean events as a sink has them: columns with positions from ``start`` on."""
    offsets, times = np.arange(start, start + len(bodies)), np.full(len(bodies), START_US // 1000)
    return Rows(avro.decode(bodies, SCHEMA), offsets, times, avro.digests(bodies))


def given(row: dict[str, Any]) -> AuditEvent:
    """An event as the SDK's user hands it over."""
    known = {
        k: v
        for k, v in row.items()
        if k not in NOT_GIVEN and not k.startswith(("processed_", "audit_")) and v not in ("", None, [])
    }
    known |= {"event_id": "", "occurred_at": None, "attributes": {p["key"]: p["value"] for p in row["attributes"]}}
    return AuditEvent(**known)


STEPS: dict[str, Callable[[Case], object]] = {
    "sdk": Case.sdk,
    "decode": lambda c: avro.decode(c.bodies, SCHEMA),
    "validate": lambda c: stages.validate(c.batch, START_US),
    "dedupe": Case.dedupe,
    "enrich": lambda c: stages.enrich(c.batch, LOOKUP, "standard"),
    "redact": lambda c: stages.redact(c.batch),
    "redact, base64": lambda c: stages.redact(c.batch, detectors_for("base64")),
    "encode": lambda c: avro.encode(c.clean.columns),
    "digest": lambda c: avro.digests(c.bodies),
    "chain": Case.chain,
    "chain, 3 rules": lambda c: c.chain(made_rules(3)),
    "chain, 50 rules": lambda c: c.chain(made_rules(50)),
    "parquet": Case.parquet,
}


def measure(folder: Path, events: int, runs: int, wanted: Collection[str] = tuple(STEPS)) -> list[Row]:
    """A row for each step and case."""
    cases = [Case(size, share, events, folder) for size in SIZES for share in SHARES]
    steps = {name: step for name, step in STEPS.items() if name in wanted}
    for step in steps.values():
        step(cases[0])  # imports and caches
    seen: dict[tuple[str, int], list[Figure]] = {}
    for _ in range(runs):
        for name, step in steps.items():
            for number, case in enumerate(cases):
                meter = Meter()
                step(case)
                seen.setdefault((name, number), []).append(meter.figure(events))
    return [Row.of("step", name, cases[n].mean, cases[n].share, figures) for (name, n), figures in seen.items()]


def main() -> int:
    from bench import served

    parser = argparse.ArgumentParser(
        prog="python -m bench.steps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", nargs="*", help=f"{', '.join(STEPS)}; with servers: {', '.join(served.STEPS)}")
    parser.add_argument("--events", type=int, default=10_000, help="events a case")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    if unknown := set(args.step) - {*STEPS, *served.STEPS}:
        parser.error(f"no such step: {', '.join(unknown)}; there are {', '.join([*STEPS, *served.STEPS])}")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        if not args.step or set(args.step) & set(STEPS):
            rows += measure(Path(name), args.events, args.runs, args.step or tuple(STEPS))
        if set(args.step) & set(served.STEPS):
            rows += served.alone(Path(name), args.runs, args.step)
    Console(width=140).print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

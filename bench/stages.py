"""CPU seconds per million events of the stages validate, enrich and redact, at 5, 30 and 100 % of events with a finding; and of
the ledger record, without the prints.

    python -m bench.stages [--events 20000] [--runs 3]
Batches of 10,000 events of about 700 bytes with about 30 of the columns filled; 20 tenants, 50 agents and 200 tools, all of them
registered, and each batch under what the ones before left remembered. All shares are measured in each round, so that a
busy neighbour hits them alike; the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from connectors import avro
from pipeline import ledger, stages
from pipeline.batch import Batch
from pipeline.dedupe import State, Verdict
from pipeline.prints import Prints, prints
from pipeline.reference.model import Agent, Snapshot, Source, Tenant, Tool, built_in_controls
from schemas import event_schema, schema_text

BATCH = 10_000
SHARES = (0.05, 0.3, 1.0)
START_US = 1_790_000_000_000_000
WORDS = (
    *(
        "please",
        "summarise",
        "the",
        "attached",
        "report",
        "for",
        "review",
        "open",
        "ticket",
        "update",
        "status",
        "assign",
        "owner",
    ),
    *(
        "path",
        "src",
        "lib",
        "config",
        "yaml",
        "deploy",
        "staging",
        "cluster",
        "rollout",
        "select",
        "from",
        "join",
        "orders",
        "on",
    ),
    *(
        "account",
        "total",
        "fetch",
        "page",
        "list",
        "users",
        "group",
        "role",
        "grant",
        "read",
        "write",
        "notes",
        "meeting",
        "query",
    ),
    *("quarterly", "invoice", "table", "where", "customer", "region", "equals", "north", "amount", "greater", "limit", "created"),
)
TENANTS = [f"tenant-{number:03d}" for number in range(20)]
AGENTS = [f"agent-{number:04d}" for number in range(50)]
TOOLS = [
    (server, f"{verb}_{noun}")
    for server in ("github", "postgres", "slack", "jira", "browser")
    for verb in ("search", "read", "write", "delete")
    for noun in ("page", "issue", "table", "file", "user", "branch", "message", "report", "ticket", "role")
]
DIGESTS = {tool: f"sha256:{number:064x}" for number, tool in enumerate(TOOLS)}
MODELS = ("claude-sonnet-4", "gpt-5-mini", "llama-4-70b", "gemini-2.5-pro")
ABSENT = {field["name"]: field.get("default", "") for field in event_schema()["fields"]}


def secret(rng: random.Random) -> str:
    """One finding; every kind is as likely as the next."""
    token = f"{rng.getrandbits(240):060x}"
    kinds = (
        f"{rng.choice(WORDS)}.{rng.choice(WORDS)}@example.com",
        f"ghp_{token[:36]}",
        f"glpat-{token[:20]}",
        f"AKIA{token[:16].upper()}",
        f"xoxb-{token[:12]}-{token[12:36]}",
        f"postgres://app:{token[:14]}@db.example.com/orders",
        f"Authorization: Bearer {token[:40]}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{token[:20]}.{token[20:60]}",
    )
    return rng.choice(kinds)


def text(rng: random.Random, length: int, dirty: bool) -> str:
    """Words up to about ``length`` characters; dirty ones hold one to three findings."""
    words = [rng.choice(WORDS) for _ in range(length // 7)]
    for _ in range(rng.choice((1, 1, 2, 3)) if dirty else 0):
        words.insert(rng.randrange(len(words)), secret(rng))
    return " ".join(words)


def event(rng: random.Random, sequence: int, dirty: bool) -> dict[str, Any]:
    """One tool call of an agent; what is not given stays at the schema's default."""
    server, tool = rng.choice(TOOLS)
    in_result = dirty and rng.random() < 0.3
    return {
        "event_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "tenant_id": rng.choice(TENANTS),
        "event_type": "tool.invoked",
        "occurred_at": START_US + sequence * 1000,
        "observed_at": START_US + sequence * 1000,
        "source": "assistant",
        "activity": rng.choice(("read", "update", "execute")),
        "outcome": rng.choice(("success", "success", "failure")),
        "actor_type": "agent",
        "actor_id": f"usr_{rng.randrange(5000):05d}@example.com",
        "human_principal_id": f"usr_{rng.randrange(5000):05d}",
        "ip_address": f"10.{rng.randrange(255)}.{rng.randrange(255)}.{rng.randrange(255)}",
        "agent_id": rng.choice(AGENTS),
        "agent_name": "release helper",
        "agent_version": f"1.{rng.randrange(9)}.0",
        "session_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "trace_id": f"{rng.getrandbits(128):032x}",
        "producer_id": f"assistant-{rng.randrange(8)}",
        "producer_epoch": START_US,
        "sequence": sequence,
        "model_provider": "anthropic",
        "model_name": rng.choice(MODELS),
        "input_tokens": rng.randrange(8000),
        "output_tokens": rng.randrange(2000),
        "cost_usd": rng.random() / 50,
        "target_type": "table",
        "target_id": f"res/{rng.randrange(10**6)}",
        "tool_name": tool,
        "tool_server": server,
        "tool_version": "1.0",
        "tool_definition_digest": DIGESTS[server, tool],
        "tool_call_id": f"call_{rng.getrandbits(80):020x}",
        "tool_args": '{"q":"' + text(rng, rng.randrange(60, 200), dirty and not in_result) + '"}',
        "tool_result": text(rng, rng.randrange(40, 160), in_result),
        "duration_ms": rng.random() * 3000,
        "attributes": [{"key": "env", "value": "prod"}, {"key": "team", "value": f"team-{rng.randrange(40)}"}],
    }


def revision() -> Snapshot:
    """Reference data in which everything in the events is registered, agents and tools for every tenant."""
    return Snapshot(
        "7",
        tenants=tuple(Tenant(name, "eu-central", "standard") for name in TENANTS),
        agents=tuple(Agent(name, "", "agents@example.com", {f"1.{v}.0": "approved" for v in range(9)}) for name in AGENTS),
        tools=tuple(
            Tool(name, server, "", f"{server}@example.com", "medium", "read", {"1.0": digest})
            for (server, name), digest in DIGESTS.items()
        ),
        sources=(Source("assistant", ()),),
        controls=built_in_controls(),
    )


def batches(events: int, share: float, seed: int = 1) -> tuple[list[Batch], float]:
    """Decoded batches as the processor gets them, and the mean length of an encoded event in bytes."""
    rng, codec, schema = random.Random(seed), avro.RecordCodec("audit_event", 1), schema_text("audit_event")
    bodies = [codec.encode(ABSENT | event(rng, i, rng.random() < share))[5:] for i in range(events)]
    made = [Batch.of(avro.decode(bodies[i : i + BATCH], schema)) for i in range(0, events, BATCH)]
    return made, sum(map(len, bodies)) / events


def record(seen: Prints, verdict: Verdict) -> object:
    """The ledger record of a batch of clean events of which none is a duplicate, in conflict or rejected."""
    fates: dict[str, Any] = {"seen": seen, "verdict": verdict, "rejects": [], "digests": seen.ids, "resolved": []}
    return ledger.record("raw", 0, start=0, end=len(seen), read=len(seen), **fates, max_timestamp=START_US, versions=("r", "v"))


def judged(batch: Batch) -> tuple[Prints, Verdict]:
    """Prints of a batch and what deduplication says to them at first sight."""
    seen = prints(batch, [b""] * len(batch), b"k" * 32)
    return seen, State(24).judge(seen, START_US)


def cpu_per_million(stage: Callable[[Batch], object], made: Sequence[Batch]) -> float:
    """CPU seconds of this process for a million events."""
    before = time.process_time()
    for batch in made:
        stage(batch)
    return (time.process_time() - before) * 1e6 / sum(map(len, made))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000, help="events per share")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    data = {share: batches(options.events, share) for share in SHARES}
    lookup = stages.Lookup(revision())
    fates = {id(b): judged(b) for made, _ in data.values() for b in made}
    work: dict[str, Callable[[Batch], object]] = {
        "validate": lambda b: stages.validate(b, START_US),
        "enrich": lambda b: stages.enrich(b, lookup, "standard"),
        "redact": stages.redact,
        "ledger": lambda b: record(*fates[id(b)]),
    }
    for stage in work.values():
        stage(data[0.3][0][0])  # imports and caches
    figures: dict[tuple[str, float], list[float]] = {}
    for _ in range(options.runs):
        for share, (made, _) in data.items():
            for name, stage in work.items():
                figures.setdefault((name, share), []).append(cpu_per_million(stage, made))
    print(f"{'stage':<10}{'dirty':>7}{'bytes/event':>13}{'CPU s/M median':>16}{'lowest':>9}{'highest':>9}")
    for (name, share), seen in figures.items():
        print(f"{name:<10}{share:>7.0%}{data[share][1]:>13.0f}{statistics.median(seen):>16.2f}{min(seen):>9.2f}{max(seen):>9.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Events to measure with, as the processor's stages get them: tool calls of agents, some with something to redact.

20 tenants, 50 agents and 200 tools, all of them registered, about 40 of the columns filled. What each stage costs with them
alone says `python -m bench.steps`.
"""

from __future__ import annotations

import random
import uuid
from typing import Any

from connectors import avro
from pipeline import ledger
from pipeline.batch import Batch
from pipeline.dedupe import Verdict
from pipeline.prints import Prints
from pipeline.reference.model import Agent, Snapshot, Source, Tenant, Tool, built_in_controls
from schemas import event_schema, schema_text

BATCH = 10_000
FIXED = 480  # bytes of an event without its texts
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
    words = [rng.choice(WORDS) for _ in range(max(1, length // 7))]
    for _ in range(rng.choice((1, 1, 2, 3)) if dirty else 0):
        words.insert(rng.randrange(len(words)), secret(rng))
    return " ".join(words)


def texts(rng: random.Random, dirty: bool, size: int) -> list[str]:
    """Arguments, result, prompt and response of a call; the last two are empty in small events. One of them is the dirty one."""
    if size < 1000:
        lengths = [rng.randrange(60, 200), rng.randrange(40, 160)] if not size else [(size - FIXED) // 2] * 2
    else:
        lengths = [round((size - FIXED) / 4 * (0.5 + rng.random())) for _ in range(4)]
    where = rng.randrange(len(lengths)) if dirty else -1
    return [text(rng, length, n == where) for n, length in enumerate(lengths)] + [""] * (4 - len(lengths))


def event(rng: random.Random, sequence: int, dirty: bool, size: int = 0) -> dict[str, Any]:
    """One tool call of an agent of about ``size`` bytes of Avro (0: some 700); what is not given stays at the default."""
    server, tool = rng.choice(TOOLS)
    arguments, result, prompt, response = texts(rng, dirty, size)
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
        "tool_args": '{"q":"' + arguments + '"}',
        "tool_result": result,
        "prompt": prompt,
        "response": response,
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


def made(events: int, share: float, size: int = 0, seed: int = 1) -> list[bytes]:
    """Avro bodies of distinct events, this share of them with something to redact."""
    rng, codec = random.Random(seed), avro.RecordCodec("audit_event", 1)
    return [codec.encode(ABSENT | event(rng, i, rng.random() < share, size))[5:] for i in range(events)]


def batches(events: int, share: float, seed: int = 1) -> tuple[list[Batch], float]:
    """Decoded batches as the processor gets them, and the mean length of an encoded event in bytes."""
    bodies, schema = made(events, share, seed=seed), schema_text("audit_event")
    found = [Batch.of(avro.decode(bodies[i : i + BATCH], schema)) for i in range(0, events, BATCH)]
    return found, sum(map(len, bodies)) / events


def record(seen: Prints, verdict: Verdict) -> ledger.Record:
    """The ledger record of a batch of clean events of which none is a duplicate, in conflict or rejected."""
    fates: dict[str, Any] = {"seen": seen, "verdict": verdict, "rejects": [], "digests": seen.ids, "resolved": []}
    return ledger.record("raw", 0, start=0, end=len(seen), read=len(seen), **fates, max_timestamp=START_US, versions=("r", "v"))

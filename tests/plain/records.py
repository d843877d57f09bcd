"""Stretches of raw records out of the whole domain of the contract, for Hypothesis.

What a column holds is drawn as (column, seed), so that an example shrinks by whole records and whole columns.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from connectors.kafka_read import Record
from pipeline import rejects
from pipeline.chain import MAX_EVENT_BYTES
from pipeline.reference.model import EMPTY, Agent, Control, Snapshot, Source, Tenant, Tool, built_in_controls
from schemas import event_schema, released, schema_text
from tests.plain import bytes_of, soup
from tests.plain.rules import DEFAULTS, Fields

PARTITION, WINDOW_HOURS = 3, 1
START_MS = 1_790_000_000_000
NOW_US = START_MS * 1000
CURRENT, OLDEST, FOREIGN, MISSING, TOO_NEW = 1, 4, 5, 6, 7
NEWER_SCHEMA = json.dumps(
    {**event_schema(), "fields": [*event_schema()["fields"], {"name": "later", "type": "string", "default": ""}]}
)
SCHEMAS = {
    CURRENT: schema_text("audit_event"),
    **dict(enumerate(released("audit_event"), 2)),
    FOREIGN: schema_text("ledger_record"),
    TOO_NEW: NEWER_SCHEMA,
}

TENANTS, TYPES = ("acme", "umbrella", "in-it.ech_0"), ("tool.invoked", "approval.requested", "session.failed", "t.one", "Ü")
SOURCES, AGENTS, VERSIONS = ("assistant", "gitlab", ""), ("helper", "triage", "glpat-" + "a1B2" * 5, ""), ("1", "2", "3", "4", "")
TOOLS, SERVERS, DIGESTS = ("search", "run sql", ""), ("github", "mcp", ""), ("sha256:aa", "sha256:bb", "")
STATES = {"1": "approved", "2": "deprecated", "3": "retired"}
REVISIONS = (
    EMPTY,
    Snapshot(
        "12",
        tenants=(Tenant("acme", "eu-central", "extended"), Tenant("umbrella", "", "")),
        agents=(
            Agent("helper", "", "ann@example.com", STATES),
            Agent("helper", "acme", "", {}),
            Agent(AGENTS[2], "", "o", STATES),
        ),
        tools=(
            Tool("search", "github", "", "bob", "medium", "read", {"1": "sha256:aa", "2": "sha256:bb"}),
            Tool("search", "", "acme", "glpat-" + "b" * 20, "critical", "write", {}),
            Tool("run sql", "", "", "", "high", "", {"1": "sha256:aa"}),
        ),
        sources=(Source("assistant", ()), Source("gitlab", ("acme",))),
        controls=built_in_controls(),
    ),
    Snapshot(
        "13", tools=(Tool("search", "mcp", "umbrella", "eve", "low", "delete", {}),), controls=(Control("X:1", "t", ("t.*",)),)
    ),
)
NAMED: dict[str, Sequence[str]] = {
    "tenant_id": TENANTS,
    "event_type": TYPES,
    "source": SOURCES,
    "agent_id": AGENTS,
    "agent_version": VERSIONS,
    "tool_name": TOOLS,
    "tool_server": SERVERS,
    "tool_version": VERSIONS,
    "tool_definition_digest": DIGESTS,
    "tool_category": ("read", "write", ""),
}
ODD: dict[str, Sequence[str]] = {
    "event_id": (
        "",
        "0F8FAD5B-D9CB-469F-A165-70867728950E",
        "0f8fad5b-d9cb-469f-a165-70867728950e\n",
        "0f8fad5bd9cb469fa16570867728950e",
    ),
    "tenant_id": ("", "ACME", "a" * 64, "a" * 65, "acme\n", "ämter", "a b", "acme\0"),
    "event_type": ("", "x" * 256, "x" * 257, "é" * 128, "é" * 128 + "x", "x\0"),
    "producer_id": ("p" * 256, "p" * 257, "é" * 129, "p\0", "glpat-" + "a1B2" * 5, "alice@example.com"),
}
WHOLE = (None, 0, 1, -1, 2**63 - 1, -(2**63), 70_000)
REAL = (None, 0.0, -0.0, 1.5, -2.25, 1e308, 5e-324)
NO_NUMBER = (float("inf"), float("-inf"), float("nan"))
TIMES = (NOW_US, 0, 7_258_118_399_999_999, NOW_US - 1)
BAD_TIMES = (-1, 7_258_118_400_000_000, NOW_US * 1000, -(2**63), 2**63 - 1, (NOW_US + 10**12) * 1000)
SHARED = {
    "same identity": ("tenant_id", "event_id"),
    "same sequence": ("tenant_id", "producer_id", "producer_epoch", "sequence"),
}
COLUMNS = tuple(DEFAULTS)
LISTS = tuple(f["name"] for f in event_schema()["fields"] if isinstance(f["type"], dict) and f["type"]["type"] == "array")
NUMBERS = {f["name"]: f["type"][1] for f in event_schema()["fields"] if isinstance(f["type"], list)}
TEXTS = tuple(f["name"] for f in event_schema()["fields"] if f["type"] == "string")


@dataclass(frozen=True)
class Batch:
    """What the processor takes at once: the offsets ``start … end - 1``."""

    records: list[Record]
    start: int
    end: int
    snapshot: Snapshot


@dataclass(frozen=True)
class Stretch:
    """Batches of one partition in order. ``limit``: most bytes of key and body."""

    batches: list[Batch]
    limit: int


class Maker:
    """The records of one stretch; later ones may repeat earlier ones. ``key``: that of the replays' proofs."""

    def __init__(self, key: bytes) -> None:
        self.key, self.number, self.offset = key, 0, 100
        self.events: list[Fields] = []
        self.values: list[bytes] = []

    def record(self, kind: str, seed: int, changes: Sequence[tuple[str, int]], at_ms: int) -> Record:
        """One record; ``seed`` decides what ``kind`` and ``changes`` leave open."""
        rng = random.Random(seed)
        value = self._value(kind, rng, changes)
        key = rng.choice((None, b"", b"key", b"\xff\xfe", b"k" * 300))
        headers: tuple[tuple[str, bytes | None], ...] = rng.choice(((), (), (("a", b"b"), ("c", None), ("a", b"\xff"))))
        if kind == "replay":
            headers = self._replay(rng, rejects.Original(key, headers, value))
        self.offset += rng.choice((1, 1, 1, 2))
        if value is not None:
            self.values.append(value)
        return Record(PARTITION, self.offset - 1, at_ms - rng.randrange(3), key, headers, value)

    def _replay(self, rng: random.Random, original: rejects.Original) -> tuple[tuple[str, bytes | None], ...]:
        partition, key = rng.choice((PARTITION, PARTITION, PARTITION, 4)), rng.choice((self.key, self.key, self.key, b"other"))
        return tuple(rejects.replay_headers(partition, rng.randrange(40), original, key))

    def _value(self, kind: str, rng: random.Random, changes: Sequence[tuple[str, int]]) -> bytes | None:
        if kind == "again" and self.values:
            return rng.choice(self.values)
        if kind == "junk":
            return rng.choice((None, b"", b"\0", b"\0\0\0\0", b"\1\0\0\0\1" + rng.randbytes(9), rng.randbytes(40), b'{"a":1}'))
        if kind == "foreign":
            return bytes_of.frame(rng.choice((FOREIGN, MISSING, 2**31 - 1))) + rng.randbytes(30)
        event = self.event(kind, rng)
        for column, seed in changes:
            change(event, column, random.Random(seed))
        self.events.append(event)
        schema = TOO_NEW if kind == "newer" else rng.randrange(CURRENT, OLDEST + 1) if kind == "older" else CURRENT
        body = bytes_of.body(event, SCHEMAS[schema], rng if kind == "blocks" else None)
        if kind == "broken":
            body = bytes_of.broken(body, rng)
        return bytes_of.frame(schema) + body

    def event(self, kind: str, rng: random.Random) -> Fields:
        """Its columns; of some kinds those that identify it are an earlier one's."""
        event = self._new(rng)
        if kind in SHARED and self.events:
            earlier = rng.choice(self.events)
            event |= {name: earlier[name] for name in SHARED[kind]}
        return event

    def _new(self, rng: random.Random) -> Fields:
        self.number += 1
        event = {
            **DEFAULTS,
            "event_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "tenant_id": rng.choice(TENANTS),
            "event_type": rng.choice(TYPES),
            "occurred_at": NOW_US + self.number,
            "message": f"message {self.number}",
        }
        if rng.random() < 0.7:
            event |= {"producer_id": f"p{rng.randrange(2)}", "producer_epoch": rng.choice((1, 1, 2)), "sequence": self.number}
        if rng.random() < 0.7:
            event |= {name: rng.choice(values) for name, values in NAMED.items() if name != "tenant_id"}
        return event


def change(event: Fields, column: str, rng: random.Random) -> None:
    """Puts something into one column."""
    rare = rng.random() < 0.06
    if column in NAMED and rng.random() < 0.5:
        event[column] = rng.choice(NAMED[column])
    elif column in ODD:
        event[column] = rng.choice(ODD[column])
    elif column in ("occurred_at", "observed_at"):
        event[column] = rng.choice(BAD_TIMES if rng.random() < 0.3 else TIMES)
    elif column == "truncated_fields":
        event[column] = [*event[column], *(mark(event, rng) for _ in range(rng.choice((1, 1, 2, 3))))]
    elif column in LISTS:
        event[column] = items(column, rng)
    elif column in TEXTS:
        event[column] = soup.text(rng)
        if rng.random() < 0.15:
            event["truncated_fields"] = [*event["truncated_fields"], f"{column}={rng.randrange(10**6)}"]
    elif column in NUMBERS:
        event[column] = rng.choice((NO_NUMBER if rare else REAL) if NUMBERS[column] == "double" else WHOLE)
    else:
        event[column] = rng.random() < 0.5


def items(column: str, rng: random.Random) -> list[Any]:
    """Of a list; few, now and then as many as there may be, or one more."""
    many = rng.choice((256, 257)) if rng.random() < 0.03 else rng.randrange(4)
    found = [soup.text(rng) if n < 4 else "x" for n in range(many)]
    if column != "attributes":
        return found
    return [{"key": soup.text(rng) if rng.random() < 0.3 else f"k{n}", "value": text} for n, text in enumerate(found)]


def mark(event: Fields, rng: random.Random) -> str:
    """An entry of truncated_fields as it should be, and as it should not."""
    name = rng.choice((*COLUMNS, *LISTS, *LISTS, "prompt", "message", "", "none"))
    forms: tuple[Callable[[], str], ...] = (
        lambda: f"{name}=70000",
        lambda: f"{name}[{rng.randrange(4)}]=70000",
        lambda: f"{name}[]=300",
        lambda: name,
        lambda: f"{name}[٢]=1",
        lambda: f"{name}[{rng.choice(('99999999', '000000001', '-1', 'x', '1]]'))}]=1",
        lambda: soup.text(rng),
    )
    return rng.choice(forms)()


KINDS = (
    *("event",) * 30,
    *("older",) * 5,
    *("blocks",) * 2,
    *("again", "same identity", "same sequence") * 3,
    *("broken",) * 5,
    *("junk", "foreign", "replay", "replay", "replay"),
)
PLANS = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 2**32),
    st.lists(st.tuples(st.sampled_from(COLUMNS), st.integers(0, 2**32)), max_size=6),
)


@st.composite
def stretches(draw: st.DrawFn, key: bytes, most: int) -> Stretch:
    """A few batches of up to ``most`` records each."""
    maker, batches, at_ms = Maker(key), list[Batch](), START_MS
    for _ in range(draw(st.integers(1, 4))):
        at_ms += 60_000 * draw(st.sampled_from((0, 1, 6, 66, 130)))
        start, snapshot = maker.offset, draw(st.sampled_from(REVISIONS))
        count = draw(st.integers(1, most))  # lists of a size that is left open are short
        plans = draw(st.lists(PLANS, min_size=count, max_size=count))
        if draw(st.integers(0, 19)) == 19:
            plans.append(("newer", 0, []))
        records = [maker.record(kind, seed, changes, at_ms) for kind, seed, changes in plans]
        batches.append(Batch(records, start, maker.offset, snapshot))
        if plans[-1][0] == "newer":
            break
    return Stretch(batches, draw(st.sampled_from((MAX_EVENT_BYTES, MAX_EVENT_BYTES, 40_000))))

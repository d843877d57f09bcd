"""Two tenants for attempts to reach across: ``demo`` asks, every event of ``acme`` carries random canaries that must not show.

`Watch` looks at everything that comes back and counts the attempts by kind.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from tests import export_service, reading
from tests.export_service import TOKENS, Running
from tests.space import Space

OWN, OTHER = "demo", "acme"
OLGA, ANTON = "olga@example.com", "anton@example.com"
OWN_ROWS, OTHER_ROWS = 60, 300
TEXTS = (
    *(
        "event_type",
        "source",
        "actor_id",
        "actor_name",
        "agent_id",
        "agent_name",
        "session_id",
        "tool_name",
        "tool_args",
        "prompt",
    ),
    *("response", "message", "reason", "target_id", "human_principal_id", "policy_id", "model_name", "ip_address"),
)
CANARY = "canary-"
KINDS = ("tool.invoked", "tool.denied", "model.responded", "approval.requested", "session.started")


@dataclass
class World:
    """What was stored of both tenants. ``known``: canaries of one event that the attacker has heard of."""

    seed: int = 20261123
    own: list[dict[str, Any]] = field(default_factory=list)
    other: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.own = [row(n, OWN, "own-", chance) for n in range(OWN_ROWS)]
        self.other = [row(n, OTHER, CANARY, chance) for n in range(OTHER_ROWS)]

    @property
    def known(self) -> dict[str, Any]:
        return self.other[0]

    def secrets(self) -> set[str]:
        """Texts that are in events of the other tenant only: the canaries, ids, times to the microsecond, numbers."""
        found = {CANARY}
        for event in self.other:
            found |= {event[name] for name in TEXTS if event[name].startswith(CANARY)} | {
                event["event_id"],
                str(event["input_tokens"]),
            }
            found.add(f".{event['occurred_at'] % 1_000_000:06d}")
        return found


def row(number: int, tenant: str, mark: str, chance: random.Random) -> dict[str, Any]:
    """An event whose texts all have a random part; the times of both tenants differ to the microsecond."""
    texts = {name: f"{mark}{chance.getrandbits(64):016x}" for name in TEXTS}
    made = {**reading.row(number, tenant), **texts}
    micros = 314_159 if tenant == OTHER else 0
    times = {name: made[name] + micros for name in ("occurred_at", "processed_ingested_at")}
    tokens = 7_000_000_000_000 + chance.getrandbits(40) if tenant == OTHER else number
    more: dict[str, Any] = {"event_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)), "outcome": "success"}
    if number % 2:  # a type that the analysts' views know, so that each view has rows of both
        more |= {"event_type": KINDS[number // 2 % len(KINDS)], "approval_id": texts["reason"], "outcome": "denied"}
    return {**made, **times, **more, "input_tokens": tokens}


def store(space: Space, world: World) -> None:
    """Both tenants' events into ClickHouse, mixed in every partition."""
    events = [e for pair in zip(world.other, world.own, strict=False) for e in pair] + world.other[OWN_ROWS:]
    reading.store(space, events)
    reading.mark(space, len(events))
    kept = "(tenant_id, producer_id, producer_epoch, kind, first, last)"
    names = {OWN: "own-producer", OTHER: f"{CANARY}producer"}
    values = ", ".join(f"('{tenant}', '{name}', 1, 'stored', 0, 9)" for tenant, name in names.items())
    with export_service.clickhouse(space) as admin:
        admin.command(f"INSERT INTO ledger_sequences {kept} VALUES {values}", database=space.name)


LIMITS = {"requests_per_minute": 1_000_000, "open_extracts": 10_000, "extracts_per_day": 100_000}


def principals(space: Space, tenants: Iterable[str] = (OWN,)) -> None:
    """The attacker has the right to ``tenants``; more than their own is for negative controls."""
    both = ["read", "extract"]
    entries = [
        {"name": OLGA, "tenants": list(tenants), "rights": both, "limits": LIMITS},
        {"name": ANTON, "tenants": [OTHER], "rights": both, "limits": LIMITS},
    ]
    export_service.write_principals(space.folder / "export-principals.yaml", entries)


@dataclass(frozen=True)
class Ask:
    """One HTTP request as it goes over the wire: ``target`` is sent as it is."""

    kind: str
    target: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    token: str | None = TOKENS[OLGA]

    def under_v1(self) -> bool:
        path = unquote(urlsplit(self.target).path if self.target.startswith("http") else self.target.partition("?")[0])
        return path == "/v1" or path.startswith("/v1/")


@dataclass(frozen=True)
class Said:
    """What came back."""

    ask: Ask
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def refused(self) -> bool:
        """A refusal of the service, not of the HTTP server before it (which says so as plain text)."""
        plain = any(name.lower() == "content-type" and "text/plain" in value for name, value in self.headers)
        return 400 <= self.status < 500 and not (self.status == 400 and plain)


def send(service: Running, ask: Ask, port: str = "AUDITWIRE_EXPORT_LISTEN") -> Said:
    """Over a connection of its own; nothing is normalised."""
    host, _, number = service.env[port].rpartition(":")
    connection = http.client.HTTPConnection(host, int(number), timeout=60)
    names = {name.lower() for name, _ in ask.headers}
    try:
        connection.putrequest(ask.method, ask.target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in ask.headers:
            connection.putheader(name, value)
        if ask.token is not None and "authorization" not in names:
            connection.putheader("Authorization", f"Bearer {ask.token}")
        if ask.body:
            connection.putheader("Content-Length", str(len(ask.body.encode())))
        connection.endheaders(ask.body.encode() or None)
        answer = connection.getresponse()
        return Said(ask, answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


@dataclass
class Watch:
    """Counts attempts by kind and outcome, and keeps those whose answer has something of the other tenant."""

    secrets: set[str]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    leaks: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        lower = {s.lower() for s in self.secrets}
        self._canaries = {s for s in lower if s.startswith(CANARY)} - {CANARY}
        self._others = lower - self._canaries - {CANARY}

    def look(self, kind: str, outcome: str, asked: str, text: str) -> None:
        """``asked``: what the attacker sent; a secret that they sent themselves is none."""
        self.counts[kind, outcome] += 1
        given = unquote(unquote_to_bytes(asked).decode("utf-8", "replace")).lower()
        if self._shown(text.lower(), given):
            self.leaks.append((f"{kind}: {asked[:300]}", text[:300]))

    def _shown(self, text: str, given: str) -> bool:
        """Answers are long and canaries many: what all canaries have in common is looked for first."""
        if CANARY in text and (CANARY not in given or any(s in text and s not in given for s in self._canaries)):
            return True
        return any(s in text and s not in given for s in self._others)

    def http(self, said: Said) -> None:
        asked = f"{said.ask.method} {said.ask.target} {said.ask.headers} {said.ask.body}"
        text = said.body.decode("utf-8", "replace") + "\n".join(f"{n}: {v}" for n, v in said.headers)
        self.look(said.ask.kind, str(said.status), asked, text)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def table(self) -> str:
        """Attempts by kind, and how they ended."""
        kinds: dict[str, Counter[str]] = {}
        for (kind, outcome), n in self.counts.items():
            kinds.setdefault(kind, Counter())[outcome] += n
        lines = [
            f"{kind:<34}{of.total():>6}  {', '.join(f'{o}: {n}' for o, n in sorted(of.items()))}" for kind, of in kinds.items()
        ]
        return "\n".join([*lines, f"{'all':<34}{self.total:>6}"])


def query(**fields: Any) -> str:
    """A query string of the day."""
    return "&".join(f"{quote(k)}={quote(str(v))}" for k, v in {**reading.DAY, **fields}.items())


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def as_json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields)

"""Producers that lost, dropped or never said something, in a running pipeline, for the tests of completeness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from infra.stack.stack import CHECKOUT
from pipeline import settings
from pipeline.completeness import WAITING, Safety
from pipeline.export.app import create_app, stores
from pipeline.export.jobs import Worker
from pipeline.export.producers import CLOSED, HEARTBEAT
from tests import export_service
from tests.export_service import TOKENS, fetch, wait, write_principals
from tests.parts import PartProcess
from tests.processing import bodies, event_frame, produce, rows
from tests.space import Space
from tests.waiting import until

OLGA, ANTON = "olga@example.com", "anton@example.com"
NOW = int(time.time() * 1_000_000)
MINUTE, STEP = 60_000_000, 40_000_000


def events(producer: str, numbers: Sequence[int], tenant: str = "demo", **fields: Any) -> list[dict[str, Any]]:
    """Events of a producer that began ten minutes ago, 40 seconds apart."""
    begun = NOW - 10 * MINUTE
    made = []
    for n in numbers:
        at = begun + n * STEP
        own = {"producer_id": producer, "producer_epoch": begun, "sequence": n, "tenant_id": tenant}
        made.append({**rows(1, zlib.crc32(f"{producer}/{n}".encode()))[0], **own, "occurred_at": at, "observed_at": at, **fields})
    return made


def beat(
    producer: str, number: int, tenant: str = "demo", kind: str = HEARTBEAT, dropped: int = 0, **fields: Any
) -> dict[str, Any]:
    attributes = [{"key": "interval_seconds", "value": "60"}, {"key": "dropped", "value": str(dropped)}]
    return events(producer, [number], tenant, event_type=kind, attributes=attributes, **fields)[0]


SENT = {
    "lossy": [*events("lossy", [0, 1, 3]), beat("lossy", 4)],
    "sound": [*events("sound", range(5)), beat("sound", 5, kind=CLOSED)],
    "mute": events("mute", range(3)),
    "dropping": [*events("dropping", [0]), beat("dropping", 1), *events("dropping", [2]), beat("dropping", 3, dropped=7)],
    "refused": [*events("refused", [0]), *events("refused", [1], cost_usd=float("inf")), beat("refused", 2, kind=CLOSED)],
    "canary-acme": [*events("canary-acme", range(2), "acme"), beat("canary-acme", 2, "acme", kind=CLOSED)],
}


@dataclass
class World:
    space: Space
    parts: dict[str, PartProcess]

    @contextmanager
    def service(self, safety: Safety | None = None) -> Iterator[Callable[[str], httpx.Client]]:
        """The export service in this process: a client for a principal's name."""
        values = self.space.settings(settings.Export)
        connected = stores(values, audited=safety is None, safety=safety)
        worker = Worker(connected)
        worker.start()
        try:
            with export_service.served(create_app(values, connected, worker)) as client:

                def asking(name: str) -> httpx.Client:
                    client.headers["Authorization"] = f"Bearer {TOKENS[name]}"
                    return client

                yield asking
        finally:
            worker.stop()
            connected.trail.close()
            connected.clickhouse.close()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """`auditwired` with an operator's settings."""
        names = settings.names_of(settings.Operator)
        env = {k: v for k, v in self.space.env.items() if k in names}
        keep = {k: v for k, v in os.environ.items() if not k.startswith("AUDITWIRE_")}
        argv = [sys.executable, "-m", "pipeline", *command]
        return subprocess.run(argv, env={**keep, **env}, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def sent(space: Space) -> Iterator[World]:
    """What SENT has is stored, and the ledger is in its tables."""
    space.provision()
    mine = {OLGA: ["demo"], ANTON: ["acme", "sdk"], "nora@example.com": ["demo"]}
    rights = {OLGA: ["read", "extract"], ANTON: ["read"], "nora@example.com": []}
    entries = [{"name": name, "tenants": tenants, "rights": rights[name]} for name, tenants in mine.items()]
    write_principals(space.folder / "export-principals.yaml", entries)
    frame = event_frame(space)
    with ExitStack() as stack:
        names = ("processor", "clickhouse-sink", "ledger-sink")
        made = World(space, {name: stack.enter_context(PartProcess(space, name)) for name in names})
        for number, sent in enumerate(SENT.values()):
            produce(space, [(number % 4, frame + body) for body in bodies(sent)])
        with made.service() as ask:
            for _ in range(2):  # the second time what the ledger said at the first is older than the pipeline's moment
                begun = time.time()
                until(partial(settled, ask(OLGA), begun), 90, lambda: "\n".join(part.story() for part in made.parts.values()))
        yield made


def settled(client: httpx.Client, since: float) -> bool:
    """The pipeline's moment has passed what was sent by then (seconds since 1970), and the ledger is there too."""
    answer = client.get("/v1/completeness", params={"tenant": "demo"})
    if answer.status_code != 200:
        return False
    found = answer.json()
    passed = datetime.fromisoformat(found["pipeline_complete_until"]).timestamp() > since
    return (
        bool(passed)
        and found["ledger_complete_until"] is None
        and {p["producer_id"] for p in found["producers"]} >= {*SENT} - {"canary-acme"}
    )


def asked(client: httpx.Client, tenant: str = "demo") -> dict[str, Any]:
    answer = client.get("/v1/completeness", params={"tenant": tenant})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def moment(micros: int) -> str:
    return (
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros))
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def at(producer: str, number: int, less: int = 0) -> str:
    return moment(next(e["observed_at"] for e in SENT[producer] if e["sequence"] == number) - less)


def after(producer: str, number: int) -> str:
    """What follows this number was observed then or later."""
    return at(producer, number, min(number * STEP, WAITING))


def extract(client: httpx.Client, start: int, end: int) -> dict[str, Any]:
    """The manifest of an extract of microseconds."""
    body = {"tenant": "demo", "from": moment(start), "to": moment(end), "format": "jsonl"}
    answer = client.post("/v1/extracts", json=body)
    assert answer.status_code == 202, answer.text
    job = wait(client, answer.json()["id"])
    assert job["state"] == "done", job
    manifest: dict[str, Any] = json.loads(fetch(client, job["id"], "manifest.json"))
    assert (job["complete"], job["pipeline_complete"]) == (manifest["complete"], manifest["pipeline_complete"])
    assert job["producers_complete"] == manifest["completeness"]["complete"]
    return manifest


@contextmanager
def by_hand(world: World, table: str, sql: str, where: str) -> Iterator[None]:
    """Rows put in by an administrator and taken away again."""
    with export_service.clickhouse(world.space) as admin:
        admin.command(f"INSERT INTO `{world.space.name}`.{table} {sql}")
        try:
            yield
        finally:
            admin.command(f"ALTER TABLE `{world.space.name}`.{table} DELETE WHERE {where}", mutations_sync=2)


def ledger_id(world: World) -> str:
    with export_service.clickhouse(world.space) as admin:
        return str(admin.rows(f"SELECT any(kafka_topic_id) FROM `{world.space.name}`.ledger")[0][0])

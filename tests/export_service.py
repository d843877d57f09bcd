"""The export service as a process, with principals, stored events and Kafka's record of what it did, for tests."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, Self

import httpx
import psycopg
import pyarrow as pa
import uvicorn
import yaml
from confluent_kafka import Consumer, KafkaException, TopicPartition
from fastapi import FastAPI

from connectors import avro
from connectors.clickhouse.client import Client
from connectors.kafka import cluster_of, consumer_config
from connectors.kafka_marks import MOVING
from connectors.kafka_partitions import topic_id_of
from infra.stack.server import base_environment, http_status
from infra.stack.stack import CHECKOUT, tail
from pipeline import settings
from pipeline.export import columns
from schemas import schema_text
from tests.space import Space

TOKENS = {"olga@example.com": "token-of-olga", "anton@example.com": "token-of-anton", "nora@example.com": "token-of-nora"}
PRINCIPALS = [
    {"name": "olga@example.com", "tenants": ["demo"], "rights": ["read", "extract"]},
    {"name": "anton@example.com", "tenants": ["acme"], "rights": ["read", "extract"]},
    {"name": "nora@example.com", "tenants": ["demo"], "rights": []},
]
DAY = {"tenant": "demo", "from": "2026-11-02T00:00:00Z", "to": "2026-11-03T00:00:00Z"}


def write_principals(path: Path, principals: Sequence[Mapping[str, Any]] = PRINCIPALS) -> None:
    """The file as the service reads it, replaced in one step."""
    rows = [{**p, "token_sha256": hashlib.sha256(TOKENS[p["name"]].encode()).hexdigest()} for p in principals]
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump(rows))
    fresh.replace(path)


@dataclass
class Running:
    """One process of the service. Stop or kill it; ``client`` asks as a principal."""

    space: Space
    env: dict[str, str]
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.space.folder / "export.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", "export"],
                env={**base_environment(), **self.env},
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                if http_status(self.url + "/healthz") == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the export service does not start. {tail(self.log, 30)}")
            time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"http://{self.env['AUDITWIRE_EXPORT_LISTEN']}"

    def client(self, name: str = "olga@example.com") -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKENS[name]}"}, timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.stop()


def start(space: Space) -> Running:
    """A service on the namespace, healthy."""
    return Running(space, space.part_env("export"))


@contextmanager
def served(app: FastAPI) -> Iterator[httpx.Client]:
    """The app in this process, on a port of its own; its worker is not running."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def ask(client: httpx.Client, **request: Any) -> str:
    """Ask for an extract of the day; returns its id."""
    answer = client.post("/v1/extracts", json={**DAY, **request})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait(client: httpx.Client, extract: str, seconds: float = 90) -> dict[str, Any]:
    """The extract once it has ended."""
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = client.get(f"/v1/extracts/{extract}").raise_for_status().json()
        if found["state"] in ("done", "failed", "cancelled"):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def fetch(client: httpx.Client, extract: str, name: str) -> bytes:
    """One file's bytes."""
    return client.get(f"/v1/extracts/{extract}/files/{name}").raise_for_status().content


def fetch_all(client: httpx.Client, extract: str) -> tuple[dict[str, Any], list[bytes]]:
    """The manifest, and the data files, each proven to have the digest that the manifest says."""
    manifest: dict[str, Any] = json.loads(fetch(client, extract, "manifest.json"))
    bodies = [fetch(client, extract, f["name"]) for f in manifest["files"]]
    for body, file in zip(bodies, manifest["files"], strict=True):
        assert (len(body), hashlib.sha256(body).hexdigest()) == (file["bytes"], file["sha256"])
    return manifest, bodies


def connect(space: Space, user: str = "admin") -> Client:
    """ClickHouse as one of the stack's users; the caller closes it."""
    return Client(space.env["AUDITWIRE_CLICKHOUSE_URL"], user, space.stack.state.secrets[f"clickhouse_{user}"])


@contextmanager
def clickhouse(space: Space, user: str = "admin") -> Iterator[Client]:
    """ClickHouse as one of the stack's users."""
    client = connect(space, user)
    try:
        yield client
    finally:
        client.close()


def admin_sql(space: Space, statement: LiteralString) -> None:
    """A statement as the owner of the tables."""
    with psycopg.connect(space.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as db:
        db.execute(statement)


def topic_id(space: Space) -> str:
    """UUID of the clean topic."""
    return topic_id_of(cluster_of(dict(space.settings(settings.Migrate))), f"{space.name}.events")


def store(space: Space, events: pa.RecordBatch, partitions: Sequence[int], offsets: Sequence[int]) -> None:
    """Put events of the schema into ClickHouse as the sink would."""
    rows = events.num_rows
    extra = {
        "kafka_topic_id": pa.array([topic_id(space)] * rows),
        "kafka_partition": pa.array(partitions, pa.uint16()),
        "kafka_offset": pa.array(offsets, pa.int64()),
        "kafka_timestamp": pa.array([1_793_500_000_000 + i for i in range(rows)], pa.timestamp("ms")),
        "event_digest": pa.array(avro.digests(avro.encode(events))),
    }
    batch = pa.RecordBatch.from_arrays([*events.columns, *extra.values()], names=[*events.schema.names, *extra])
    names = ", ".join(batch.schema.names)
    with clickhouse(space) as client:
        client.insert(f"INSERT INTO {space.name}.events ({names}) FORMAT ArrowStream", [batch])


def generate(space: Space, rows: int, tenant: str = "demo", day: str = "2026-11-02", first: int = 0) -> None:
    """Many events made inside ClickHouse, spread evenly over one day and four partitions, offsets from ``first`` / 4 on."""
    with clickhouse(space) as client:
        client.command(
            f"""INSERT INTO {space.name}.events (event_id, tenant_id, event_type, occurred_at, observed_at, source, actor_type,
                actor_id, agent_id, session_id, tool_name, tool_args, prompt, outcome, input_tokens, tools_offered,
                processed_retention_class, kafka_topic_id, kafka_partition, kafka_offset, kafka_timestamp, event_digest)
            SELECT toString(generateUUIDv4()), {{tenant:String}}, ['tool.invoked', 'llm.requested', 'agent.step'][1 + number % 3],
                toDateTime64({{day:String}}, 6, 'UTC') +
                    toIntervalMicrosecond(intDiv(number * 86400000000, {{rows:UInt64}})) AS at,
                at, 'load', 'agent', concat('user-', toString(number % 1000)), concat('agent-', toString(number % 50)),
                concat('session-', toString(intDiv(number, 100))), 'search', concat('{{"q": "', hex(sipHash128(number)), '"}}'),
                repeat(hex(sipHash128(number)), 10), 'success', number % 5000, ['a', 'b'], 'standard', {{topic_id:String}},
                number % 4, intDiv(number + {{first:UInt64}}, 4), now64(3), sipHash64(number)
            FROM numbers({{rows:UInt64}})""",
            {"tenant": tenant, "day": day, "rows": rows, "first": first, "topic_id": topic_id(space)},
            max_execution_time=600,
        )


def mark(space: Space, ends: Mapping[int, int]) -> None:
    """Commit the ClickHouse sink's progress, as the sink does."""
    values = space.settings(settings.ClickHouseSink)
    consumer = Consumer(consumer_config(cluster_of(dict(values)), f"{space.name}-clickhouse-sink"))
    topic = f"{space.name}.events"
    deadline = time.monotonic() + 60
    while True:  # a broker that has just begun may still be loading what groups have committed
        try:
            done = consumer.commit(offsets=[TopicPartition(topic, p, end) for p, end in ends.items()], asynchronous=False)
            break
        except KafkaException as exc:
            if exc.args[0].code() not in MOVING or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
    assert all(partition.error is None for partition in done)
    consumer.close()


def recorded(space: Space) -> list[dict[str, Any]]:
    """Every event in the raw topic so far, decoded."""
    values = space.settings(settings.Migrate)
    consumer = Consumer(consumer_config(cluster_of(dict(values)), f"{space.name}-test"))
    topic = f"{space.name}.raw"
    bodies: list[bytes] = []
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=15)[1] for p in range(4)}
    consumer.assign([TopicPartition(topic, p, 0) for p, end in ends.items() if end])
    while len(bodies) < sum(ends.values()):
        message = consumer.poll(15)
        assert message is not None
        assert message.error() is None, message.error()
        bodies.append(message.value()[5:])
    consumer.close()
    events: list[dict[str, Any]] = avro.decode(bodies, schema_text("audit_event")).to_pylist() if bodies else []
    return events


def trail(space: Space, **fields: Any) -> list[dict[str, Any]]:
    """The service's own events with these values."""
    found = [e for e in recorded(space) if e["source"] == "auditwire-export" and not e["event_type"].startswith("auditwire.")]
    return [e for e in found if all(e[name] == value for name, value in fields.items())]


def attributes(event: dict[str, Any]) -> dict[str, str]:
    """Key → value."""
    return {pair["key"]: pair["value"] for pair in event["attributes"]}


def column_names() -> list[str]:
    return list(columns.known())

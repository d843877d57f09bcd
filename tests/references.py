"""Reference data in tests: apply revisions, run publishers as processes, and look at what Kafka then holds."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from connectors import avro
from connectors.kafka import Cluster, cluster_of
from connectors.kafka_read import PartitionReader, Record
from connectors.postgres.reference import Revision, Revisions
from connectors.reference_topic import Decoder, ReferenceTopic
from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT
from pipeline import settings
from pipeline.reference.model import canonical
from pipeline.reference.publisher import APPLIED
from schemas import schema_text
from tests.space import Space


def store(space: Space, **control: bool) -> Revisions:
    """The side of those who apply."""
    return Revisions(space.settings(settings.Reference).postgres_dsn.get_secret_value(), space.name, **control)


def document(*tenants: str) -> str:
    """A canonical document with these tenants."""
    return canonical({"tenant": [{"id": tenant} for tenant in tenants]})


def apply(space: Space, *tenants: str) -> Revision:
    """Apply a revision with these tenants."""
    return store(space).apply(document(*tenants), "ana@example.com", "a test")[0]


def cluster(space: Space) -> Cluster:
    """As Kafka's admin, who may read everything."""
    return cluster_of(dict(space.settings(settings.Migrate)))


@contextlib.contextmanager
def worker(space: Space, point: str = "never", nth: int = 1, *off: str) -> Iterator[subprocess.Popen[bytes]]:
    """A publisher as a process of its own, ended at the end."""
    env = {**base_environment(), **space.part_env("reference-publisher")}
    process = subprocess.Popen([sys.executable, "-m", "tests.reference_worker", point, str(nth), *off], env=env, cwd=CHECKOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def reader(space: Space) -> Iterator[ReferenceTopic]:
    """The processor's reader."""
    values = space.settings(settings.Processor)
    one = ReferenceTopic(cluster_of(dict(values)), values.schema_registry_url, space.name, f"{space.name}-processor").start()
    try:
        yield one
    finally:
        one.close()


@dataclass(frozen=True)
class Held:
    """What Kafka holds, committed only: revisions and pointers in order, and how often each one's audit event is in raw."""

    revisions: list[str]
    pointers: list[int]
    events: dict[str, int]


def held(space: Space) -> Held:
    """Read it all."""
    decoder = Decoder(space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
    try:
        records = [r for r in _all(space, f"{space.name}.reference") if r.value is not None]
        pointers = [int(decoder.decode(r.value).revision) for r in records if r.key == b"current" and r.value]
        revisions = [(r.key or b"").decode() for r in records if r.key != b"current"]
    finally:
        decoder.close()
    bodies = [r.value[5:] for r in _all(space, f"{space.name}.raw") if r.value]
    events = avro.decode(bodies, schema_text("audit_event")) if bodies else avro.empty()
    mine = [e for e in events.to_pylist() if e["event_type"] == APPLIED]
    return Held(revisions, pointers, dict(Counter(e["target_id"] for e in mine)))


def _all(space: Space, topic: str) -> list[Record]:
    with PartitionReader(cluster(space), f"{space.name}-operator") as one:
        return [r for p in one.partitions(topic) for r in one.read(topic, p, *one.watermarks(topic, p))]

"""Reference data and rules in tests: add revisions, run publishers as processes, and look at what Kafka then holds."""

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
from connectors.series import REFERENCE, Series
from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT
from pipeline import settings
from pipeline.reference.model import canonical
from schemas import schema_text
from tests.space import Space


def store(space: Space, series: Series = REFERENCE, **control: bool) -> Revisions:
    """The side of those who apply."""
    dsn = space.settings(settings.Reference).postgres_dsn if series is REFERENCE else space.settings(settings.Rules).postgres_dsn
    return Revisions(dsn.get_secret_value(), space.name, series, **control)


def document(*tenants: str) -> str:
    """A canonical document with these tenants."""
    return canonical({"tenant": [{"id": tenant} for tenant in tenants]})


def apply(space: Space, *tenants: str, series: Series = REFERENCE) -> Revision:
    """Apply a revision with these tenants; the machinery does not look into documents."""
    return store(space, series).apply(document(*tenants), "ana@example.com", "a test")[0]


def cluster(space: Space) -> Cluster:
    """As Kafka's admin, who may read everything."""
    return cluster_of(dict(space.settings(settings.Migrate)))


@contextlib.contextmanager
def worker(
    space: Space, point: str = "never", nth: int = 1, *off: str, series: Series = REFERENCE
) -> Iterator[subprocess.Popen[bytes]]:
    """A publisher of one series as a process of its own, ended at the end."""
    env = {**base_environment(), **space.part_env("reference-publisher")}
    argv = [sys.executable, "-m", "tests.reference_worker", series.name, point, str(nth), *off]
    process = subprocess.Popen(argv, env=env, cwd=CHECKOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def reader(space: Space, series: Series = REFERENCE) -> Iterator[ReferenceTopic]:
    """The processor's reader."""
    values = space.settings(settings.Processor)
    place = (cluster_of(dict(values)), values.schema_registry_url, space.name)
    one = ReferenceTopic(*place, series, f"{space.name}-processor").start()
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


def held(space: Space, series: Series = REFERENCE) -> Held:
    """Read it all."""
    decoder = Decoder(space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"], series)
    try:
        records = [r for r in _all(space, series.topic(space.name)) if r.value is not None]
        pointers = [int(decoder.decode(r.value).revision) for r in records if r.key == b"current" and r.value]
        revisions = [(r.key or b"").decode() for r in records if r.key != b"current"]
    finally:
        decoder.close()
    bodies = [r.value[5:] for r in _all(space, f"{space.name}.raw") if r.value]
    events = avro.decode(bodies, schema_text("audit_event")) if bodies else avro.empty()
    mine = [e for e in events.to_pylist() if e["event_type"] == series.event_type]
    return Held(revisions, pointers, dict(Counter(e["target_id"] for e in mine)))


def _all(space: Space, topic: str) -> list[Record]:
    with PartitionReader(cluster(space), f"{space.name}-operator") as one:
        return [r for p in one.partitions(topic) for r in one.read(topic, p, *one.watermarks(topic, p))]

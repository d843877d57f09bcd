"""Raw events for the processor's tests, and what came out of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaException, Producer

import schemas
from connectors import avro
from connectors.kafka import Cluster, Secret, cluster_of, producer_config
from connectors.kafka_lanes import GroupOffsets
from connectors.kafka_read import PartitionReader, Record
from connectors.registry import SchemaRegistry
from pipeline import settings
from tests.log_end import transactions_ended
from tests.space import Space

PARTITIONS = 4
_NAMESPACE = uuid.UUID("6f1f7b8a-0c55-4c43-9d4e-0f1f6a3f4a10")


def rows(count: int, start: int = 0, **columns: Any) -> list[dict[str, Any]]:
    """Distinct events; ``columns`` are values, or functions of the number."""
    made = []
    for number in range(start, start + count):
        row = {
            "event_id": str(uuid.uuid5(_NAMESPACE, str(number))),
            "tenant_id": f"tenant-{number % 3}",
            "event_type": "tool.invoked",
            "occurred_at": 1_700_000_000_000_000 + number,
            "message": f"message number {number}",
        }
        made.append(row | {name: value(number) if callable(value) else value for name, value in columns.items()})
    return made


def batch(events: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """Columns of the event schema; what a row leaves out has its default."""
    schema = avro.event_arrow_schema()
    columns = []
    for field in schema:
        default = None if field.nullable else [] if pa.types.is_list(field.type) else pa.types.is_boolean(field.type) and False
        filler = "" if pa.types.is_string(field.type) and not field.nullable else default
        columns.append(pa.array([event.get(field.name, filler) for event in events], field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def bodies(events: Sequence[dict[str, Any]]) -> list[bytes]:
    """Avro bodies without frame."""
    return avro.encode(batch(events))


def processor_cluster(space: Space) -> Cluster:
    return cluster_of(dict(space.settings(settings.Processor)))


def cluster(space: Space, user: str) -> Cluster:
    """A cluster as another user of the stack, such as ``admin`` or ``sdk``."""
    base = processor_cluster(space)
    password = space.stack.state.secrets[f"kafka_{user}"]
    return Cluster(base.bootstrap, base.security_protocol, base.sasl_mechanism, user, Secret(password))


def event_frame(space: Space) -> bytes:
    registry = SchemaRegistry(space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
    try:
        return avro.frame(registry.id_of(f"{space.name}.raw-value", schemas.schema_text("audit_event")))
    finally:
        registry.close()


Headers = list[tuple[str, str | bytes | None]]


def produce(space: Space, records: Iterable[tuple[int, bytes | None]], headers: Headers | None = None) -> None:
    """(partition, value) to the raw topic, in order within a partition."""
    producer = Producer(producer_config(cluster(space, "admin"), queue_buffering_max_messages=500_000))
    for partition, value in records:
        producer.produce(f"{space.name}.raw", value, key=b"key", partition=partition, headers=headers or [])
        producer.poll(0)
    assert producer.flush(60) == 0


def read_all(space: Space, topic: str, partition: int) -> list[Record]:
    """Every committed record of ``<namespace>.<topic>`` in a partition."""
    with PartitionReader(cluster(space, "admin"), f"{space.name}-tests") as reader:
        name = f"{space.name}.{topic}"
        transactions_ended(
            cluster(space, "admin").config(), name, [partition], 5.0
        )  # a killed producer's transaction may stay open
        low, end = reader.watermarks(name, partition)
        return list(reader.read(name, partition, low, end))


def clean_ids(space: Space, partition: int) -> list[str]:
    """event_id of the clean events of a partition, in order."""
    found = [record.value or b"" for record in read_all(space, "events", partition)]
    if not found:
        return []
    ids: list[str] = (
        avro.decode([value[5:] for value in found], schemas.schema_text("audit_event")).column("event_id").to_pylist()
    )
    return ids


def ledger(space: Space, partition: int) -> list[dict[str, Any]]:
    """Ledger records of a partition, in order."""
    from pipeline.ledger import decoded

    codec = avro.RecordCodec("ledger_record", 0)
    return [decoded(codec, record.value or b"") for record in read_all(space, "ledger", partition)]


class Worker:
    """A processor as a process of its own."""

    def __init__(self, space: Space, name: str = "a", argv: Sequence[str] = (), **env: object) -> None:
        self.space, self.log = space, space.folder / f"processor-{name}.log"
        argv = list(argv) or ["-m", "pipeline", "processor"]
        overrides = {"PROCESSOR_DATA_DIR": space.folder / f"faust-{name}", "PROCESSOR_SESSION_TIMEOUT_MS": 6000, **env}
        values = space.part_env("processor", **{k: v for k, v in overrides.items() if not k.startswith("TEST_")})
        values |= {k: str(v) for k, v in env.items() if k.startswith("TEST_")}
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *argv], env={**keep, **values}, stdout=out, stderr=out, cwd=Path(schemas.ROOT).parent
            )
        self.admin = values["AUDITWIRE_ADMIN_LISTEN"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def committed(space: Space, partitions: int = PARTITIONS) -> list[int]:
    """The group's committed offset of each raw partition; -1 where there is none, or Kafka does not tell just now."""
    offsets = GroupOffsets(processor_cluster(space), f"{space.name}-processor")
    try:
        found = [offsets.committed(f"{space.name}.raw", p) for p in range(partitions)]
    except KafkaException:
        found = [None] * partitions
    offsets.close()
    return [-1 if offset is None else offset for offset in found]

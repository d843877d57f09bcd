"""Events as the first release wrote them: 72 columns, in the clean topic, in an object of the archive, in a plan left open."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from confluent_kafka import Consumer, TopicPartition

import schemas
from connectors import avro, manifest, parquet
from connectors.archive import object_metadata
from connectors.kafka import cluster_of
from connectors.kafka_partitions import topic_id_of
from connectors.kafka_read import PartitionReader
from connectors.manifest import Manifest, Part
from connectors.ranges import Plan, Rows
from connectors.registry import SchemaRegistry
from pipeline import settings
from tests import archive_bucket
from tests.archive_rows import columns
from tests.archive_sink import CLASSES
from tests.fsck_world import AccountedTopic

SCHEMA = (schemas.ROOT / "released" / "audit_event" / "1.avsc").read_text(encoding="utf-8")
NAMES = [field["name"] for field in json.loads(SCHEMA)["fields"]]


def write(topic: AccountedTopic, count: int) -> Plan:
    """One transaction into partition 0, with its ledger record; the plan that a sink of that release makes of it."""
    registry = SchemaRegistry(topic.space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
    newest, topic._frame = topic._frame, avro.frame(registry.register(f"{topic.name}-value", SCHEMA))
    registry.close()
    topic.write_bodies({0: avro.encode(topic.made_of_raw(columns(count, 99, CLASSES), 0).select(NAMES), SCHEMA)})
    topic._frame = newest
    rows, cluster = _rows(topic), cluster_of(dict(topic.space.settings(settings.Migrate)))
    end, checksum = int(rows.offsets[-1]) + 1, avro.checksum(rows.digests)
    return Plan(topic.name, topic_id_of(cluster, topic.name, 20), 0, 0, end, len(rows), checksum, schema=len(NAMES))


def _rows(topic: AccountedTopic) -> Rows:
    cluster = cluster_of(dict(topic.space.settings(settings.Migrate)))
    with PartitionReader(cluster, "tests") as reader:
        records = list(reader.read(topic.name, 0, *reader.watermarks(topic.name, 0)))
    bodies = [(record.value or b"")[5:] for record in records]
    offsets, times = ([getattr(record, name) for record in records] for name in ("offset", "timestamp"))
    return Rows(avro.decode(bodies, SCHEMA), np.array(offsets), np.array(times), avro.digests(bodies))


def archive(topic: AccountedTopic, plan: Plan, *, closed: bool) -> None:
    """The range's objects with 72 columns as that release wrote them; ``closed``: and the manifest, and the group's commit."""
    bucket, path, rows, parts = archive_bucket.bucket(topic.space), topic.space.folder / "old", _rows(topic), []
    wide = parquet.columns_of(rows, 0)
    whole = wide.select([*NAMES, *(field.name for field in parquet.POSITION_FIELDS)])
    for name in CLASSES:
        held = whole.filter(pc.equal(whole.column(parquet.CLASS), name))
        digests = np.asarray(held.column("event_digest"))
        pq.write_table(pa.Table.from_batches([held]), path, compression="zstd", store_schema=False)
        key = manifest.object_key(plan, name, int(rows.timestamps[0]))
        part = Part(key, name, held.num_rows, avro.checksum(digests), path.stat().st_size, _sha256(path))
        bucket.put(key, path, {**object_metadata(plan, part), "sha256": part.sha256})
        parts.append(part)
    if closed:
        whole_range = Manifest.of(plan, tuple(parts))
        path.write_bytes(whole_range.to_json())
        bucket.put(whole_range.key, path, {})
        commit(topic, "archive", plan.end, "")
    path.unlink()


def commit(topic: AccountedTopic, sink: str, offset: int, text: str) -> None:
    """What the sink's group has committed of partition 0."""
    consumer = Consumer({**topic.client, "group.id": f"{topic.space.name}-{sink}-sink", "log_level": 3})
    consumer.commit(offsets=[TopicPartition(topic.name, 0, offset, metadata=text)], asynchronous=False)
    consumer.close()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

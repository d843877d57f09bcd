"""Reads every place where the benchmark's events are: clean topic, ClickHouse, archive, and an extract of the whole range."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

import schemas
from bench.oracle import OWN_EVENTS, Held, compare, held, identities
from connectors import avro, parquet
from connectors.clickhouse.client import Client
from connectors.clickhouse.store import read_events
from connectors.kafka import cluster_of
from connectors.kafka_read import PartitionReader
from connectors.s3 import Bucket
from pipeline import settings

STEP = 20_000


def topic(values: settings.Operator) -> Iterator[pa.RecordBatch]:
    """The clean topic from its start to its end, committed records only."""
    name = f"{values.namespace}.events"
    with PartitionReader(cluster_of(dict(values)), f"{values.namespace}-operator") as reader:
        for partition in reader.partitions(name):
            low, high = reader.watermarks(name, partition)
            records = []
            for record in reader.read(name, partition, low, high):
                records.append(record)
                if len(records) == STEP:
                    yield _decoded(partition, records)
                    records = []
            if records:
                yield _decoded(partition, records)


def _decoded(partition: int, records: list[Any]) -> pa.RecordBatch:
    columns = avro.decode([r.value[5:] for r in records], schemas.schema_text("audit_event"))
    columns = columns.append_column("kafka_partition", pa.array([partition] * len(records), pa.int32()))
    return columns.append_column("kafka_offset", pa.array([r.offset for r in records], pa.int64()))


def clickhouse(values: settings.Operator) -> Iterator[pa.RecordBatch]:
    """All rows of ClickHouse."""
    client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
    try:
        yield from read_events(client, values.namespace)
    finally:
        client.close()


def archive(values: settings.Operator) -> Iterator[pa.RecordBatch]:
    """All rows of all Parquet objects of the archive."""
    secret = values.s3_secret_access_key.get_secret_value()
    bucket = Bucket(values.s3_endpoint, values.s3_region, values.s3_bucket, values.s3_access_key_id, secret)
    with TemporaryDirectory() as folder:
        for key in bucket.keys("events/"):
            if key.endswith(".parquet"):
                path = Path(folder) / "object.parquet"
                bucket.download(key, path)
                yield from rows_of_file(path)
                path.unlink()


def rows_of_file(path: Path) -> Iterator[pa.RecordBatch]:
    """Event columns and position of a Parquet file of archive or extract."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(STEP):
            columns = parquet.events_of(batch)
            for name in ("kafka_partition", "kafka_offset"):
                columns = columns.append_column(name, batch.column(name))
            yield columns


def extract(env: Mapping[str, str], token: str, tenants: list[str], folder: Path) -> Iterator[pa.RecordBatch]:
    """Everything of the tenants through the export service, as Parquet."""
    headers = {"Authorization": f"Bearer {token}"}
    whole = {"from": datetime(1970, 1, 1, tzinfo=UTC).isoformat(), "to": (datetime.now(UTC) + timedelta(days=365)).isoformat()}
    with httpx.Client(base_url=env["AUDITWIRE_EXPORT_URL"], headers=headers, timeout=60) as client:
        for tenant in tenants:
            asked = client.post("/v1/extracts", json={"tenant": tenant, **whole, "format": "parquet"}).raise_for_status().json()
            job = _finished(client, asked["id"])
            manifest = client.get(f"/v1/extracts/{job}/files/manifest.json").raise_for_status().json()
            for file in manifest["files"]:
                path = folder / f"{tenant}-{file['name']}"
                with client.stream("GET", f"/v1/extracts/{job}/files/{file['name']}") as answer, path.open("wb") as out:
                    for piece in answer.raise_for_status().iter_bytes():
                        out.write(piece)
                yield from rows_of_file(path)


def _finished(client: httpx.Client, job: str, seconds: float = 300) -> str:
    deadline = time.monotonic() + seconds
    while True:
        found = client.get(f"/v1/extracts/{job}").raise_for_status().json()
        if found["state"] == "done":
            return job
        if found["state"] == "failed" or time.monotonic() > deadline:
            raise RuntimeError(f"the extract is not done: {found}")
        time.sleep(0.2)


def settled(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Without the export service's own events and the heartbeats of producers: they go on being written while we compare."""
    for batch in batches:
        kinds = batch.column("event_type").to_pylist()
        yield batch.filter(pa.array([not kind.startswith(OWN_EVENTS) for kind in kinds]))


def all_places(env: Mapping[str, str], token: str, tenants: list[str], folder: Path) -> tuple[list[Held], list[str], list[str]]:
    """What each place holds, the differences (empty: all equal), and the identities in ClickHouse."""
    values = settings.load(settings.Operator, env)
    places = [
        held("extract", settled(extract(env, token, tenants, folder))),
        held("clean topic", settled(topic(values))),
        held("ClickHouse", settled(clickhouse(values))),
        held("archive", settled(archive(values))),
    ]
    differences = [str(d) for other in (0, 2, 3) if (d := compare(places[1], places[other])) and (d.only_left or d.only_right)]
    return places, differences, list(identities(clickhouse(values)))

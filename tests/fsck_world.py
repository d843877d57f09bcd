"""For tests of fsck: a clean topic whose ledger balances, stored by both sinks, and the means to tamper with each place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import schemas
from connectors import avro, parquet
from connectors.registry import SchemaRegistry
from infra.stack.servers.clickhouse import ClickHouse
from pipeline import settings
from tests import archive_bucket
from tests.archive_rows import columns
from tests.archive_sink import CLASSES, ArchiveProcess, ClassedTopic, settled
from tests.sinks import ROOT, SinkProcess, drained
from tests.space import Space


@dataclass
class AccountedTopic(ClassedTopic):
    """A clean topic with a ledger record for each partition of each transaction, as processors write them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        registry = SchemaRegistry(self.space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
        ledger = f"{self.space.name}.ledger"
        self._codec = avro.RecordCodec("ledger_record", registry.id_of(f"{ledger}-value", schemas.schema_text("ledger_record")))
        registry.close()
        self._raw: dict[int, int] = {}

    def write(
        self, count: int, partitions: tuple[int, ...] = (0, 1), commit: bool = True, at_ms: int = 0, off_by: int = 0
    ) -> None:
        """One transaction; ``off_by`` is what the ledger's checksums are wrong by."""
        self._seed += 1
        bodies, of = avro.encode(columns(count, self._seed, CLASSES)), len(partitions)
        self.write_bodies({partition: bodies[i::of] for i, partition in enumerate(partitions)}, commit, off_by)

    def write_bodies(self, bodies: Mapping[int, list[bytes]], commit: bool = True, off_by: int = 0) -> None:
        """The same of given events, by partition."""
        self._producer.begin_transaction()
        before = dict(self._raw)
        for partition, mine in bodies.items():
            for body in mine:
                self._producer.produce(self.name, self._frame + body, partition=partition)
            entry = self._codec.encode(self._entry(partition, mine, off_by))
            self._producer.produce(f"{self.space.name}.ledger", entry, partition=partition)
        self._producer.flush(60)
        self._end(commit, tuple(bodies))
        self._raw = self._raw if commit else before

    def _entry(self, partition: int, bodies: list[bytes], off_by: int) -> dict[str, Any]:
        start = self._raw.get(partition, 0)
        self._raw[partition] = start + len(bodies) + 3
        checksum = np.uint64((avro.checksum(avro.digests(bodies)) + off_by) % 2**64)
        return {
            "raw_topic": f"{self.space.name}.raw",
            "raw_partition": partition,
            "start_offset": start,
            "end_offset": start + len(bodies) + 3,
            "read": len(bodies) + 3,
            "clean": len(bodies),
            "quarantined": 2,
            "duplicates": 1,
            "conflicts": 0,
            "checksum": int(checksum.astype(np.int64)),
            "lost": 0,
            "reasons": [{"reason": "bad_avro", "count": 2}],
            "sequences": [],
            "identities": b"",
            "resolved": [],
            "snapshot": None,
            "resolved_before": [],
            "rules_revision": "",
            "version": "",
            "max_timestamp": datetime(2026, 11, 1, tzinfo=UTC),
        }


def store(topic: ClassedTopic) -> None:
    """Run both sinks until everything is stored."""
    with SinkProcess(topic.space) as clickhouse, ArchiveProcess(topic.space) as archive:
        drained(topic, clickhouse)
        settled(topic, archive)


def fsck(space: Space, *arguments: str, **overrides: object) -> tuple[int, str, str]:
    """`auditwired fsck` as the operator: exit code, standard output, standard error."""
    env = {**space.env, **{settings.PREFIX + k: str(v) for k, v in overrides.items()}}
    mine = {k: v for k, v in env.items() if k in settings.names_of(settings.Operator)}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)}
    argv = [sys.executable, "-m", "pipeline", "fsck", *arguments]
    done = subprocess.run(argv, cwd=ROOT, env={**clean, **mine}, capture_output=True, text=True, timeout=200, check=False)
    return done.returncode, done.stdout, done.stderr


def found(space: Space, *arguments: str) -> set[tuple[str, int | None]]:
    """(kind, first offset) of every finding; also checks that the exit code says the same as the report."""
    code, out, err = fsck(space, "--json", *arguments)
    assert code in (0, 1), err
    report = json.loads(out)
    assert report["agrees"] == (code == 0) == (not report["findings"])
    return {(f["kind"], f["first"]) for f in report["findings"]}


def query(space: Space, sql: str) -> str:
    """As the stack's own ClickHouse user, who may do what no part may."""
    return cast(ClickHouse, space.stack.servers["clickhouse"]).query(sql)


def overwrite(space: Space, key: str, change: Callable[[pa.Table], pa.Table], path: Path) -> None:
    """Put a changed copy of an object over it, with the same metadata: what somebody with the admin key could do."""
    bucket = archive_bucket.bucket(space, "admin", create_only=False)
    stored = bucket.head(key)
    assert stored is not None
    bucket.download(key, path)
    table = change(pa.Table.from_batches(list(parquet.read(path))))
    pq.write_table(table, path, store_schema=False)
    bucket.put(key, path, stored.metadata)

"""For tests of fsck: a clean topic whose ledger balances, stored by both sinks, and the means to tamper with each place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Consumer, TopicPartition

import schemas
from connectors import avro, parquet
from connectors.registry import SchemaRegistry
from infra.stack.servers.clickhouse import ClickHouse
from pipeline import settings
from pipeline.fsck.check import Checker, Control, Scope
from pipeline.rebuild import ledger
from pipeline.rebuild.command import Servers
from pipeline.rebuild.task import Task
from tests import archive_bucket
from tests.archive_rows import columns
from tests.archive_sink import CLASSES, ArchiveProcess, ClassedTopic, settled
from tests.sinks import ROOT, SinkProcess, drained
from tests.space import Space
from tests.waiting import until

REJECTED = 2
DUPLICATES = 1


@dataclass
class AccountedTopic(ClassedTopic):
    """A clean topic, and what processors write besides: a ledger record for each partition of each transaction, rejects."""

    def __post_init__(self) -> None:
        super().__post_init__()
        registry = SchemaRegistry(self.space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
        self._codecs = {
            topic: avro.RecordCodec(name, registry.id_of(f"{self.space.name}.{topic}-value", schemas.schema_text(name)))
            for topic, name in (("ledger", "ledger_record"), ("quarantine", "quarantined_event"))
        }
        registry.close()
        self._raw: dict[int, int] = {}
        self._sequence: dict[int, int] = {}

    def write(
        self,
        count: int,
        partitions: tuple[int, ...] = (0, 1),
        commit: bool = True,
        at_ms: int = 0,
        off_by: int = 0,
        rejected: int = REJECTED,
    ) -> None:
        """One transaction; ``off_by`` is what the ledger's checksums are wrong by, ``rejected`` what is really quarantined."""
        self._seed += 1
        whole, of = columns(count, self._seed, CLASSES), len(partitions)
        bodies = {p: avro.encode(self.made_of_raw(whole.take(list(range(i, count, of))), p)) for i, p in enumerate(partitions)}
        self.write_bodies(bodies, commit, off_by, rejected)

    def made_of_raw(self, events: pa.RecordBatch, partition: int) -> pa.RecordBatch:
        """The events as made of the next raw records of the partition."""
        first = self._raw.get(partition, 0) + REJECTED
        arrays = dict(zip(events.schema.names, events.columns, strict=True))
        arrays["processed_raw_partition"] = pa.array([partition] * events.num_rows, pa.int64())
        arrays["processed_raw_offset"] = pa.array(range(first, first + events.num_rows), pa.int64())
        return pa.RecordBatch.from_arrays(list(arrays.values()), schema=events.schema)

    def write_bodies(
        self, bodies: Mapping[int, list[bytes]], commit: bool = True, off_by: int = 0, rejected: int = REJECTED
    ) -> None:
        """The same of given events, by partition; they name the raw records that are next (`made_of_raw`)."""
        self._producer.begin_transaction()
        before = dict(self._raw), dict(self._sequence)
        for partition, mine in bodies.items():
            for body in mine:
                self._producer.produce(self.name, self._frame + body, partition=partition)
            for place in range(rejected):
                self._send("quarantine", self._reject(partition, self._raw.get(partition, 0) + place), partition)
            self.last_entry = self._entry(partition, mine, off_by)
            self.account(self.last_entry, partition)
        self._producer.flush(60)
        self._end(commit, tuple(bodies))
        if not commit:
            self._raw, self._sequence = before

    def alone(self, entry: dict[str, Any], partition: int) -> None:
        """A transaction with nothing in it but a ledger record: what somebody with a processor's password could do."""
        self._producer.begin_transaction()
        self.account(entry, partition)
        self._producer.flush(60)
        self._producer.commit_transaction(60)

    def account(self, entry: dict[str, Any], partition: int) -> None:
        """A ledger record into the open transaction."""
        self._send("ledger", entry, partition)

    def ledger_committed(self) -> None:
        """The ledger sink's group is done with what the ledger holds."""
        ledger = f"{self.space.name}.ledger"
        consumer = Consumer({**self.client, "group.id": f"{self.space.name}-ledger-sink", "log_level": 3})
        places = [TopicPartition(ledger, p) for p in consumer.list_topics(ledger, 20).topics[ledger].partitions]
        ends = [TopicPartition(ledger, p.partition, consumer.get_watermark_offsets(p, 20)[1]) for p in places]
        consumer.commit(offsets=ends, asynchronous=False)
        consumer.close()

    def _send(self, topic: str, record: dict[str, Any], partition: int) -> None:
        self._producer.produce(f"{self.space.name}.{topic}", self._codecs[topic].encode(record), partition=partition)

    def _reject(self, partition: int, raw_offset: int) -> dict[str, Any]:
        return {
            "raw_topic": f"{self.space.name}.raw",
            "raw_partition": partition,
            "raw_offset": raw_offset,
            "raw_timestamp": datetime(2026, 11, 1, tzinfo=UTC),
            "tenant_id": "",
            "stage": "decode",
            "reason": "bad_avro",
            "detail": "",
            "key_id": "",
            "nonce": b"",
            "sealed": b"",
            "original_length": 1,
            "replayed_from_offset": None,
        }

    def _entry(self, partition: int, bodies: list[bytes], off_by: int) -> dict[str, Any]:
        start, first = self._raw.get(partition, 0), self._sequence.get(partition, 0)
        end, extra = start + len(bodies) + REJECTED + DUPLICATES, REJECTED + DUPLICATES
        self._raw[partition], self._sequence[partition] = end, first + len(bodies)
        checksum = np.uint64((avro.checksum(avro.digests(bodies)) + off_by) % 2**64)
        return {
            "raw_topic": f"{self.space.name}.raw",
            "raw_partition": partition,
            "start_offset": start,
            "end_offset": end,
            "read": len(bodies) + extra,
            "clean": len(bodies),
            "quarantined": REJECTED,
            "duplicates": DUPLICATES,
            "conflicts": 0,
            "checksum": int(checksum.astype(np.int64)),
            "lost": 0,
            "reasons": [{"reason": "bad_avro", "count": REJECTED}],
            "sequences": [_interval(f"producer-{n}", first, first + len(bodies) - 1) for n in range(2)] if bodies else [],
            "identities": b"",
            "resolved": [],
            "snapshot": None,
            "resolved_before": [],
            "rules_revision": "",
            "version": "",
            "max_timestamp": datetime(2026, 11, 1, tzinfo=UTC),
            "quarantined_sequences": [],
            "duplicate_sequences": [_interval("producer-0", first, first)] if bodies else [],
            "conflict_sequences": [],
        }


def _interval(producer: str, first: int, last: int) -> dict[str, Any]:
    return {"tenant_id": "demo", "producer_id": producer, "producer_epoch": 1, "first": first, "last": last}


def store(topic: ClassedTopic, to_the_end: bool = False) -> None:
    """Run both sinks until everything is stored; ``to_the_end``: and until their groups stand at the end of the topic, for which
    they are idle a second.
    """
    with SinkProcess(topic.space) as clickhouse, ArchiveProcess(topic.space) as archive:
        drained(topic, clickhouse)
        settled(topic, archive)
        if to_the_end:
            until(partial(_at_the_end, topic, "clickhouse-sink"), 60, clickhouse.text)
            until(partial(_at_the_end, topic, "archive-sink"), 60, archive.text)


def _at_the_end(topic: ClassedTopic, sink: str) -> bool:
    have = topic.committed(f"{topic.space.name}-{sink}")
    return all(have.get(partition, 0) >= end for partition, end in topic.ends().items())


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


def looked(space: Space, control: Control | None = None, since: int = 0) -> set[tuple[str, int | None]]:
    """(kind, first offset) of every finding, in this process; ``control`` switches comparisons off."""
    with Checker(space.settings(settings.Operator), control=control) as checker:
        return {(f.kind, f.first) for f in checker.report(Scope(None, since, None, 100_000)).findings}


def mirror_ledger(space: Space) -> None:
    """The ledger tables, as the ledger sink would have written them."""
    with ExitStack() as stack:
        servers = Servers(space.settings(settings.Operator), space.settings(settings.Rebuild), stack)
        ledger.rebuild(servers, servers.partitions(None), Task(0, None, 1, lambda _: None))


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

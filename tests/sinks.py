"""For tests of sinks: clean events in a topic (with aborted transactions and gaps), a sink as a process, and the oracle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

import schemas
from connectors import avro
from connectors.clickhouse import store
from connectors.clickhouse.client import Client
from connectors.registry import SchemaRegistry
from infra.stack.servers.kafka import Kafka
from pipeline import settings
from tests.archive_rows import columns
from tests.log_end import transactions_ended
from tests.space import Space
from tests.waiting import until

ROOT = Path(__file__).parent.parent
SESSION_TIMEOUT_MS = 2500  # no longer than the next process needs to start, so that it waits for nobody
Key = tuple[int, int, int]  # partition, offset, digest


@dataclass
class CleanTopic:
    """Writes events into a space's clean topic the way processors do: in transactions."""

    space: Space
    transaction: str = "audit-test-writer"

    def __post_init__(self) -> None:
        self.name = f"{self.space.name}.events"
        self.client = cast(Kafka, self.space.stack.servers["kafka"]).client("admin")
        registry = SchemaRegistry(self.space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
        self._frame = avro.frame(registry.id_of(f"{self.name}-value", schemas.schema_text("audit_event")))
        registry.close()
        ids = {"transactional.id": f"{self.space.name}-{self.transaction}", "transaction.timeout.ms": 60000}
        self._producer = Producer({**self.client, **ids, "linger.ms": 5, "log_level": 3})
        self._producer.init_transactions(60)
        self._seed = 0

    def write(self, count: int, partitions: tuple[int, ...] = (0, 1, 2, 3), commit: bool = True) -> None:
        """One transaction of ``count`` events, committed or aborted."""
        self._seed += 1
        self._producer.begin_transaction()
        for i, body in enumerate(avro.encode(columns(count, self._seed))):
            self._producer.produce(self.name, self._frame + body, partition=partitions[i % len(partitions)])
        self._producer.flush(60)
        self._end(commit, partitions)

    def _end(self, commit: bool, partitions: tuple[int, ...]) -> None:
        (self._producer.commit_transaction if commit else self._producer.abort_transaction)(60)
        assert transactions_ended(self.client, self.name, partitions), "the transaction has ended and its markers do not show"

    def records(self) -> set[Key]:
        """Position and digest of every committed event, read by a client of its own."""
        config = {**self.client, "group.id": "oracle", "isolation.level": "read_committed", "enable.partition.eof": True}
        consumer = Consumer({**config, "enable.auto.commit": False, "log_level": 3})
        partitions = list(consumer.list_topics(self.name, 20).topics[self.name].partitions)
        consumer.assign([TopicPartition(self.name, p, OFFSET_BEGINNING) for p in partitions])
        found, open_ends = set[Key](), set(partitions)
        while open_ends:
            for message in consumer.consume(10_000, 1.0):
                error = message.error()
                if error is None:
                    (digest,) = avro.digests([message.value()[5:]])
                    found.add((message.partition(), message.offset(), int(digest)))
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition())
        consumer.close()
        return found

    def committed(self, group: str) -> dict[int, int]:
        """Committed offset of each partition of a group."""
        consumer = Consumer({**self.client, "group.id": group, "log_level": 3})
        parts = [TopicPartition(self.name, p) for p in consumer.list_topics(self.name, 20).topics[self.name].partitions]
        found = {p.partition: p.offset for p in consumer.committed(parts, 20) if p.offset >= 0}
        consumer.close()
        return found

    def ends(self) -> dict[int, int]:
        """End of each partition's log, behind the mark of its last transaction."""
        consumer = Consumer({**self.client, "group.id": "ends", "log_level": 3})
        numbers = consumer.list_topics(self.name, 20).topics[self.name].partitions
        found = {p: consumer.get_watermark_offsets(TopicPartition(self.name, p), 20)[1] for p in numbers}
        consumer.close()
        return found


@contextmanager
def clickhouse(space: Space, user: str = "OPERATOR") -> Iterator[Client]:
    """A ClickHouse client as one of the space's users."""
    env = space.env
    client = Client(
        env["AUDITWIRE_CLICKHOUSE_URL"], env[f"AUDITWIRE_{user}_CLICKHOUSE_USER"], env[f"AUDITWIRE_{user}_CLICKHOUSE_PASSWORD"]
    )
    yield client
    client.close()


def stored(space: Space) -> Counter[Key]:
    """What ClickHouse holds: position and the digest **recomputed** from the columns → number of rows."""
    found: Counter[Key] = Counter()
    with clickhouse(space) as client:
        for batch in store.read_events(client, space.name):
            digests = avro.digests(avro.encode(store.events_only(batch)))
            assert np.array_equal(digests, batch.column("event_digest").to_numpy())
            found.update(zip(_ints(batch, "kafka_partition"), _ints(batch, "kafka_offset"), digests.tolist(), strict=True))
    return found


def _ints(batch: Any, name: str) -> list[int]:
    return cast(list[int], batch.column(name).to_pylist())


@dataclass
class Difference:
    """How the store differs from the topic."""

    missing: set[Key]
    extra: set[Key]
    doubled: set[Key]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.doubled)

    def beyond_repair(self, committed: Mapping[int, int]) -> set[Key]:
        """What no sink may leave even in the moment it is killed: what is extra, double, or missing though it is committed."""
        return self.extra | self.doubled | {key for key in self.missing if key[1] < committed.get(key[0], 0)}

    def __repr__(self) -> str:
        return f"{len(self.missing)} missing, {len(self.extra)} extra, {len(self.doubled)} doubled"


def compare(topic: CleanTopic) -> Difference:
    """Topic against ClickHouse."""
    wanted, found = topic.records(), stored(topic.space)
    return Difference(wanted - set(found), set(found) - wanted, {k for k, n in found.items() if n > 1})


@dataclass
class SinkProcess:
    """The ClickHouse sink as a process of its own; ``faults`` as `tests.sink_worker` reads them, such as ``kill@planned:2``."""

    space: Space
    faults: tuple[str, ...] = ()
    overrides: dict[str, object] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> SinkProcess:
        session = {"CLICKHOUSE_SINK_SESSION_TIMEOUT_MS": SESSION_TIMEOUT_MS}
        values = {**session, "CLICKHOUSE_SINK_FLUSH_MS": 100, **self.overrides}
        self.env = self.space.part_env("clickhouse-sink", **values)
        log = (self.space.folder / f"sink-{time.monotonic_ns()}.log").open("wb")
        self.log = Path(log.name)
        env = {**{k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)}, **self.env}
        argv = [sys.executable, "-m", *(("tests.sink_worker", *self.faults) if self.faults else ("pipeline", "clickhouse-sink"))]
        self.process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=log, stderr=log)
        log.close()
        return self

    def __enter__(self) -> SinkProcess:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def died(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def stopped(self) -> bool:
        """SIGSTOP has taken hold."""
        assert self.process is not None
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def text(self) -> str:
        """Its log so far, with the stack of each of its threads while it lives."""
        if not self.died():
            self.send(signal.SIGUSR1)
            time.sleep(0.5)
        return self.log.read_text(errors="replace")


def drained(topic: CleanTopic, *sinks: SinkProcess, seconds: float = 90.0) -> None:
    """Wait until the sink's group has committed everything in the topic."""
    wanted = {p: max(o for q, o, _ in records if q == p) + 1 for records in [topic.records()] for p in {p for p, _, _ in records}}

    def done() -> bool:
        have = topic.committed(f"{topic.space.name}-clickhouse-sink")
        return all(have.get(p, -1) >= end for p, end in wanted.items())

    until(done, seconds, lambda: "\n".join(s.text()[-3000:] for s in sinks))

"""What `bench.peers` measures in: raw events in a namespace of its own; CPU of whoever works on them and of the servers."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.archive_sink import peak_mb
from bench.stages import ABSENT, event
from connectors.clickhouse.client import Client
from connectors.kafka import SILENT, cluster_of, producer_config
from pipeline import settings
from schemas import event_fields
from tests import space
from tests.processing import PARTITIONS, bodies, event_frame
from tests.waiting import until

SERVERS = {"kafka": "AUDITWIRE_KAFKA_BOOTSTRAP", "clickhouse": "AUDITWIRE_CLICKHOUSE_URL", "s3": "AUDITWIRE_S3_ENDPOINT"}
WRITTEN = ("processed_",)
WARM = 5  # steady state begins after one part of so many of the events


@dataclass(frozen=True)
class Figure:
    """CPU seconds of the client and of the servers, and how long it took, for so many events; ``warm``: of the later events."""

    events: int
    cpu: float
    seconds: float
    servers: dict[str, float]
    peak_mb: float = float("nan")
    warm: Figure | None = None

    @property
    def per_million(self) -> float:
        return self.cpu / self.events * 1e6

    @property
    def steady(self) -> Figure:
        """Without the warm-up, where that is known."""
        return self.warm or self


class World:
    """A namespace with raw events, and who listens where."""

    def __init__(self, one: space.Space, count: int, dirty: float) -> None:
        self.space, self.count = one, count
        self.values = one.settings(settings.Migrate)
        self.cluster = cluster_of(dict(self.values))
        native = {"AUDITWIRE_CLICKHOUSE_NATIVE": f"127.0.0.1:{one.stack.state.ports['clickhouse_tcp']}"}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)} | one.env | native
        self._servers = {name: _listener(one.env[variable]) for name, variable in SERVERS.items()}
        self.size = self._preload(dirty)
        self.clickhouse = Client(
            self.values.clickhouse_url, self.values.clickhouse_user, self.values.clickhouse_password.get_secret_value(), 600
        )

    def _preload(self, dirty: float) -> float:
        rng, frame = random.Random(7), event_frame(self.space)
        made = [ABSENT | event(rng, i, rng.random() < dirty) for i in range(min(self.count, 20_000))]
        producer = Producer(producer_config(self.cluster, queue_buffering_max_messages=self.count + 1, linger_ms=50))
        total = 0
        for start in range(0, self.count, len(made)):
            ids = [
                {**one, "event_id": f"{start + n:08x}-0000-4000-8000-{n:012x}", "sequence": start + n}
                for n, one in enumerate(made[: self.count - start])
            ]
            for n, body in enumerate(bodies(ids)):
                producer.produce(f"{self.space.name}.raw", frame + body, partition=n % PARTITIONS)
                total += len(body)
        if producer.flush(120):
            raise SystemExit("not all events were taken by Kafka")
        return total / self.count

    @contextmanager
    def servers(self, spent: dict[str, float]) -> Iterator[None]:
        """Adds the CPU seconds of the servers meanwhile."""
        before = {name: cpu(process) for name, process in self._servers.items()}
        yield
        spent.update({name: cpu(process) - before[name] for name, process in self._servers.items()})

    def drained(self, pid: int, ready: Callable[[], bool], done: Callable[[], int], end: int) -> Figure:
        """Measure a process that was just started, from its first instruction until ``done`` says ``end``: all events."""
        process, spent, began = psutil.Process(pid), dict[str, float](), time.monotonic()

        def at(least: int) -> Figure:
            seen = 0

            def there() -> bool:
                nonlocal seen
                if process.status() == psutil.STATUS_ZOMBIE:
                    raise SystemExit(f"the process has ended at {seen} of {end}")
                seen = done()
                return seen >= least

            until(there, 300, lambda: f"only {seen} of {end} are done")
            return Figure(seen * self.count // end, cpu(process), time.monotonic() - began, {})

        with self.servers(spent):
            until(ready, 120)
            early, whole = at(max(1, end // WARM)), at(end)
        later = Figure(whole.events - early.events, whole.cpu - early.cpu, whole.seconds - early.seconds, {})
        return Figure(self.count, whole.cpu, whole.seconds, spent, peak_mb(pid), later if later.events > 0 else None)

    def stored(self, table: str) -> int:
        """Rows of a table of the namespace."""
        return int(self.clickhouse.rows(f"SELECT count() FROM {table}", database=self.space.name)[0][0])

    def create_topic(self, topic: str) -> None:
        """With as many partitions as the others."""
        admin = AdminClient({**self.cluster.config(), **SILENT})
        for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
            made.result(30)

    def create_table(self, table: str) -> None:
        """Of the structure of `events`."""
        self.clickhouse.command(f"CREATE TABLE {table} AS events", database=self.space.name)

    def differences(self, table: str, count: int) -> list[str]:
        """What a peer stored otherwise than the pipeline, by the fields that producers gave: nothing but ``count`` events,
        each once and each as in `events`, is right. At most five event ids.
        """
        rows, distinct = self.clickhouse.rows(f"SELECT count(), uniqExact(event_id) FROM {table}", database=self.space.name)[0]
        if not 0 < rows == distinct == count:
            return [f"({rows} rows with {distinct} event ids in table {table}, not {count})"]
        columns = ", ".join(name for name in event_fields() if not name.startswith(WRITTEN))
        of = f"SELECT event_id, sipHash128(tuple({columns})) FROM"
        sql = f"SELECT event_id FROM ({of} {table} EXCEPT {of} events) LIMIT 5"
        return [f"{row[0]} of table {table}" for row in self.clickhouse.rows(sql, database=self.space.name)]


def _listener(address: str) -> psutil.Process:
    port = int(address.rpartition(":")[2].rstrip("/"))
    found = (c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port)
    return psutil.Process(next(pid for pid in found if pid))


def cpu(process: psutil.Process) -> float:
    """CPU seconds that it has used since it began."""
    return sum(process.cpu_times()[:2])

"""Watches a running pipeline from outside: committed offsets of each stage, CPU of each process, emit → queryable latency."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import numpy as np
import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from auditwire import AuditClient, AuditEvent
from connectors.kafka import cluster_of, consumer_config
from connectors.kafka_read import PartitionReader, ReadError
from pipeline import settings

FOUND = (
    "SELECT DISTINCT event_id FROM audit.events"
    " WHERE tenant_id = 'probe' AND event_type = 'probe.sent' AND event_id IN {ids:Array(String)}"
)
STAGES = {"processor": "raw", "clickhouse-sink": "events", "archive-sink": "events"}


@dataclass
class Memory:
    """Resident megabytes (10⁶ bytes) of processes with their children over time; ``pids`` says each time which they are."""

    pids: Callable[[], Mapping[str, int | None]]
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def look(self) -> None:
        """Note them now."""
        now = time.monotonic()
        for name, pid in self.pids().items():
            size = resident(pid) if pid is not None else 0.0
            if size:
                self.series.setdefault(name, []).append((now, size))

    def between(self, begin: float, end: float) -> dict[str, dict[str, float]]:
        """For each process: megabytes first, at most and last, and how many a minute they grew in the second half."""
        made = {}
        for name, seen in self.series.items():
            part = [(at, size) for at, size in seen if begin <= at <= end]
            if len(part) > 3:
                times, sizes = zip(*part, strict=True)
                half = len(part) // 2
                growth = np.polyfit(times[half:], sizes[half:], 1)[0] * 60
                figures = {"first": sizes[0], "most": max(sizes), "last": sizes[-1], "growth_a_minute": float(growth)}
                made[name] = {key: round(value, 1) for key, value in figures.items()}
        return made


def resident(pid: int) -> float:
    """Resident megabytes of a process and its children; 0 where it has ended."""
    try:
        process = psutil.Process(pid)
        return float(sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))) / 1e6
    except psutil.Error:
        return 0.0


@dataclass
class Offsets:
    """Total committed offset of each stage over time, and what it has to reach. ``values``: of a user who may read the topics."""

    values: settings.Migrate | settings.Operator
    series: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: {s: [] for s in STAGES})

    def __post_init__(self) -> None:
        self._behind = dict.fromkeys(STAGES, 0)
        self._connect()
        raw = f"{self.values.namespace}.raw"
        found = next(iter(self._clients.values())).list_topics(raw, timeout=30)
        self._partitions = sorted(found.topics[raw].partitions)

    def _connect(self) -> None:
        cluster, namespace = cluster_of(dict(self.values)), self.values.namespace
        self._clients = {s: Consumer(consumer_config(cluster, f"{namespace}-{s}")) for s in STAGES}

    def renew(self) -> None:
        """Go on with new clients: one that a broker stood still for may ask for its coordinator in vain for minutes."""
        self.close()
        self._connect()

    def poll(self) -> bool:
        """Note where each stage stands; True when all have reached the end of their input. False while Kafka does not answer."""
        try:
            level = [self.reached(stage, self.ends(stage)) for stage in STAGES]
        except (KafkaException, ReadError):
            return False
        return all(level)

    def behind(self) -> dict[str, int]:
        """From where each stage stands to the end of its input, in offsets, markers included; the last known without Kafka."""
        for stage in STAGES:
            with suppress(KafkaException):
                done = self._clients[stage].committed(
                    [TopicPartition(self._input(stage), p) for p in self._partitions], timeout=5
                )
                self._behind[stage] = sum(self.ends(stage)) - sum(max(0, p.offset) for p in done)
        return dict(self._behind)

    def ends(self, stage: str) -> list[int]:
        """The end of each partition of a stage's input. Raises KafkaException."""
        topic, client = self._input(stage), self._clients[stage]
        return [client.get_watermark_offsets(TopicPartition(topic, p), timeout=5)[1] for p in self._partitions]

    def reached(self, stage: str, ends: Sequence[int]) -> bool:
        """Note where a stage stands; whether it has done its input up to ``ends``. Raises KafkaException, ReadError."""
        topic = self._input(stage)
        done = self._clients[stage].committed([TopicPartition(topic, p) for p in self._partitions], timeout=5)
        at = [max(0, p.offset) for p in done]
        self.series[stage].append((time.monotonic(), sum(at)))
        return all(self._nothing_between(topic, *each) for each in zip(self._partitions, at, ends, strict=True))

    def _input(self, stage: str) -> str:
        return f"{self.values.namespace}.{STAGES[stage]}"

    def _nothing_between(self, topic: str, partition: int, at: int, end: int) -> bool:
        """Whether ``at … end`` holds transaction markers only: a committed offset stays before the last of them."""
        if at >= end or end - at > 100:
            return at >= end
        with PartitionReader(cluster_of(dict(self.values)), f"{self.values.namespace}-operator") as reader:
            return not any(True for _ in reader.read(topic, partition, at, end))

    def drained(self, seconds: float) -> None:
        """Wait until every stage has everything. Raises TimeoutError naming where each stands."""
        deadline = time.monotonic() + seconds
        while not self.poll():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not everything is stored after {seconds:.0f} s: { ({s: v[-1][1] for s, v in self.series.items() if v}) }"
                )
            time.sleep(0.2)

    def rate(self, stage: str, events: int) -> float:
        """Events per second of a stage from its first movement to its last."""
        seen = self.series[stage]
        start = next((t for (t, v), (_, w) in itertools.pairwise(seen) if w > v), seen[0][0])
        end = next(t for t, v in seen if v == seen[-1][1])
        return events / max(end - start, 0.2)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def cpu_seconds(pids: Mapping[str, int | None]) -> dict[str, float]:
    """User and system CPU seconds of each process with its children."""
    found = {}
    for name, pid in pids.items():
        if pid is not None:
            process = psutil.Process(pid)
            times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
            found[name] = sum(t.user + t.system for t in times)
    return found


class Probe(threading.Thread):
    """Emits an event every ``pause`` seconds and asks ClickHouse every 20 ms which of them a query finds; ``seconds`` each took,
    in the order in which they were found.
    """

    def __init__(self, env: Mapping[str, str], stop: Callable[[], bool], pause: float = 0.05) -> None:
        super().__init__(name="probe", daemon=True)
        self._env, self._stop, self._pause = env, stop, pause
        self._sent: dict[str, float] = {}
        self.seconds: list[float] = []

    def run(self) -> None:
        user = {
            "X-ClickHouse-User": self._env["AUDITWIRE_OPERATOR_CLICKHOUSE_USER"],  # analysts have a quota of queries
            "X-ClickHouse-Key": self._env["AUDITWIRE_OPERATOR_CLICKHOUSE_PASSWORD"],
        }
        with (
            AuditClient.from_env("probe", env=self._env, tenant="probe") as client,
            httpx.Client(headers=user, timeout=30) as http,
        ):
            due = time.monotonic()
            while not self._stop() or self._sent:
                if time.monotonic() >= due and not self._stop():
                    due = max(due + self._pause, time.monotonic())
                    at = time.monotonic()
                    self._sent[client.record(AuditEvent(event_type="probe.sent")).event_id] = at
                self._look(http)
                time.sleep(0.02)

    def _look(self, http: httpx.Client) -> None:
        wanted = list(itertools.islice(self._sent, 500))
        with suppress(httpx.HTTPError):
            answer = http.post(
                self._env["AUDITWIRE_CLICKHOUSE_URL"], params={"param_ids": f"[{','.join(map(repr, wanted))}]"}, content=FOUND
            )
            if answer.is_success:
                now = time.monotonic()
                self.seconds += [now - self._sent.pop(found) for found in answer.text.split()]


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the values lie; NaN of none."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def say(text: str) -> None:
    """A line on how far a run is, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()

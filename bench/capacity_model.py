"""The capacity model: what a rate of events costs, fitted to measured runs (`bench/capacity.json`), and sizes made of it.

cores of a part = idle + turn · min(R, P / linger) + R · (event + kb · K + dirty · D · K)

R events a second, K kilobytes of Avro an event, D share of events with something to redact, P partitions. ``turn``: what a
batch costs however small; a partition with events makes one each linger. Servers: idle + R · event, from runs of everything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from pipeline import settings

DATA = Path(__file__).with_name("capacity.json")
FETCH = 0.1  # seconds that a broker waits for more (connectors/kafka.py)


def _default(model: type[BaseModel], name: str) -> Any:
    return model.model_fields[name].default


LINGER = {
    "processor": _default(settings.Processor, "linger_ms") / 1000,
    "clickhouse-sink": _default(settings.ClickHouseSink, "flush_ms") / 1000,
    "archive-sink": FETCH,
}
LANES = ("processor", "clickhouse-sink")  # the archive sink waits for the age of its objects, so its rate says nothing
SERVERS = ("kafka", "clickhouse", "s3")
BUSY = 0.6  # share of a core that is planned to be used
RATES, DIRTY = (1_000, 10_000, 100_000), 0.3
DAY, YEAR = 86_400, 86_400 * 365
CLASSES = 2
FLUSH_BYTES: int = _default(settings.ArchiveSink, "flush_bytes")
FLUSH_SECONDS: float = _default(settings.ArchiveSink, "flush_seconds")
IDENTITIES: int = _default(settings.Processor, "dedupe_identities")
WINDOW_HOURS: int = _default(settings.Processor, "dedupe_window_hours")
RAW_DAYS, CLEAN_DAYS, REPLICAS = 1 / 24, 14, 3
SERVER_CORES, SERVER_TB = 16, 20  # what is taken for one ClickHouse server

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Cost:
    """``idle`` in cores, ``turn`` in CPU seconds a batch; the others in CPU seconds per million events."""

    idle: float
    turn: float
    event: float
    kb: float = 0.0
    dirty: float = 0.0

    def million(self, kb: float, dirty: float) -> float:
        """CPU seconds per million events in full batches."""
        return self.event + kb * (self.kb + dirty * self.dirty)

    def cores(self, rate: float, kb: float, dirty: float, turns: float) -> float:
        """At a rate, with so many turns a second at most."""
        return self.idle + self.turn * min(rate, turns) + rate * self.million(kb, dirty) / 1e6


@dataclass(frozen=True)
class Model:
    """``parts``, ``servers``: name → cost. ``lane``: events a second of one partition, by part. ``bytes``: (fixed, a KB) of an
    event, by place.
    """

    parts: Mapping[str, Cost]
    servers: Mapping[str, Cost]
    lane: Mapping[str, float]
    bytes: Mapping[str, tuple[float, float]]

    def cores(self, name: str, rate: float, kb: float, partitions: int, dirty: float = DIRTY) -> float:
        """Cores that a part or server uses."""
        cost = self.parts.get(name) or self.servers[name]
        return cost.cores(rate, kb, dirty, partitions / LINGER.get(name, 1.0))

    def stored(self, place: str, kb: float) -> float:
        """Bytes an event there."""
        fixed, more = self.bytes[place]
        return fixed + more * kb


def load(path: Path = DATA) -> dict[str, Any]:
    """The measured runs."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def fit(data: Mapping[str, Any]) -> Model:
    """The model of the runs in ``data``."""
    runs: list[Run] = data["runs"]
    parts = {part: _part([r for r in runs if r["part"] == part], linger) for part, linger in LINGER.items()}
    fitted = [w for w in data["whole"] if w["fit"]]
    servers = {name: _server(name, fitted, runs) for name in SERVERS}
    lane = {r["part"]: r["events"] / r["seconds"] for r in runs if r["shape"]["partitions"] == 1 and r["part"] in LANES}
    places = [name for name in data["storage"][0] if name != "kb"]
    return Model(parts, servers, lane, {place: _line([(s["kb"], s[place]) for s in data["storage"]]) for place in places})


def _part(runs: Sequence[Run], linger: float) -> Cost:
    """Full batches say what events, kilobytes and dirt cost; low rates what is spent besides."""
    full = [r for r in runs if not r["rate"] and plain(r["shape"])]
    kb, dirty = (np.array(values) for values in zip(*((_kb(r), r["shape"]["dirty"]) for r in full), strict=True))
    terms = [np.ones(len(full)), kb] + ([kb * dirty] if len(set(dirty)) > 1 else [])
    million = np.array([sum(r["cpu"]) / r["events"] * 1e6 for r in full])
    found = [*_positive(np.stack(terms, 1), million), 0.0][:3]
    cost = Cost(0.0, 0.0, *found)
    slow = [r for r in runs if r["rate"]]
    rest = np.array([sum(r["cpu"]) / r["seconds"] - cost.cores(_rate(r), _kb(r), r["shape"]["dirty"], 0) for r in slow])
    turns = np.array([min(_rate(r), r["shape"]["partitions"] / linger) for r in slow])
    return Cost(*_positive(np.stack([np.ones(len(slow)), turns], 1), rest), *found)


def plain(shape: Mapping[str, Any]) -> bool:
    """Shapes that differ in size and dirt only."""
    return (shape["partitions"], shape["tenants"], shape["fill"]) == (4, 20, "usual")


def _kb(run: Run) -> float:
    return float(run["bytes_an_event"]) / 1000


def _rate(run: Run) -> float:
    return float(run["events"] / run["seconds"])


def _server(name: str, whole: Sequence[Run], runs: Sequence[Run]) -> Cost:
    """The slope of runs of everything, but not less than what the parts cause it when they are drained; the rest is idle."""
    _, slope = _positive(np.array([[1.0, w["rate"] / 1e6] for w in whole]), np.array([w["cores"][name] for w in whole]))
    usual = {r["part"]: r["servers"][name] / r["events"] * 1e6 for r in reversed(runs) if not r["rate"] and _usual(r["shape"])}
    event = max(slope, sum(usual.values()))
    return Cost(float(np.mean([max(0.0, w["cores"][name] - w["rate"] * event / 1e6) for w in whole])), 0.0, event)


def _usual(shape: Mapping[str, Any]) -> bool:
    return plain(shape) and not shape["size"] and bool(shape["dirty"] == DIRTY)


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    fixed, slope = _positive(np.array([[1.0, kb] for kb, _ in points]), np.array([size for _, size in points]))
    return fixed, slope


def _positive(terms: Any, wanted: Any) -> list[float]:
    """Least squares without negative coefficients: the most negative one is left out until there is none."""
    kept = list(range(terms.shape[1]))
    while kept:
        found = np.linalg.lstsq(terms[:, kept], wanted, rcond=None)[0]
        if found.min() >= 0:
            break
        kept.pop(int(found.argmin()))
    made = [0.0] * terms.shape[1]
    for place, value in zip(kept, found if kept else (), strict=True):
        made[place] = float(value)
    return made


@dataclass(frozen=True)
class Size:
    """What a rate needs. ``processes``, ``cores`` by part; ``used``: cores that are busy, by part and server."""

    rate: int
    kb: float
    partitions: int
    processes: Mapping[str, int]
    used: Mapping[str, float]
    inserts: float
    shards: int
    objects: int
    tb: Mapping[str, float]


def size(model: Model, rate: int, kb: float) -> Size:
    """Partitions: twice the processes of the largest part, so that each has an even share and can be doubled; no lane beyond
    BUSY of what it can.
    """
    partitions = 4
    while True:
        processes = {p: max(2, math.ceil(model.cores(p, rate, kb, partitions) / BUSY)) for p in LINGER}
        lanes = max(rate / (BUSY * carried) for carried in model.lane.values())
        needed = 2 ** math.ceil(math.log2(max(4, 2 * max(processes.values()), lanes)))
        if needed <= partitions:
            break
        partitions *= 2
    used = {name: model.cores(name, rate, kb, partitions) for name in (*model.parts, *model.servers)}
    tb = {place: rate * YEAR * model.stored(place, kb) / 1e12 for place in model.bytes}
    shards = max(math.ceil(used["clickhouse"] / (BUSY * SERVER_CORES)), math.ceil(tb["clickhouse"] / SERVER_TB))
    inserts = min(rate, partitions / LINGER["clickhouse-sink"])
    return Size(rate, kb, partitions, processes, used, inserts, shards, objects(rate, kb, partitions), tb)


def objects(rate: float, kb: float, partitions: int) -> int:
    """Objects a day: an object for each retention class, a plan and a manifest for each range that is full or old enough."""
    ranges = max(DAY / FLUSH_SECONDS, rate / partitions * kb * 1000 * DAY / FLUSH_BYTES)
    return round(partitions * ranges) * (CLASSES + 2)


def remembered(rate: float, partitions: int) -> tuple[float, float]:
    """Hours for which deduplication remembers events, and gigabytes that their 20 bytes each take, in all processors."""
    hours = min(float(WINDOW_HOURS), IDENTITIES * partitions / rate / 3600)
    return hours, rate * hours * 3600 * 20 / 1e9


def kafka_tb(model: Model, rate: float, kb: float) -> float:
    """Terabytes on all brokers: an hour of raw and two weeks of clean events, three times each."""
    day = rate * DAY / 1e12
    return REPLICAS * day * (RAW_DAYS * model.stored("raw", kb) + CLEAN_DAYS * model.stored("clean", kb))

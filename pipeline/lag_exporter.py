"""The part ``lag-exporter``: how far every consumer group is, seen from outside, with the right to DESCRIBE only.

A part's own view does not do: out of its group it sees no partition, hence no lag. Ages come from Kafka's index of append times:
looking an offset up by time needs no right to read records.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.kafka import cluster_of
from connectors.kafka_admin import catalogue
from connectors.kafka_lag import Bounds, Group, LagError, Observer, Place
from pipeline import admin, metrics, settings

log = logging.getLogger(__name__)
PART = "lag-exporter"
BLIND_SECONDS = 60.0
STEP_MS = 250  # ages are found to a quarter of a second
CONFIG_EVERY = 60.0


def run(values: settings.LagExporter) -> int:
    """Look every few seconds until SIGTERM or SIGINT: 0."""
    exporter, stop = Exporter(values, Observer(cluster_of(dict(values)))), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = admin.serve(PART, values.admin_listen, exporter.healthy)
    while not stop.is_set():
        exporter.turn()
        stop.wait(values.every_seconds)
    if server is not None:
        server.shutdown()
    return 0


@dataclass
class Standing:
    """What is remembered of one partition of one group: its commit, since when it stands there, and the age found for it."""

    committed: int
    since: float
    appended_ms: int = 0
    known: bool = False

    def at(self, committed: int, lag: int, now: float) -> None:
        """Take a new look at monotonic time ``now``."""
        if committed != self.committed:
            self.known = False
            self.appended_ms = self.appended_ms if committed > self.committed else 0
        if committed != self.committed or not lag:
            self.committed, self.since = committed, now


@dataclass
class Exporter:
    """Asks ``observer`` and sets the gauges. ``clock`` is monotonic, ``wall`` Unix time; both in seconds."""

    values: settings.LagExporter
    observer: Observer
    trouble: str | None = "has not looked at Kafka yet"
    looked: float = field(default_factory=time.monotonic)
    _standings: dict[tuple[str, Place], Standing] = field(default_factory=dict)
    _retention: dict[str, int] = field(default_factory=dict)
    _configured: float = -CONFIG_EVERY

    def __post_init__(self) -> None:
        namespace = self.values.namespace
        found = catalogue(namespace)
        seen = {name: topic for name, topic in found["topics"].items() if PART in topic.get("describers", ())}
        self._wanted = {name: int(topic.get("partitions", found["partitions"])) for name, topic in seen.items()}
        self._groups = {
            f"{namespace}-processor": (f"{namespace}.raw", self.values.stall_seconds),
            f"{namespace}-clickhouse-sink": (f"{namespace}.events", self.values.stall_seconds),
            f"{namespace}-ledger-sink": (f"{namespace}.ledger", self.values.stall_seconds),
            f"{namespace}-archive-sink": (f"{namespace}.events", self.values.archive_stall_seconds),
        }

    def healthy(self) -> str | None:
        """None, or what is wrong: safe from any thread."""
        since = time.monotonic() - self.looked
        return (
            f"the last complete look was {since:.0f} s ago: {self.trouble or 'no answer yet'}" if since > BLIND_SECONDS else None
        )

    def turn(self) -> None:
        """One look; what fails is said once and tried again in the next turn."""
        try:
            self.look(time.monotonic(), time.time())
        except LagError as exc:
            if str(exc) != self.trouble:
                log.warning("%s", exc)
            self.trouble = str(exc)
        else:
            self.trouble, self.looked = None, time.monotonic()
            metrics.LAST_LOOK.set(time.time())

    def look(self, now: float, wall: float) -> None:
        """Ask everything and set every gauge. Raises LagError."""
        there = self.observer.partitions()
        for topic, wanted in self._wanted.items():
            metrics.TOPIC_PARTITIONS.labels(self._short(topic)).set(len(there.get(topic, ())))
            metrics.TOPIC_WANTED.labels(self._short(topic)).set(wanted)
        places = [(topic, p) for topic in self._wanted for p in there.get(topic, ())]
        bounds = self.observer.bounds(places)
        self._note_topics(bounds, wall)
        self._note_retention([t for t in self._wanted if t in there], now)
        groups = {g: self.observer.group(g, [p for p in places if p[0] == topic]) for g, (topic, _) in self._groups.items()}
        standings = self._stand(groups, bounds, now)
        self._date(standings, bounds, wall)
        for (group, place), standing in standings.items():
            self._note(group, place, standing, bounds[place], now=now, wall=wall)
        for group, found in groups.items():
            mine = {p for p in places if p[0] == self._groups[group][0]}
            metrics.GROUP_MEMBERS.labels(self._short(group)).set(found.members)
            metrics.GROUP_UNOWNED.labels(self._short(group)).set(len(mine - found.owned))

    def _short(self, name: str) -> str:
        return name[len(self.values.namespace) + 1 :]

    def _note_topics(self, bounds: Mapping[Place, Bounds], wall: float) -> None:
        oldest = self.observer.at_times(dict.fromkeys(bounds, 0))
        for place, b in bounds.items():
            labels = (self._short(place[0]), str(place[1]))
            metrics.TOPIC_END.labels(*labels).set(b.end)
            metrics.TOPIC_OPEN.labels(*labels).set(b.high - b.end)
            metrics.TOPIC_RECORDS.labels(*labels).set(b.end - b.low)
            offset, appended = oldest[place]
            metrics.TOPIC_OLDEST.labels(*labels).set(max(0.0, wall - appended / 1000) if offset >= 0 else 0.0)

    def _note_retention(self, topics: list[str], now: float) -> None:
        if now - self._configured >= CONFIG_EVERY:
            self._retention = self.observer.retention_ms(sorted({t for t, _ in self._groups.values()} & set(topics)))
            self._configured = now

    def _stand(
        self, groups: Mapping[str, Group], bounds: Mapping[Place, Bounds], now: float
    ) -> dict[tuple[str, Place], Standing]:
        found = {}
        for group, (topic, _) in self._groups.items():
            for place in (p for p in bounds if p[0] == topic):
                committed = groups[group].committed.get(place, -1)
                standing = self._standings.setdefault((group, place), Standing(committed, now))
                standing.at(committed, _lag(committed, bounds[place]), now)
                found[group, place] = standing
        return found

    def _date(self, standings: Mapping[tuple[str, Place], Standing], bounds: Mapping[Place, Bounds], wall: float) -> None:
        """Append time of the first record that each group has yet to commit.

        Found by halving the time between the partition's first record and now: some twenty questions at most for all partitions
        together, and none while a commit stands where it stood.
        """
        open_ = {key: s for key, s in standings.items() if not s.known and _lag(s.committed, bounds[key[1]])}
        now_ms = int(wall * 1000)
        low = {key: max(0, s.appended_ms - STEP_MS) for key, s in open_.items()}
        high = dict.fromkeys(open_, now_ms)
        low |= self._first_times([key for key, ms in low.items() if not ms])
        while wide := [key for key in open_ if high[key] - low[key] > STEP_MS]:
            middle = {key: (low[key] + high[key]) // 2 for key in wide}
            self._halve(middle, open_, bounds, low=low, high=high)
        for key, standing in open_.items():
            standing.appended_ms, standing.known = low[key], True

    def _first_times(self, keys: list[tuple[str, Place]]) -> dict[tuple[str, Place], int]:
        found = self.observer.at_times({place: 0 for _, place in keys})
        return {key: max(0, found[key[1]][1]) for key in keys}

    def _halve(
        self,
        middle: Mapping[tuple[str, Place], int],
        standings: Mapping[tuple[str, Place], Standing],
        bounds: Mapping[Place, Bounds],
        *,
        low: dict[tuple[str, Place], int],
        high: dict[tuple[str, Place], int],
    ) -> None:
        for group in {group for group, _ in middle}:
            found = self.observer.at_times({place: ms for (g, place), ms in middle.items() if g == group})
            for place, (offset, appended) in found.items():
                key = group, place
                goal = max(standings[key].committed, bounds[place].low)
                if offset == goal:
                    low[key] = high[key] = appended
                elif 0 <= offset < goal:  # at that time the record was still to come
                    low[key] = max(appended, middle[key])
                else:
                    high[key] = middle[key]

    def _note(self, group: str, place: Place, standing: Standing, b: Bounds, *, now: float, wall: float) -> None:
        labels = (self._short(group), self._short(place[0]), str(place[1]))
        lag = _lag(standing.committed, b)
        age = max(0.0, wall - standing.appended_ms / 1000) if lag else 0.0
        stalled = now - standing.since if lag else 0.0
        retention = self._retention.get(place[0], -1)
        metrics.GROUP_LAG.labels(*labels).set(lag)
        metrics.GROUP_LAG_SECONDS.labels(*labels).set(age)
        metrics.GROUP_COMMITTED.labels(*labels).set(standing.committed)
        metrics.GROUP_STALLED_SECONDS.labels(*labels).set(stalled)
        metrics.GROUP_STALLED.labels(*labels).set(stalled > self._groups[group][1])
        metrics.GROUP_DELETED.labels(*labels).set(max(0, b.low - standing.committed) if standing.committed >= 0 else 0)
        metrics.GROUP_RETENTION_USED.labels(*labels).set(age * 1000 / retention if retention > 0 else 0.0)


def _lag(committed: int, b: Bounds) -> int:
    """Offsets to go; a group that never committed has everything before it."""
    return max(0, b.end - max(committed, b.low))

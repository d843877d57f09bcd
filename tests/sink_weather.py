"""A sink in one thread, on memory, whose store and commits fail on command; the fake clock makes every wait pass at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import schemas
from connectors import avro
from connectors.memory import MemoryClaim, MemoryLog, MemoryRange, MemoryStore
from connectors.partitions import CommitError
from connectors.ranges import FencedError, OpenRange, Plan, Proof, Rows, StoreError
from pipeline.sink.decode import Decoder
from pipeline.sink.gather import Limits
from pipeline.sink.job import Inline
from pipeline.sink.lane import Lane, Parts
from pipeline.sink.loop import Loop
from tests.archive_rows import columns

BODIES = avro.encode(columns(512, seed=7))
STORE_WEATHER = ("apply", "fail", "lost", "part", "late", "eaten")
COMMIT_WEATHER = ("apply", "fail", "lost")


class Registry:
    """Knows one schema, the newest, under every id."""

    def schema_of(self, schema_id: int) -> str:
        return schemas.schema_text("audit_event")


@dataclass
class StormyStore:
    """A memory store. The next writes go as ``weather`` says: ``lost`` applies but the answer is lost, ``part`` applies a half,
    ``late`` applies when `deliver` is called, ``eaten`` answers yes and stores nothing. Two safety mechanisms can be
    switched off.
    """

    fence: bool = True
    read_back: bool = True
    inner: MemoryStore = field(default_factory=MemoryStore)
    weather: list[str] = field(default_factory=list)
    late: list[Callable[[], None]] = field(default_factory=list)
    claims: list[StormyClaim] = field(default_factory=list)
    name: str = "memory"
    mapper: int = 1

    def take_over(self, topic: str, topic_id: str, partition: int) -> StormyClaim:
        inner = self.inner.take_over(topic, topic_id, partition)
        if not self.fence:
            for claim in self.claims:
                if claim.inner.place == inner.place:
                    claim.inner = inner
        self.claims.append(StormyClaim(self, inner))
        return self.claims[-1]

    def deliver(self) -> None:
        """What was on its way arrives."""
        late, self.late = self.late, []
        for one in late:
            one()


@dataclass
class StormyClaim:
    """See `StormyStore`."""

    store: StormyStore
    inner: MemoryClaim
    written: Plan | None = None

    def stands_at(self) -> int | None:
        return self.inner.stands_at() if self.store.read_back else None

    def begun(self, standing: int) -> Plan | None:
        return self.inner.begun(standing)

    def open(self) -> MemoryRange:
        return self.inner.open()

    def write(self, plan: Plan, rows: OpenRange) -> None:
        weather = self.store.weather.pop(0) if self.store.weather else "apply"
        held = list(cast(MemoryRange, rows).held)
        if weather in ("apply", "lost"):
            self._apply(plan, held)
        elif weather == "part":
            self._apply(plan, [_half(one) for one in held])
        elif weather == "late":
            self.store.late.append(lambda: self._apply_late(plan, held))
        if weather not in ("apply", "eaten"):
            raise StoreError("no answer")
        self.written = plan

    def _apply(self, plan: Plan, held: list[Rows]) -> None:
        self.store.inner.insert(self.inner.place, self.inner.owner, held, plan.attempt > 1 and self.store.read_back)

    def _apply_late(self, plan: Plan, held: list[Rows]) -> None:
        try:
            self._apply(plan, held)
        except FencedError:
            return

    def prove(self, plan: Plan) -> Proof:
        if self.store.read_back:
            return self.inner.prove(plan)
        return Proof(plan.count, plan.count, plan.checksum) if self.written == plan else Proof(0, 0, 0)


def _half(rows: Rows) -> Rows:
    n = (len(rows) + 1) // 2
    return Rows(rows.columns.slice(0, n), rows.offsets[:n], rows.timestamps[:n], rows.digests[:n])


class StormyLog(MemoryLog):
    """A memory log whose next commits go as ``weather`` says."""

    def __init__(self, partitions: int = 1) -> None:
        super().__init__("audit.events", partitions, most=7)
        self.weather: list[str] = []

    def commit(self, partition: int, offset: int, text: str) -> None:
        weather = self.weather.pop(0) if self.weather else "apply"
        if weather in ("apply", "lost"):
            super().commit(partition, offset, text)
        if weather in ("fail", "lost"):
            raise CommitError("no answer")


class Rig:
    """Log, store and a loop between them."""

    def __init__(self, fence: bool = True, read_back: bool = True, partitions: int = 2) -> None:
        self.log, self.store = StormyLog(partitions), StormyStore(fence, read_back)
        self.now = 0.0
        self._bodies = itertools.cycle(BODIES)
        self.crash()

    def crash(self) -> None:
        """A new process takes over; the old one is gone without a word."""
        limits = Limits(events=5, bytes=1 << 20, seconds=1.0)
        parts = Parts(self.log, self.store, Decoder(Registry()), limits, clock=lambda: self.now, job=Inline)
        self.loop = Loop(parts)
        self.log.subscribe(self.loop)

    def append(self, partition: int, count: int, timestamp: int = 1_790_000_000_000) -> None:
        frame = avro.frame(1)
        self.log.append(partition, [frame + next(self._bodies) for _ in range(count)], timestamp)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 20.0
            self.loop.turn(0)

    def lanes(self) -> list[Lane]:
        return list(self.loop._lanes.values())

    def halted(self) -> list[str]:
        return [lane.halted for lane in self.lanes() if lane.halted is not None]

    def wrong(self, partition: int, finished: bool) -> str | None:
        """What contradicts the promise: doubled or strange rows at any time, missing ones when everything is finished."""
        stored = self.store.inner.positions((self.log.topic_id, partition))
        wanted = self.log.records(partition)
        if doubled := [o for o, digests in stored.items() if len(digests) > 1]:
            return f"doubled: {doubled}"
        if strange := [o for o, digests in stored.items() if digests != [wanted.get(o)]]:
            return f"strange: {strange}"
        if finished and (missing := set(wanted) - set(stored)):
            return f"missing: {sorted(missing)}"
        return None

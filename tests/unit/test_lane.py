"""The lane's state machine on an in-memory log that behaves like a transactional partition."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.kafka_chunks import Chunk, RawRecord
from connectors.kafka_lanes import RefusedToStart
from connectors.kafka_read import Record
from pipeline.lane import EXIT_REFUSED, EXIT_STUCK, ISOLATE_AFTER, Budget, Host, Lane
from pipeline.work import Blocked

SIZE = 10


@dataclass
class Taken:
    """An outcome: offsets start … end - 1."""

    start: int
    end: int
    isolated: bool

    @property
    def read(self) -> int:
        return self.end - self.start


@dataclass
class Memory:
    """A Work whose commits are durable at once. ``fail`` holds what the next calls raise, by name of the call."""

    written: list[int] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    fail: dict[str, list[BaseException]] = field(default_factory=dict)
    isolated: list[bool] = field(default_factory=list)
    least: int = 0  # a handler may cover less than it was offered

    def _maybe(self, call: str) -> None:
        if self.fail.get(call):
            raise self.fail[call].pop(0)

    def open(self) -> int:
        self.opened += 1
        self._maybe("open")
        return len(self.written)

    def handle(self, records: Sequence[RawRecord], start: int, end: int, isolate: bool) -> Taken:
        self._maybe("handle")
        self.isolated.append(isolate)
        return Taken(start, min(end, start + self.least) if self.least else end, isolate)

    def commit(self, outcome: Taken) -> None:
        self._maybe("commit")
        assert outcome.start == len(self.written)
        self.written += range(outcome.start, outcome.end)
        self._maybe("committed")

    def close(self) -> None:
        self.closed += 1


@dataclass
class Feeder:
    """A consumer of a log of ``count`` offsets: serves the lane's ``want`` in chunks of SIZE."""

    count: int
    lane: Lane | None = None

    def serve(self) -> None:
        lane = self.lane
        while lane is not None and lane.want is not None and lane.edge is not None and lane.want < self.count and lane.hungry():
            start, end = lane.edge, min(lane.want + SIZE, self.count)
            records = [Record(0, n, 1, None, (), b"") for n in range(lane.want, end)]
            chunk = Chunk(lane, start, end, records, len(records))
            lane.handed(chunk)
            lane.offer(chunk)


def drive(work: Memory, until: Callable[[Lane], bool], count: int = 100, limit: int = 1 << 20) -> list[tuple[int, str]]:
    """Run a lane until a condition; returns what it asked its process to end with."""
    stops: list[tuple[int, str]] = []

    async def main() -> None:
        feeder = Feeder(count)
        with ThreadPoolExecutor(4) as pool:
            host = Host(pool, Budget(limit), 25, 0.0, feeder.serve, lambda code, why: stops.append((code, why)), fenced_pause=0.0)
            feeder.lane = lane = Lane("raw[0]", work, host, None)
            async with asyncio.timeout(40):
                while not until(lane):
                    feeder.serve()
                    await asyncio.sleep(0.005)
            lane.revoke()
            await lane.task
            assert host.budget.held == 0

    run(main())
    assert work.closed >= 1
    return stops


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def everything(lane: Lane) -> bool:
    return lane.position == 100


def test_all_offsets_once_and_in_order() -> None:
    work = Memory()
    assert drive(work, everything) == []
    assert (work.written, work.opened) == (list(range(100)), 1)


def test_a_full_process_still_lets_an_empty_lane_fetch() -> None:
    work = Memory()
    drive(work, everything, limit=0)
    assert work.written == list(range(100))


@pytest.mark.parametrize("call", ["open", "commit", "committed"])
def test_any_client_error_opens_another_session_and_trusts_what_that_one_reads(call: str) -> None:
    work = Memory(fail={call: [KafkaException(KafkaError(KafkaError._TIMED_OUT)), RuntimeError("anything")]})
    drive(work, everything)
    assert (work.written, work.opened) == (list(range(100)), 3)


def test_a_handler_that_fails_is_asked_to_isolate_and_opens_no_new_session() -> None:
    work = Memory(fail={"handle": [ValueError()] * ISOLATE_AFTER})
    drive(work, everything)
    assert (work.written, work.opened, work.isolated[0]) == (list(range(100)), 1, True)
    assert not any(work.isolated[1:])


def test_an_outcome_that_covers_less_is_continued_where_it_ended() -> None:
    work = Memory(least=7)
    drive(work, everything)
    assert work.written == list(range(100))


def test_a_blocked_lane_waits_with_an_alarm() -> None:
    work = Memory(fail={"handle": [Blocked("upgrade the processor", alarm=True)] * 3})
    drive(work, lambda lane: lane.alarm and lane.trouble == "upgrade the processor")
    assert work.written == []


def test_a_refusal_ends_the_process() -> None:
    work = Memory(fail={"open": [RefusedToStart("set the offset")]})
    assert drive(work, lambda lane: lane.task.done()) == [(EXIT_REFUSED, "set the offset")]


@pytest.mark.timeout(60)
def test_an_id_that_is_used_twice_ends_the_process() -> None:
    refused = KafkaException(KafkaError(KafkaError._FENCED))
    work = Memory(fail={"commit": [refused] * 8})
    stops = drive(work, lambda lane: work.opened >= 9)
    assert [code for code, _ in stops] == [EXIT_STUCK]
    assert "refused 8 times in a row" in stops[0][1]


def test_a_tail_without_records_is_no_lag() -> None:
    work = Memory()

    def tail(lane: Lane) -> bool:
        if lane.position != 100:
            return False
        assert lane.lag(105) == 5
        lane.want = 105
        return lane.lag(105) == 0 and not lane.behind

    drive(work, tail)


def test_sessions_that_come_and_go_are_no_progress() -> None:
    work = Memory(fail={"commit": [KafkaException(KafkaError(KafkaError._TIMED_OUT))] * 3})
    seen: list[float] = []

    def tried(lane: Lane) -> bool:
        if lane.position == 0:
            seen.append(lane.moved)
        return work.opened >= 4

    drive(work, tried)
    assert len(set(seen)) == 1, "health looks at how long the position has not moved"


def test_a_lane_that_is_over_is_gone_with_its_work_although_chunks_were_left() -> None:
    async def main() -> None:
        with ThreadPoolExecutor(2) as pool:
            host = Host(pool, Budget(1 << 30), 10**6, 0.0, lambda: None, lambda code, why: None)
            work = Memory()
            lane, seen = Lane("raw[0]", work, host, None), weakref.ref(work)
            async with asyncio.timeout(20):
                while lane.position != 0:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            for start in (0, SIZE):
                lane.offer(Chunk(lane, start, start + SIZE, [Record(0, start, 1, None, (), b"")], SIZE))
            lane.revoke()
            await lane.task
            lane.offer(Chunk(lane, 0, SIZE, [Record(0, 0, 1, None, (), b"")], SIZE))
            del work, lane
            async with asyncio.timeout(20):  # a thread of the pool lets go of its last call a moment later
                while seen() is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_a_lost_chunk_is_asked_for_again_although_others_keep_coming() -> None:
    async def main() -> None:
        with ThreadPoolExecutor(2) as pool:
            host = Host(pool, Budget(1 << 30), 10**6, 0.0, lambda: None, lambda code, why: None, lost_after=0.2)
            lane, lost = Lane("raw[0]", Memory(), host, None), False
            async with asyncio.timeout(20):
                while lane.position != 0:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                while lane.position == 0:
                    start = lane.edge or 0
                    chunk = Chunk(
                        lane, start, start + SIZE, [Record(0, n, 1, None, (), b"") for n in range(start, start + SIZE)], SIZE
                    )
                    lane.handed(chunk)
                    if lost or start:
                        lane.offer(chunk)
                    lost = True
                    await asyncio.sleep(0.005)
            lane.revoke()
            await lane.task

    run(main())

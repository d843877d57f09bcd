"""The schedules that random faults do not hit: each exact with its mechanism, and seen to go wrong without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import KafkaException

from connectors.kafka_chunks import Chunk, RawRecord
from connectors.kafka_lanes import ALL_SAFE, GroupOffsets, Output, RefusedToStart, Safety, Session
from connectors.kafka_read import PartitionReader, Record
from connectors.kafka_trim import delete_before
from pipeline import settings
from pipeline.lane import Budget, Host, Lane
from pipeline.processor import Processor
from tests.faults.fleet import violations
from tests.processing import PARTITIONS, bodies, cluster, event_frame, ledger, processor_cluster, produce, read_all, rows
from tests.space import Space

NOTHING: Callable[[str], None] = lambda point: None  # noqa: E731
COUNT = 30


class Copying:
    """Sessions that copy raw records to the clean topic as they are: transactions alone, without dedupe behind them."""

    def __init__(self, space: Space, partition: int) -> None:
        self.space, self.partition, self.cluster = space, partition, processor_cluster(space)
        self.offsets = GroupOffsets(self.cluster, f"{space.name}-processor")
        produce(space, [(partition, b"%06d" % number) for number in range(COUNT)])

    def session(self, safety: Safety = ALL_SAFE, points: Callable[[str], None] = NOTHING) -> Session:
        raw, out = f"{self.space.name}.raw", f"{self.space.name}.events"
        return Session(self.cluster, self.offsets, raw, self.partition, outputs=[out], points=points, safety=safety)

    def outputs(self, first: int, last: int) -> list[Output]:
        return [(f"{self.space.name}.events", None, b"%06d" % number) for number in range(first, last)]

    def written(self) -> list[int]:
        return [int(record.value or b"") for record in read_all(self.space, "events", self.partition)]


Slot = tuple[Space, int]


@pytest.fixture(scope="module")
def slots(new_space: Callable[[], Space]) -> Iterator[Slot]:
    """Unused partitions of provisioned namespaces: a test needs no more than one."""

    def unused() -> Iterator[Slot]:
        while True:
            space = new_space()
            space.provision()
            yield from ((space, partition) for partition in range(PARTITIONS))

    return unused()


@pytest.fixture
def slot(slots: Iterator[Slot]) -> Slot:
    return next(slots)


@pytest.fixture
def copying(slot: Slot) -> Copying:
    return Copying(*slot)


def overtaken_before_init(copying: Copying, safety: Safety) -> list[int]:
    """Another owner works between the moment our session is made and its init."""

    def between(point: str) -> None:
        if point == "pre_init":
            other = copying.session()
            other.commit(copying.outputs(0, 5), 5)
            other.close()

    late = copying.session(safety, between)
    late.commit(copying.outputs(late.position, 10), 10)
    late.close()
    return copying.written()


def test_the_offset_is_read_after_init(copying: Copying) -> None:
    assert overtaken_before_init(copying, Safety()) == list(range(10))


def test_an_offset_read_before_init_writes_twice(copying: Copying) -> None:
    assert overtaken_before_init(copying, Safety(offset_after_init=False)) == [*range(5), *range(10)]


@dataclass
class CopyWork:
    """`pipeline.lane.Work` that copies."""

    copying: Copying
    session: Session | None = None

    def open(self) -> int:
        self.close()
        self.session = self.copying.session()
        return self.session.position

    def handle(self, records: Sequence[RawRecord], start: int, end: int, isolate: bool) -> Any:
        return _Copied(end, [(f"{self.copying.space.name}.events", None, record.value or b"") for record in records])

    def commit(self, outcome: Any) -> None:
        assert self.session is not None
        self.session.commit(outcome.outputs, outcome.end)

    def close(self) -> None:
        if self.session is not None:
            self.session.close()


@dataclass
class _Copied:
    end: int
    outputs: list[Output]

    @property
    def read(self) -> int:
        return len(self.outputs)


async def zombie_with_a_held_chunk(copying: Copying, safety: Safety) -> list[int]:
    """A owns 0…10; B takes over and commits 10…20; A is refused, comes back, and Faust hands it its held chunk once more."""
    with ThreadPoolExecutor(8) as pool:
        host = Host(pool, Budget(1 << 20), 10, 0.0, lambda: None, lambda code, why: None, safety, lost_after=60)
        lane = Lane("raw[0]", CopyWork(copying), host, None)
        await reached(lambda: lane.position == 0)
        lane.offer(chunk(copying, lane, 0))
        await reached(lambda: lane.position == 10)
        other = await asyncio.to_thread(copying.session)
        await asyncio.to_thread(other.commit, copying.outputs(10, 20), 20)
        lane.offer(held := chunk(copying, lane, 10))
        await reached(lambda: lane.position == 20)
        lane.offer(held)
        lane.offer(chunk(copying, lane, 20))
        await reached(lambda: lane.position == 30)
        lane.revoke()
        await lane.task
    other.close()
    return copying.written()


async def reached(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def chunk(copying: Copying, lane: Lane, start: int) -> Chunk:
    records = [Record(0, number, 1, None, (), b"%06d" % number) for number in range(start, start + 10)]
    return Chunk(lane, start, start + 10, records, 60)


def test_a_zombie_does_not_write_its_held_chunk(copying: Copying) -> None:
    assert asyncio.run(zombie_with_a_held_chunk(copying, Safety())) == list(range(30))


def test_without_the_position_rule_the_held_chunk_is_written_twice(copying: Copying) -> None:
    written = asyncio.run(zombie_with_a_held_chunk(copying, Safety(position_rule=False)))
    assert len(written) > len(set(written)), "the schedule does not show what the position rule prevents"


def test_a_record_that_cannot_be_produced_ends_the_session_and_writes_nothing(copying: Copying) -> None:
    session = copying.session()
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        session.commit([*copying.outputs(0, 5), (f"{copying.space.name}.events", None, bytes(3_000_000))], 6)
    session.close()
    again = copying.session()
    assert (again.position, copying.written()) == (0, [])
    again.close()


def aborted_after_dedupe(slot: Slot, safety: Safety) -> list[str]:
    """The transaction fails after the events were judged; the next session processes the same records again."""
    space, partition = slot
    events = rows(20, producer_id="p", producer_epoch=1, sequence=lambda n: n)
    head = event_frame(space)
    produce(space, [(partition, head + body) for body in bodies(events)])
    armed = [True]

    def fail_once(point: str) -> None:
        if point == "produced" and armed:
            armed.clear()
            raise KafkaException(RuntimeError("the broker is gone"))

    processor = Processor(space.settings(settings.Processor), safety=safety, points=fail_once)
    processor.prepare()
    work, topic = processor.work(partition), f"{space.name}.raw"
    with PartitionReader(cluster(space, "admin"), "tests") as reader:
        records = list(reader.read(topic, partition, *reader.watermarks(topic, partition)))
    assert work.open() == 0
    with pytest.raises(KafkaException):
        work.commit(work.handle(records, 0, 20, False))
    assert work.open() == 0
    work.commit(work.handle(records, 0, 20, False))
    work.close()
    processor.close()
    return violations(space, {partition: [e["event_id"] for e in events]})


def test_the_state_is_swapped_after_the_commit(slot: Slot) -> None:
    assert aborted_after_dedupe(slot, Safety()) == []


def test_a_state_swapped_too_early_is_healed_by_the_rebuild(slot: Slot) -> None:
    assert aborted_after_dedupe(slot, Safety(swap_after_commit=False)) == []


def test_a_state_swapped_too_early_and_kept_loses_everything_in_silence(slot: Slot) -> None:
    found = aborted_after_dedupe(slot, Safety(swap_after_commit=False, rebuild_on_takeover=False))
    assert any("20 missing" in text for text in found), found
    assert [entry["duplicates"] for entry in ledger(*slot)] == [20]


def test_a_group_without_its_offset_refuses_to_start_over(copying: Copying) -> None:
    session = copying.session()
    session.commit(copying.outputs(0, 10), 10)
    session.close()
    other = GroupOffsets(cluster(copying.space, "admin"), f"{copying.space.name}-without-offsets")
    raw, out = f"{copying.space.name}.raw", f"{copying.space.name}.events"
    with pytest.raises(RefusedToStart, match="Set the group's offset to end_offset of this partition's last ledger record"):
        other.start_of(raw, copying.partition, [out])


def test_offsets_that_contradict_the_ledger_refuse_to_start(slot: Slot) -> None:
    aborted_after_dedupe(slot, Safety())
    space, partition = slot
    offsets = GroupOffsets(processor_cluster(space), f"{space.name}-processor")
    hand = Session(processor_cluster(space), offsets, f"{space.name}.raw", partition, outputs=[])
    hand.commit([], 7)  # as somebody who resets the group's offset
    hand.close()
    processor = Processor(space.settings(settings.Processor))
    processor.prepare()
    work = processor.work(partition)
    with pytest.raises(RefusedToStart, match="ends at raw offset 20, but the group .* committed 7"):
        work.open()
    work.close()
    processor.close()


def test_a_committed_offset_beyond_the_log_refuses_to_start(copying: Copying) -> None:
    session = copying.session()
    session.commit([], COUNT + 1)
    session.close()
    with pytest.raises(RefusedToStart, match="committed 31, but the log ends at 30. Was the topic deleted"):
        copying.session()


def test_records_that_were_deleted_before_they_were_processed_are_counted(slot: Slot) -> None:
    space, partition = slot
    values = [event_frame(space) + body for body in bodies(rows(20))]
    produce(space, [(partition, value) for value in values])
    processor = Processor(space.settings(settings.Processor))
    processor.prepare()
    work, topic = processor.work(partition), f"{space.name}.raw"
    with PartitionReader(cluster(space, "admin"), "tests") as reader:
        records = list(reader.read(topic, partition, 0, 20))
    assert work.open() == 0
    work.commit(work.handle(records[:5], 0, 5, False))
    delete_before(processor_cluster(space), topic, {partition: 12})
    assert work.open() == 12
    work.commit(work.handle(records[12:], 12, 20, False))
    work.close()
    processor.close()
    assert [(e["start_offset"], e["end_offset"], e["lost"]) for e in ledger(*slot)] == [(0, 5, 0), (12, 20, 7)]


def test_records_that_were_deleted_before_anybody_read_the_partition_are_counted(slot: Slot) -> None:
    space, partition = slot
    produce(space, [(partition, event_frame(space) + body) for body in bodies(rows(20))])
    delete_before(processor_cluster(space), f"{space.name}.raw", {partition: 7})
    processor = Processor(space.settings(settings.Processor))
    processor.prepare()
    work = processor.work(partition)
    with PartitionReader(cluster(space, "admin"), "tests") as reader:
        records = list(reader.read(f"{space.name}.raw", partition, 7, 20))
    assert work.open() == 7
    work.commit(work.handle(records, 7, 20, False))
    work.close()
    processor.close()
    assert [(e["start_offset"], e["end_offset"], e["lost"]) for e in ledger(*slot)] == [(7, 20, 7)]

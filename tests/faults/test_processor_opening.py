"""What a session may meet when it opens or commits: aborted beginnings, rivals in between, records that blow up."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.avro import RecordCodec, frame
from connectors.kafka import producer_config
from connectors.kafka_lanes import GroupOffsets, Overtaken, Session, fenced
from connectors.kafka_read import PartitionReader, Record
from pipeline import ledger as ledger_book
from pipeline import partition, rejects, settings
from pipeline.partition import PartitionWork
from pipeline.processor import Processor
from pipeline.sealing import Sealer
from tests.faults.fleet import violations
from tests.faults.test_processor import finished, lone
from tests.processing import Worker, bodies, cluster, event_frame, ledger, processor_cluster, produce, read_all, rows
from tests.space import Space
from tests.waiting import until


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    return made


@pytest.fixture
def processor(space: Space) -> Iterator[Processor]:
    made = Processor(space.settings(settings.Processor))
    made.prepare()
    yield made
    made.close()


def raw(space: Space, partition: int) -> list[Record]:
    with PartitionReader(cluster(space, "admin"), "tests") as reader:
        topic = f"{space.name}.raw"
        return list(reader.read(topic, partition, *reader.watermarks(topic, partition)))


def test_an_aborted_first_transaction_is_no_result(space: Space) -> None:
    events = rows(150)
    head = event_frame(space)
    produce(space, [(0, head + body) for body in bodies(events)])
    assert finished([lone(space, 0, f"offsets:1:{int(signal.SIGKILL)}")]) == [-signal.SIGKILL]
    assert finished([lone(space, 0)]) == [0]
    assert violations(space, {0: [event["event_id"] for event in events]}) == []


def overtaken(space: Space, processor: Processor, partition: int, between: Callable[[PartitionWork], None]) -> PartitionWork:
    """Work whose session is overtaken by ``between`` (given a rival) right after it has read where to begin."""
    produce(space, [(partition, event_frame(space) + body) for body in bodies(rows(20))])
    work, rival = processor.work(partition), processor.work(partition)
    usual = work._shared.new_session

    def late(number: int) -> Session:
        session = usual(number)
        work._shared = dataclasses.replace(work._shared, new_session=usual)
        between(rival)
        return session

    work._shared = dataclasses.replace(work._shared, new_session=late)
    return work


def test_a_rival_that_commits_during_the_rebuild_is_no_contradiction(space: Space, processor: Processor) -> None:
    def commits(rival: PartitionWork) -> None:
        rival.open()
        rival.commit(rival.handle(raw(space, 1), 0, 20, False))
        rival.close()
        until(lambda: ledger(space, 1) != [])

    work = overtaken(space, processor, 1, commits)
    with pytest.raises(Overtaken) as caught:
        work.open()
    assert fenced(caught.value), "the lane waits and opens another session instead of ending the process"
    assert work.open() == 20
    work.close()


def test_a_rival_that_commits_first_is_no_expired_offset(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = GroupOffsets(processor_cluster(space), f"{space.name}-processor")
    topic, outputs = f"{space.name}.raw", [f"{space.name}.ledger", f"{space.name}.events"]
    produce(space, [(2, b"junk")])
    asked = offsets.committed

    def before_the_rival(topic: str, partition: int) -> int | None:
        found = asked(topic, partition)
        if found is None:
            rival = Session(processor_cluster(space), offsets_of_rival, topic, partition, outputs=outputs)
            rival.commit([(outputs[0], None, b"result")], 1)
            rival.close()
            until(lambda: read_all(space, "ledger", 2) != [])
        return found

    offsets_of_rival = GroupOffsets(processor_cluster(space), offsets.group)
    monkeypatch.setattr(offsets, "committed", before_the_rival)
    with pytest.raises(Overtaken):
        offsets.start_of(topic, 2, outputs)


def test_keys_that_grow_in_the_quarantine_do_not_wedge_the_partition(space: Space, processor: Processor) -> None:
    key = b"\x01" * 900_000  # six bytes each as JSON
    producer = Producer(producer_config(cluster(space, "admin"), message_max_bytes=50_000_000))
    events = [event_frame(space) + body for body in bodies(rows(2))]
    for value, name in ((b"junk", key), (events[0], key), (events[1], bytes(3_000_000)), (b"j" * 9_000_000, None)):
        producer.produce(f"{space.name}.raw", value, key=name, partition=3)
    assert producer.flush(30) == 0
    records = raw(space, 3)
    work = processor.work(3)
    assert work.open() == 0
    work.commit(work.handle(records, 0, 4, False))
    work.close()
    until(lambda: len(read_all(space, "ledger", 3)) == 1)  # the broker writes the markers after its answer
    codec, sealer = RecordCodec("quarantined_event", 0), Sealer(space.env["AUDITWIRE_SEALING_KEY"])
    found = [codec.decode(record.value or b"") for record in read_all(space, "quarantine", 3)]
    assert [record["reason"] for record in found] == ["bad_frame", "too_large", "bad_frame"]
    kept = [rejects.original_of(record, sealer) for record in found]
    assert [(original.whole, original.key) for original in kept] == [(False, None), (False, None), (True, None)]
    assert [len(read_all(space, "events", 3)[0].key or b""), kept[0].value] == [900_000, b"junk"]


def test_junk_of_many_schema_ids_is_taken_in_small_steps(
    space: Space, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = processor.work(3)
    start = work.open()
    junk = [Record(3, start + n, 1, None, (), frame(1_900_000_000 + n)) for n in range(3)]
    assert work.handle(junk, start, start + 3, False).end == start + 3
    monkeypatch.setattr(partition, "LOOK_UP_SECONDS", -1)
    assert work.handle(junk, start, start + 3, False).end == start + 1
    work.close()


def test_a_snapshot_that_does_not_fit_is_not_tried_with_every_transaction(
    space: Space, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_book, "SNAPSHOT_BYTES", 0)
    work = processor.work(3)
    start, head = work.open(), event_frame(space)
    tried: list[Any] = []

    def counted(entry: Any, encoded: bytes) -> Any:
        tried.append(entry)
        return PartitionWork._with_snapshot(work, entry, encoded)

    monkeypatch.setattr(work, "_with_snapshot", counted)
    for n, body in enumerate(bodies(rows(3, 9000, producer_id="p", producer_epoch=1, sequence=lambda n: n)), start):
        produce(space, [(3, head + body)])
        work.commit(work.handle([Record(3, n, 1, None, (), head + body)], n, n + 1, False))
    assert len(tried) == 1
    work.close()


BLOCKING = """
import sys, time
from pipeline import log, settings
from pipeline.processor import Processor

def points(point):
    if point == "produced":
        sys.stderr.write("blocked\\n")
        sys.stderr.flush()
        time.sleep(60)

log.setup("console")
sys.exit(Processor(settings.load(settings.Processor), points=points).run())
"""


def test_sigterm_does_not_wait_for_a_commit_that_hangs(provisioned: Space) -> None:
    produce(provisioned, [(0, event_frame(provisioned) + body) for body in bodies(rows(5))])
    worker = Worker(provisioned, "hanging", ["-c", BLOCKING], PROCESSOR_LINGER_MS=5)
    until(lambda: "blocked" in worker.text(), 60, worker.text)
    assert worker.stop(25) == 0

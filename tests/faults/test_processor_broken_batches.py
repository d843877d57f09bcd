"""Batches that the consumer cannot read: they stop their own partition at most, and take nothing of the others with them."""

from __future__ import annotations

import time

from tests.faults.fleet import violations
from tests.processing import Worker, bodies, committed, event_frame, produce, rows
from tests.space import Space

FIRST = 30


def damage(space: Space, partition: int) -> None:
    """Turn over a bit of the last record of a raw partition in the broker's file."""
    path = space.stack.directory / "kafka" / f"{space.name}.raw-{partition}" / "00000000000000000000.log"
    data = bytearray(path.read_bytes())
    data[-10] ^= 0x55
    with path.open("r+b") as file:
        file.write(data)


def test_a_damaged_batch_takes_no_record_of_another_partition_with_it(provisioned: Space) -> None:
    space, head = provisioned, event_frame(provisioned)
    sent: dict[int, list[str]] = {0: [], 1: [], 2: []}

    def send(partition: int, count: int) -> None:
        events = rows(count, 10_000 * partition + len(sent.get(partition, ())))
        produce(space, [(partition, head + body) for body in bodies(events)])
        sent.setdefault(partition, []).extend(event["event_id"] for event in events)

    for partition in range(4):
        send(partition, FIRST)
    damage(space, 3)
    del sent[3]
    worker = Worker(space, "damaged", PROCESSOR_LINGER_MS=5)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and not all(have >= FIRST + 10 for have in committed(space)[:3]):
            for partition in sent:  # goes on meanwhile: what comes next must not stand for what was lost
                send(partition, 1)
        while time.monotonic() < end and any(committed(space)[p] < len(ids) for p, ids in sent.items()):
            time.sleep(0.1)
        assert violations(space, sent) == []
        assert committed(space)[3] == -1
        assert worker.process.poll() is None
    finally:
        worker.kill()

"""Batches that the consumer cannot read: they stop their own partition at most, and take nothing of the others with them."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka

from connectors.kafka import producer_config
from tests.faults.fleet import violations
from tests.processing import Worker, bodies, cluster, committed, event_frame, produce, rows
from tests.space import Space
from tests.waiting import until

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


def produce_with_header(space: Space, partition: int, value: bytes, name: bytes) -> None:
    """One raw record with a header of any name: librdkafka itself, since its Python layer lets none but UTF-8 pass."""
    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka-*.so*")
    library = ctypes.CDLL(str(path))

    def pointer(call: str, *args: Any) -> ctypes.c_void_p:
        function: Callable[..., int] = library[call]
        function.restype = ctypes.c_void_p  # type: ignore[attr-defined]
        return ctypes.c_void_p(function(*args))

    error, config = ctypes.create_string_buffer(512), pointer("rd_kafka_conf_new")
    for key, setting in producer_config(cluster(space, "admin")).items():
        text = str(setting).lower() if isinstance(setting, bool) else str(setting)
        assert library.rd_kafka_conf_set(config, key.encode(), text.encode(), error, 512) == 0
    producer, headers = pointer("rd_kafka_new", 0, config, error, 512), pointer("rd_kafka_headers_new", 1)
    library.rd_kafka_header_add(headers, name, len(name), b"value", 5)
    record = (1, f"{space.name}.raw".encode(), 3, ctypes.c_int32(partition), 4, value, ctypes.c_size_t(len(value)))
    copied = (7, ctypes.c_int(2), 10, headers, 0)  # RD_KAFKA_V_MSGFLAGS: F_COPY; RD_KAFKA_V_HEADERS
    assert library.rd_kafka_producev(producer, *record, *copied) == 0
    assert library.rd_kafka_flush(producer, 30_000) == 0
    library.rd_kafka_destroy(producer)


def test_a_header_whose_name_is_no_utf8_is_read_like_any_other(provisioned: Space) -> None:
    space, head, events = provisioned, event_frame(provisioned), rows(3)
    framed = [head + body for body in bodies(events)]
    produce(space, [(0, framed[0])])
    produce_with_header(space, 0, framed[1], b"\xff\xfe")
    produce_with_header(space, 0, b"junk", b"\xff\xfe")
    produce(space, [(0, framed[2])])
    worker = Worker(space, "header", PROCESSOR_LINGER_MS=5)
    try:
        until(lambda: committed(space)[0] == 4 or worker.process.poll() is not None, 60, worker.text)
        assert violations(space, {0: [event["event_id"] for event in events]}) == []
    finally:
        worker.kill()

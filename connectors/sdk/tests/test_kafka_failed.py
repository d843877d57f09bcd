"""librdkafka fails for good (a fatal error of its idempotent producer), with brokers that librdkafka plays itself."""

from __future__ import annotations

import ctypes
import hashlib
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest

from auditwire import SCHEMA, AuditClient, AuditEvent, DeliveryError, KafkaTransport, SpoolFolder
from tests.waiting import until

REGISTRY = "http://127.0.0.1:9"
EVENT = AuditEvent(event_type="x")


@pytest.fixture
def transport(tmp_path: Path) -> Iterator[KafkaTransport]:
    memory = tmp_path / "schema.json"
    memory.write_text(json.dumps([REGISTRY, "audit.raw", hashlib.sha256(SCHEMA.encode()).hexdigest(), 1]), encoding="utf-8")
    made = KafkaTransport(
        topic="audit.raw",
        bootstrap="127.0.0.1:9",
        schema_registry_url=REGISTRY,
        security_protocol="PLAINTEXT",
        options={"test.mock.num.brokers": 1, "log_level": 0},
        schema_memory=memory,
    )
    yield made
    made.close()


def fail(transport: KafkaTransport) -> None:
    """As a broker's answer makes librdkafka fail that must not happen."""
    libraries = Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka.libs/librdkafka*")
    library = ctypes.CDLL(str(next(libraries)))
    library.rd_kafka_test_fatal_error.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    assert transport._running
    handle = ctypes.c_void_p.from_address(id(transport._running.producer) + object.__basicsize__).value
    library.rd_kafka_test_fatal_error(handle, 46, b"out of order")


def test_spooled_events_are_sent_on_by_a_new_producer(transport: KafkaTransport, tmp_path: Path) -> None:
    spool = SpoolFolder(tmp_path / "spool", bytes(32))
    c = AuditClient(transport, service="s", tenant="t", mode="spooled", spool=spool)
    c.record(EVENT).wait(60)
    fail(transport)
    receipts = [c.record(EVENT) for _ in range(20)]
    for receipt in receipts:
        receipt.wait(60)
    assert (c.counts.stored, c.counts.failed) == (21, 0)
    assert transport.problem == ""
    c.close()


def test_direct_events_that_it_had_fail_and_their_numbers_stay_gaps(transport: KafkaTransport) -> None:
    c = AuditClient(transport, service="s", tenant="t", heartbeat=0.0)
    c.record(EVENT).wait(60)
    assert transport._running
    old = transport._running
    lost = c.record(EVENT)
    fail(transport)
    until(lost.done)
    until(lambda: transport._running is not old)
    kept = [c.record(EVENT) for _ in range(3)]
    for receipt in kept:
        receipt.wait(60)
    assert [receipt.sequence for receipt in kept] == [2, 3, 4]
    assert c.counts.pending == 0
    assert transport.flush(10) == 0
    until(old.ended.is_set)


def test_what_it_had_not_confirmed_is_told_as_that_and_why(transport: KafkaTransport, caplog: pytest.LogCaptureFixture) -> None:
    c = AuditClient(transport, service="s", tenant="t", heartbeat=0.0)
    fail(transport)  # before it has connected
    receipts = []
    for _ in range(20):
        try:
            receipts.append(c.record(EVENT))
        except DeliveryError as error:
            assert "failed for good" in str(error)
    for receipt in receipts:
        until(receipt.done)
    assert c.counts.pending == 0
    assert "Kafka's client failed for good; a new one is made for what comes next (" in caplog.text
    assert "no broker of" not in caplog.text.partition("failed for good")[0]
    assert c.record(EVENT).wait(60).topic == "audit.raw"


def test_one_that_fails_again_and_again_is_not_made_anew_with_every_event(transport: KafkaTransport) -> None:
    c = AuditClient(transport, service="s", tenant="t", heartbeat=0.0)
    made = set()
    refused = 0
    for _ in range(200):
        try:
            c.record(EVENT)
        except DeliveryError:
            refused += 1
        if transport._running:
            made.add(transport._running)
            fail(transport)
    assert refused > 100
    assert len(made) < 10


def test_producers_that_failed_go_with_their_threads_although_nobody_flushes(transport: KafkaTransport) -> None:
    c = AuditClient(transport, service="s", tenant="t", heartbeat=0.0)
    failed = []
    for _ in range(3):
        c.record(EVENT).wait(60)
        assert transport._running
        failed.append(weakref.ref(transport._running))
        ended = transport._running.ended
        fail(transport)
        until(ended.is_set)
        until(lambda: transport._running is None)
    c.record(EVENT).wait(60)
    assert [ref() is None for ref in failed[:2]] == [True, True]  # the last one goes with the next, or with a flush

"""What the client promises whatever the transport: numbers without gaps, receipts, context, errors that tell."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest

from auditwire import (
    AuditClient,
    AuditEvent,
    ClosedError,
    ConfigurationError,
    DeliveryError,
    DeliveryTimeoutError,
    InvalidEventError,
    Position,
    QueueFullError,
    Receipt,
)
from auditwire._direct import Control
from auditwire._identity import new_event_id
from auditwire.testing import RecordingTransport
from tests.modes import client

NUMBER_FIRST = Control(number_at_hand_over=False)


def numbers(transport: RecordingTransport) -> list[int]:
    return [e["sequence"] for e in transport.events]


def test_what_the_client_fills(event: AuditEvent) -> None:
    transport = RecordingTransport()
    c = client(transport, clock=lambda: 1795348800000000, new_id=lambda: "01a20000-0000-7000-8000-000000000001")
    receipt = c.record(event)
    stored = transport.events[0]
    assert receipt.wait() == Position("audit.raw", 0, 0)
    assert (receipt.tenant_id, receipt.event_id, receipt.sequence) == ("acme", stored["event_id"], 0)
    assert stored["event_id"] == "01a20000-0000-7000-8000-000000000001"
    assert stored["occurred_at"] == stored["observed_at"]
    assert stored["occurred_at"].isoformat() == "2026-11-22T12:00:00+00:00"
    assert (stored["tenant_id"], stored["source"], stored["producer_id"]) == ("acme", "deploy", f"{c.producer_id}/best_effort")
    assert stored["producer_epoch"] == 1795348800000000
    assert transport.stored[0].key == f"acme/{c.producer_id}/best_effort".encode()
    assert transport.stored[0].value[:5] == b"\0\0\0\0\x01"


def test_the_same_event_recorded_twice_is_two_events(event: AuditEvent) -> None:
    transport = RecordingTransport()
    c = client(transport)
    assert c.record(event).event_id != c.record(event).event_id


def test_what_the_event_says_wins() -> None:
    transport = RecordingTransport()
    mine = "0b0e7f9c-3a0d-4a52-9b8e-1d2f3a4b5c6d"
    client(transport).record(AuditEvent(event_type="x", event_id=mine, tenant_id="other", source="mine", occurred_at=7))
    stored = transport.events[0]
    assert (stored["event_id"], stored["tenant_id"], stored["source"], stored["occurred_at"].microsecond) == (
        mine,
        "other",
        "mine",
        7,
    )


@pytest.mark.parametrize("bad", ["x", "0B0E7F9C-3A0D-4A52-9B8E-1D2F3A4B5C6D", "0b0e7f9c3a0d4a529b8e1d2f3a4b5c6d", 7])
def test_an_event_id_that_is_no_canonical_uuid_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidEventError, match="event_id must be a UUID"):
        client(RecordingTransport()).record(AuditEvent(event_type="x", event_id=bad))


@pytest.mark.parametrize("fields", [{"event_type": ""}, {"event_type": "x", "tenant_id": ""}])
def test_an_event_needs_tenant_and_type(fields: dict[str, Any]) -> None:
    c = client(RecordingTransport(), tenant="" if "tenant_id" in fields else "acme")
    with pytest.raises(InvalidEventError, match="must not be empty"):
        c.record(AuditEvent(**fields))


def test_event_ids_are_version_7_unique_and_rise_with_time() -> None:
    first = new_event_id()
    time.sleep(0.002)
    ids = [new_event_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(i[14] == "7" and i[19] in "89ab" and len(i) == 36 for i in ids)
    assert first < min(ids)


def record_from_threads(c: AuditClient, threads: int, each: int) -> None:
    def work() -> None:
        for _ in range(each):
            c.record(AuditEvent(event_type="x"))

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def test_numbers_are_gap_free_and_in_order_from_eight_threads() -> None:
    transport = RecordingTransport()
    record_from_threads(client(transport), 8, 500)
    assert numbers(transport) == list(range(4000))


def test_each_tenant_has_numbers_and_a_key_of_its_own() -> None:
    transport = RecordingTransport()
    c = client(transport)
    for tenant in ("a", "b", "a", "a", "b"):
        c.record(AuditEvent(event_type="x", tenant_id=tenant))
    assert [(e["tenant_id"], e["sequence"]) for e in transport.events] == [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 1)]
    assert {s.key for s in transport.stored} == {f"{t}/{c.producer_id}/best_effort".encode() for t in "ab"}


def fill_and_empty(control: Control) -> list[int]:
    """Numbers stored after the queue was full once."""
    transport = RecordingTransport(capacity=3, held=True)
    c = client(transport, max_block=0.0, control=control)
    for _ in range(5):
        c.record(AuditEvent(event_type="x"))
    transport.release()
    c.record(AuditEvent(event_type="x"))
    transport.release()
    return numbers(transport)


def test_a_refused_event_uses_no_number() -> None:
    assert fill_and_empty(Control()) == [0, 1, 2, 3]


def test_control_a_number_taken_before_the_hand_over_leaves_a_gap() -> None:
    assert fill_and_empty(NUMBER_FIRST) == [0, 1, 2, 5]


def test_an_invalid_event_uses_no_number(event: AuditEvent) -> None:
    transport = RecordingTransport()
    c = client(transport)
    with pytest.raises(InvalidEventError):
        c.record(AuditEvent(event_type="x", prompt="a\0"))
    c.record(event)
    assert numbers(transport) == [0]


def test_a_full_queue_holds_up_for_max_block_and_no_longer(event: AuditEvent) -> None:
    c = client(RecordingTransport(capacity=1, held=True), max_block=0.2)
    c.record(event)
    started = time.monotonic()
    receipt = c.record(event)
    assert 0.2 <= time.monotonic() - started < 10
    assert (receipt.done(), receipt.sequence) == (True, -1)
    with pytest.raises(QueueFullError, match="the local queue is full"):
        receipt.wait(0)
    assert (c.counts.recorded, c.counts.dropped, c.counts.pending) == (1, 1, 1)


def test_recording_goes_on_as_soon_as_there_is_room(event: AuditEvent) -> None:
    transport = RecordingTransport(capacity=1, held=True)
    c = client(transport, max_block=30.0)
    c.record(event)
    blocked = threading.Thread(target=c.record, args=(event,))
    blocked.start()
    while blocked.is_alive():
        transport.release()
    assert c.counts.recorded == 2


def test_a_failed_event_is_counted_logged_and_handed_on(event: AuditEvent, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[tuple[Receipt, DeliveryError]] = []
    transport = RecordingTransport()
    c = client(transport, on_error=lambda receipt, error: heard.append((receipt, error)))
    transport.refuse(1, "no room on disk")
    receipt = c.record(event)
    with pytest.raises(DeliveryError, match="no room on disk"):
        receipt.wait(1)
    assert receipt.done()
    assert [(r, str(e)) for r, e in heard] == [(receipt, "no room on disk")]
    assert (c.counts.recorded, c.counts.stored, c.counts.failed) == (1, 0, 1)
    assert f"event {receipt.event_id} of tenant acme was not stored: no room on disk" in caplog.text
    with pytest.raises(DeliveryError, match="1 events since the last flush were not stored"):
        c.flush()
    c.flush()


def test_an_event_may_be_recorded_from_on_error(event: AuditEvent) -> None:
    transport = RecordingTransport()
    transport.refuse()

    def tell(receipt: Receipt, error: DeliveryError) -> None:
        c.record(AuditEvent(event_type="audit.lost"))

    c = client(transport, on_error=tell)
    with pytest.raises(DeliveryError):
        c.record(event).wait(5)
    assert [(e["event_type"], e["sequence"]) for e in transport.events] == [("audit.lost", 1)]


def test_an_on_error_that_raises_harms_nobody(event: AuditEvent, caplog: pytest.LogCaptureFixture) -> None:
    def angry(receipt: Receipt, error: DeliveryError) -> None:
        raise RuntimeError("mine")

    transport = RecordingTransport()
    transport.refuse()
    receipt = client(transport, on_error=angry).record(event)
    with pytest.raises(DeliveryError):
        receipt.wait(5)
    assert "on_error failed" in caplog.text


def test_waiting_too_long_says_what_is_known(event: AuditEvent) -> None:
    transport = RecordingTransport(held=True)
    receipt = client(transport).record(event)
    assert not receipt.done()
    with pytest.raises(DeliveryTimeoutError, match=r"after 0\.01 s: no broker reported a problem"):
        receipt.wait(0.01)
    transport.problem = "the cable is out"
    with pytest.raises(TimeoutError, match="the cable is out"):
        receipt.wait(0.01)
    transport.release()
    assert receipt.wait(5).offset == 0


def test_callbacks_come_once_before_and_after(event: AuditEvent) -> None:
    transport = RecordingTransport(held=True)
    receipt = client(transport).record(event)
    calls: list[str] = []
    receipt.on_done(lambda: calls.append("early"))
    transport.release()
    receipt.wait(5)
    transport.flush(5)
    receipt.on_done(lambda: calls.append("late"))
    assert calls == ["early", "late"]


def test_a_closed_client_takes_nothing(event: AuditEvent) -> None:
    with client(RecordingTransport()) as c:
        c.record(event)
    c.close()
    with pytest.raises(ClosedError):
        c.record(event)


def test_leaving_the_block_tells_of_losses_but_hides_no_other_error(event: AuditEvent, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeliveryTimeoutError, match="has not confirmed 1 events"), client(RecordingTransport(held=True)) as c:
        c.record(event)
    with pytest.raises(KeyError), client(RecordingTransport(held=True)) as c:
        c.record(event)
        raise KeyError
    assert "while another error was on its way" in caplog.text


def test_missing_settings_are_all_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AuditClient.from_env("s", env={"AUDITWIRE_KAFKA_USERNAME": "u"})
    for name in ("_KAFKA_BOOTSTRAP", "_SCHEMA_REGISTRY_URL", "_KAFKA_PASSWORD"):
        assert f"AUDITWIRE{name}" in str(caught.value)
    assert "_KAFKA_USERNAME" not in str(caught.value)


def test_logs_name_ids_never_values(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = RecordingTransport()
    transport.refuse()
    client(transport).record(AuditEvent(event_type="x", prompt="very private"))
    assert transport.flush(5) == 0
    assert "was not stored" in caplog.text
    assert "very private" not in caplog.text

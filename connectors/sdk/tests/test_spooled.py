"""Mode spooled: durable first, sent later; across failures of Kafka, restarts, kills, a full disk, a fork, a wrong clock."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from auditwire import (
    AuditClient,
    AuditEvent,
    ClosedError,
    ConfigurationError,
    DeliveryTimeoutError,
    SpoolBusyError,
    SpoolError,
    SpoolFolder,
    SpoolFullError,
)
from auditwire._direct import Control
from auditwire.testing import RecordingTransport
from tests.forked import in_child
from tests.waiting import until

KEY = bytes(range(32))
EVENT = AuditEvent(event_type="x")


def client(transport: RecordingTransport, folder: Path, **options: Any) -> AuditClient:
    spool = SpoolFolder(folder, KEY, options.pop("max_bytes", 1 << 30))
    return AuditClient(transport, **{"service": "deploy", "tenant": "acme", "mode": "spooled", "spool": spool, **options})


def abandon(c: AuditClient, transport: RecordingTransport) -> None:
    """As a kill leaves it: nothing is flushed, nothing is said; only this process's hold of the folder ends."""
    c._closed = True
    c._pulse.stop()
    transport.close()
    assert c._spooled
    c._spooled.stop()


def released(transport: RecordingTransport) -> bool:
    transport.release()
    return True


def told(transport: RecordingTransport) -> list[tuple[int, int, str]]:
    """(epoch, sequence, type), each stored message once: what is sent again is the same message."""
    seen: dict[tuple[int, int], bytes] = {}
    for stored, e in zip(transport.stored, transport.events, strict=True):
        assert seen.setdefault((e["producer_epoch"], e["sequence"]), stored.value) == stored.value
    return sorted({(e["producer_epoch"], e["sequence"], e["event_type"]) for e in transport.events})


def test_record_returns_when_it_is_on_the_disk_and_the_receipt_when_it_is_in_kafka(tmp_path: Path) -> None:
    transport = RecordingTransport(held=True)
    c = client(transport, tmp_path)
    receipt = c.record(EVENT)
    assert (receipt.sequence, receipt.done()) == (0, False)
    assert (c.counts.spooled, c.counts.pending) == (1, 1)
    until(lambda: released(transport) and receipt.done())
    assert receipt.wait(0).offset == 0
    c.close()
    assert (c.counts.stored, c.counts.spooled, c.counts.pending) == (1, 0, 0)


def test_a_receipt_that_nobody_keeps_costs_no_memory_and_one_with_a_callback_is_kept(tmp_path: Path) -> None:
    transport = RecordingTransport(held=True)
    c = client(transport, tmp_path)
    calls: list[int] = []
    c.record(EVENT).on_done(lambda: calls.append(1))
    for _ in range(100):
        c.record(EVENT)
    gc.collect()
    assert c._spooled and len(c._spooled._receipts) == 1  # type: ignore[union-attr]
    until(lambda: released(transport) and c.counts.stored == 101)
    assert calls == [1]
    c.close()


def test_events_wait_while_kafka_is_away_and_follow_in_order(tmp_path: Path) -> None:
    transport = RecordingTransport()
    transport.refuse(5, "Kafka is away")
    c = client(transport, tmp_path)
    for _ in range(20):
        c.record(EVENT)
    c.flush(60)
    c.close()
    assert [n for _, n, _ in told(transport)] == list(range(20))
    assert c.counts.failed == 0


def test_closing_with_events_in_the_spool_is_no_loss_and_flushing_tells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    c = client(RecordingTransport(held=True), tmp_path)
    c.record(EVENT)
    with pytest.raises(DeliveryTimeoutError, match="has not confirmed 1 events.*1 of them are safe in the spool"):
        c.flush(0.1)
    c.close(0.1)
    assert "1 events are left in the spool; the next process with its folder sends them" in caplog.text
    with pytest.raises(ClosedError):
        c.record(EVENT)


def test_what_a_killed_process_left_is_sent_as_it_was_and_its_lane_is_ended(tmp_path: Path) -> None:
    first = RecordingTransport()
    c = client(first, tmp_path, heartbeat=3600.0)
    for _ in range(3):
        c.record(EVENT)
    c.flush(30)
    abandon(c, first)  # marked as done: the numbers are in the file `lanes` only

    second = RecordingTransport(held=True)
    c = client(second, tmp_path, heartbeat=3600.0)
    for _ in range(2):
        c.record(EVENT)
    abandon(c, second)  # never sent: the numbers are in the spool only

    third = RecordingTransport()
    with client(third, tmp_path, heartbeat=3600.0) as c:
        c.record(EVENT)
    epochs = sorted({epoch for epoch, _, _ in told(third)})
    assert len(epochs) == 3
    end = "auditwire.producer.closed"
    assert told(third) == [
        (epochs[0], 3, end),
        (epochs[1], 0, "x"),
        (epochs[1], 1, "x"),
        (epochs[1], 2, end),
        (epochs[2], 0, "x"),
        (epochs[2], 1, end),
    ]
    assert {e["producer_id"] for e in third.events} == {first.events[0]["producer_id"]}
    assert {s.key for s in third.stored} == {first.stored[0].key}
    assert {e["producer_epoch"] for e in first.events} == {epochs[0]}


def test_control_without_it_a_killed_lane_stays_open(tmp_path: Path) -> None:
    transport = RecordingTransport()
    c = client(transport, tmp_path, heartbeat=3600.0)
    c.record(EVENT)
    c.flush(30)
    abandon(c, transport)
    with client(transport := RecordingTransport(), tmp_path, heartbeat=3600.0, control=Control(end_what_was_left=False)) as c:
        c.record(EVENT)
    assert [n for _, n, _ in told(transport)] == [0, 1]


def test_a_lane_whose_end_was_spooled_is_not_ended_twice(tmp_path: Path) -> None:
    c = client(RecordingTransport(held=True), tmp_path, heartbeat=3600.0)
    c.record(EVENT)
    c.close(0.1)
    transport = RecordingTransport()
    client(transport, tmp_path, heartbeat=3600.0).close()
    assert [(n, kind) for _, n, kind in told(transport)] == [(0, "x"), (1, "auditwire.producer.closed")]
    client(transport := RecordingTransport(), tmp_path, heartbeat=3600.0).close()
    assert transport.events == []


def test_a_lane_that_lost_records_to_the_disk_is_not_ended(tmp_path: Path) -> None:
    """Its last number is not known any more: an end in its place would hide the loss."""
    c = client(RecordingTransport(held=True), tmp_path, heartbeat=3600.0)
    for _ in range(3):
        c.record(EVENT)
    assert c._spooled
    abandon(c, c._transport)  # type: ignore[arg-type]
    for segment in tmp_path.glob("*.seg"):
        data = bytearray(segment.read_bytes())
        data[-5] ^= 255
        segment.write_bytes(bytes(data))
    transport = RecordingTransport()
    with client(transport, tmp_path, heartbeat=3600.0) as c:
        c.record(EVENT)
    ends = [epoch for epoch, _, kind in told(transport) if kind == "auditwire.producer.closed"]
    assert ends == [max(e["producer_epoch"] for e in transport.events)]


def survivors(folder: Path, control: Control) -> int:
    """Events that reach Kafka when the process is killed while Kafka takes none."""
    transport = RecordingTransport(held=True)
    c = client(transport, folder, control=control)
    for _ in range(5):
        c.record(EVENT)
    until(lambda: len(transport._waiting) > 0)
    abandon(c, transport)
    with client(transport := RecordingTransport(), folder) as c:
        c.flush(30)
    return len(transport.stored)


def test_events_under_way_at_a_kill_are_sent_by_the_next_process(tmp_path: Path) -> None:
    assert survivors(tmp_path, Control()) == 5


def test_control_done_before_it_is_stored_loses_them(tmp_path: Path) -> None:
    assert survivors(tmp_path, Control(done_after_stored=False)) < 5


def fill(folder: Path, control: Control) -> list[int]:
    """Numbers in Kafka after the spool was full once, and sent, and used again."""
    transport = RecordingTransport(held=True)
    c = client(transport, folder, max_bytes=1 << 20, control=control)
    large = AuditEvent(event_type="x", prompt="a" * 60_000)
    refused = 0
    while refused < 3:
        try:
            c.record(large)
        except SpoolFullError as error:
            assert "is full" in str(error) and "Nothing was taken" in str(error)
            refused += 1
    assert c.counts.recorded == c.counts.spooled > 5
    until(lambda: released(transport) and c.counts.pending == 0)
    until(lambda: room(c))
    until(lambda: released(transport) and c.counts.pending == 0)
    c.close()
    return [n for _, n, _ in told(transport)]


def room(c: AuditClient) -> bool:
    try:
        c.record(EVENT)
    except SpoolFullError:
        return False
    return True


def test_a_full_spool_is_an_error_that_uses_no_number_and_passes(tmp_path: Path) -> None:
    numbers = fill(tmp_path, Control())
    assert numbers == list(range(len(numbers)))


def test_control_a_number_given_before_it_is_durable_leaves_a_gap(tmp_path: Path) -> None:
    numbers = fill(tmp_path, Control(number_at_hand_over=False))
    assert numbers != list(range(len(numbers)))


def test_many_threads_share_an_fsync_and_numbers_stay_gap_free(tmp_path: Path) -> None:
    transport = RecordingTransport()
    c = client(transport, tmp_path)

    def work(tenant: str) -> None:
        for _ in range(50):
            c.record(AuditEvent(event_type="x", tenant_id=tenant))

    threads = [threading.Thread(target=work, args=(tenant,)) for tenant in "ab" * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    c.close()
    for tenant in "ab":
        assert [e["sequence"] for e in transport.events if e["tenant_id"] == tenant] == list(range(200))


def test_a_second_client_of_one_folder_is_refused(tmp_path: Path) -> None:
    c = client(RecordingTransport(), tmp_path)
    with pytest.raises(SpoolBusyError, match=str(tmp_path)):
        client(RecordingTransport(), tmp_path)
    c.close()
    client(RecordingTransport(), tmp_path).close()


def epochs_around_a_clock_that_goes_back(folder: Path, control: Control) -> list[int]:
    epochs = []
    for now in (2_000_000, 1_000_000):
        transport = RecordingTransport()
        with client(transport, folder, clock=lambda now=now: now, control=control) as c:
            c.record(EVENT)
        epochs.append(transport.events[0]["producer_epoch"])
    return epochs


def test_epochs_rise_although_the_clock_goes_back(tmp_path: Path) -> None:
    assert epochs_around_a_clock_that_goes_back(tmp_path, Control()) == [2_000_000, 2_000_001]


def test_control_an_epoch_of_the_clock_alone_falls(tmp_path: Path) -> None:
    assert epochs_around_a_clock_that_goes_back(tmp_path, Control(epochs_rise=False)) == [2_000_000, 1_000_000]


def test_events_of_another_topic_are_held_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    c = client(RecordingTransport(held=True, topic="old.raw"), tmp_path)
    c.record(EVENT)
    c.close(0.1)
    transport = RecordingTransport(topic="new.raw")
    c = client(transport, tmp_path)
    until(lambda: "holds events for topic old.raw, this client writes new.raw: start with the AUDITWIRE_NAMESPACE" in caplog.text)
    c.close(0.1)
    assert transport.stored == []
    client(transport := RecordingTransport(topic="old.raw"), tmp_path).close()
    assert len(transport.stored) == 1


def test_a_forked_child_may_not_use_the_parents_spool_but_one_of_its_own(tmp_path: Path) -> None:
    transport = RecordingTransport()
    c = client(transport, tmp_path / "parent")
    c.record(EVENT)
    c.flush(30)

    def work() -> str:
        try:
            c.record(EVENT)
        except ConfigurationError as error:
            with client(RecordingTransport(), tmp_path / "child") as own:
                own.record(EVENT)
            c.record(EVENT, mode="best_effort")
            c.close()
            return f"{error} {own.counts.stored}"
        return "no error"

    answer = in_child(work)
    assert "belongs to the process that this one was forked from: make a client after the fork" in answer
    assert answer.endswith(" 1")
    c.record(EVENT)
    c.close()
    assert [n for _, n, _ in told(transport)] == [0, 1]


def test_a_folder_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "lanes").write_text("[]", encoding="utf-8")
    with pytest.raises(SpoolError, match=r"lanes cannot be read: give its user the right to, or delete it"):
        client(RecordingTransport(), tmp_path)
    (tmp_path / "lanes").unlink()
    client(RecordingTransport(), tmp_path).close()


@pytest.mark.parametrize("wrong", [{"key": b"short"}, {"key": "a" * 32}, {"max_bytes": 1000}])
def test_impossible_folders_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="AUDITWIRE_SPOOL_"):
        SpoolFolder(**{"path": tmp_path, "key": KEY, **wrong})
    assert KEY.hex() not in repr(SpoolFolder(tmp_path, KEY))


def test_nothing_of_an_event_is_readable_in_the_folder(tmp_path: Path) -> None:
    c = client(RecordingTransport(held=True), tmp_path)
    c.record(AuditEvent(event_type="x", prompt="very private"))
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"very private" not in content
    c.close(0.1)
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_recording_goes_on_at_the_speed_of_the_disk_while_kafka_is_slow(tmp_path: Path) -> None:
    c = client(RecordingTransport(held=True), tmp_path)
    began = time.monotonic()
    for _ in range(50):
        c.record(EVENT)
    assert time.monotonic() - began < 20
    assert c.counts.spooled == 50
    c.close(0.1)

"""Heartbeats and ends: they say how much was handed over and dropped, and nothing comes later that was observed before them."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from auditwire import AuditEvent, Mode, SpoolFolder
from auditwire._direct import Control
from auditwire._event import encode_parts, producer_start
from auditwire._lane import restamped
from auditwire.testing import RecordingTransport, decode
from tests.modes import KEY, client, lanes, overfull
from tests.waiting import until


def test_a_drop_uses_no_number_and_the_next_heartbeat_counts_it(event: AuditEvent) -> None:
    c, transport = overfull(heartbeat=3600.0)
    for _ in range(3):
        c.record(event)
    transport.release()
    c._beat()
    transport.release()
    c.record(event)
    transport.release()
    told = [(e["sequence"], e["event_type"], e["attributes"].get("dropped")) for e in transport.events]
    assert told == [(0, "tool.invoked", None), (1, "auditwire.producer.heartbeat", "2"), (2, "tool.invoked", None)]


def test_every_lane_that_was_used_beats_and_ends(tmp_path: Path) -> None:
    transport = RecordingTransport()
    with client(transport, heartbeat=3600.0, spool=SpoolFolder(tmp_path, KEY)) as c:
        c.record(AuditEvent(event_type="x"))
        c.record(AuditEvent(event_type="x", tenant_id="other"), mode="blocking")
        c.record(AuditEvent(event_type="x"), mode="spooled")
        c._beat()
        c.flush()
    events = transport.events
    by_lane: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for e in events:
        by_lane.setdefault((e["tenant_id"], e["audit_mode"]), []).append((e["sequence"], e["event_type"]))
    whole = [(0, "x"), (1, "auditwire.producer.heartbeat"), (2, "auditwire.producer.closed")]
    assert by_lane == {("acme", "best_effort"): whole, ("other", "blocking"): whole, ("acme", "spooled"): whole}
    beat = next(e for e in events if e["event_type"] == "auditwire.producer.heartbeat")
    assert (beat["outcome"], beat["activity"], beat["source"]) == ("success", "", "deploy")
    assert beat["attributes"] == {"interval_seconds": "3600", "dropped": "0"}
    assert c.counts.recorded == c.counts.stored == 3  # own events are not counted


def test_heartbeats_come_by_themselves_from_one_thread_and_stop_at_the_end(event: AuditEvent) -> None:
    def beating() -> set[threading.Thread]:
        return {t for t in threading.enumerate() if t.name == "auditwire-heartbeat"} - others

    others: set[threading.Thread] = set()
    others = beating()
    transport = RecordingTransport()
    c = client(transport, heartbeat=0.02)
    c.record(event)
    c.record(event, mode="blocking")
    until(lambda: sum(e["event_type"].endswith("heartbeat") for e in transport.events) >= 6, 30)
    assert len(beating()) == 1
    c.close()
    assert {numbers == list(range(len(numbers))) for numbers in lanes(transport).values()} == {True}
    assert [e["event_type"] for e in transport.events][-2:] == ["auditwire.producer.closed"] * 2
    until(lambda: not beating(), 30)


def test_nobody_beats_or_ends_where_nothing_is_stored_unless_asked(event: AuditEvent) -> None:
    transport = RecordingTransport()
    with client(transport) as c:
        c.record(event)
    assert [e["event_type"] for e in transport.events] == ["tool.invoked"]


def test_a_full_queue_swallows_a_heartbeat_without_a_number(event: AuditEvent) -> None:
    c, transport = overfull(heartbeat=3600.0)
    c.record(event)
    c._beat()
    transport.release()
    c.record(event)
    transport.release()
    assert [e["sequence"] for e in transport.events] == [0, 1]


def test_a_heartbeat_says_nothing_about_events_that_come_while_it_is_made(event: AuditEvent) -> None:
    """Its observed_at is read before its number is given: what was handed over before it has a lower number."""
    transport = RecordingTransport()
    now = [1_000_000]
    c = client(transport, heartbeat=3600.0, clock=lambda: now[0])
    c.record(event)
    read = c._speaker._clock

    def racing() -> int:
        value = read()
        now[0] += 1_000_000
        c._speaker._clock = read
        c.record(event)  # between the reading of the clock and the number
        return value

    c._speaker._clock = racing
    c._beat()
    told = [(e["sequence"], e["event_type"], e["observed_at"].second) for e in transport.events]
    assert told == [(0, "tool.invoked", 1), (1, "tool.invoked", 2), (2, "auditwire.producer.heartbeat", 1)]


def times_around_a_heartbeat(mode: Mode, folder: Path, jump: int, control: Control) -> list[tuple[int, str, int]]:
    """(sequence, type, observed_at in seconds) ; the second event's clock is ``jump`` seconds from the heartbeat's."""
    transport = RecordingTransport()
    now = [100_000_000]
    c = client(transport, heartbeat=3600.0, clock=lambda: now[0], control=control, spool=SpoolFolder(folder, KEY), max_block=0.0)
    c.record(AuditEvent(event_type="x"), mode=mode)
    c._beat()
    now[0] += jump * 1_000_000
    c.record(AuditEvent(event_type="x", prompt="kept"), mode=mode)
    c._beat()
    c.close()
    assert [e["prompt"] for e in transport.events if e["event_type"] == "x"] == ["", "kept"]
    return [(e["sequence"], e["event_type"].rpartition(".")[2], round(e["observed_at"].timestamp())) for e in transport.events]


@pytest.mark.parametrize("mode", ["best_effort", "blocking", "spooled"])
def test_nothing_is_observed_before_the_heartbeat_in_front_of_it_though_the_clock_goes_back(mode: Mode, tmp_path: Path) -> None:
    told = times_around_a_heartbeat(mode, tmp_path / "back", -50, Control())
    assert told == [(0, "x", 100), (1, "heartbeat", 100), (2, "x", 100), (3, "heartbeat", 100), (4, "closed", 100)]
    told = times_around_a_heartbeat(mode, tmp_path / "on", 50, Control())
    assert told == [(0, "x", 100), (1, "heartbeat", 100), (2, "x", 150), (3, "heartbeat", 150), (4, "closed", 150)]


@pytest.mark.parametrize("mode", ["best_effort", "blocking", "spooled"])
def test_control_without_it_an_event_appears_in_a_time_that_was_said_to_be_over(mode: Mode, tmp_path: Path) -> None:
    told = times_around_a_heartbeat(mode, tmp_path, -50, Control(nothing_before_heartbeat=False))
    assert told[1:3] == [(1, "heartbeat", 100), (2, "x", 50)]


@pytest.mark.parametrize("observed_at", [None, 0, 1795348800000000])
def test_another_observed_at_changes_nothing_else(observed_at: int | None) -> None:
    event = AuditEvent(
        event_type="tool.invoked", event_id="e" * 36, tenant_id="acme", occurred_at=1795348800000000, prompt="p", source="s"
    )
    head, tail = encode_parts(event, observed_at, "spooled")
    middle = producer_start("p", 1) + b"\0"
    before, after = decode(head + middle + tail), decode(restamped(head, 1795348800000001) + middle + tail)
    assert after.pop("observed_at").microsecond == 1
    del before["observed_at"]
    assert after == before


def test_a_heartbeat_that_is_lost_is_logged(event: AuditEvent, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    transport = RecordingTransport()
    c = client(transport, heartbeat=3600.0)
    c.record(event)
    transport.refuse()
    c._beat()
    assert transport.flush(5) == 0
    assert "auditwire.producer.heartbeat of tenant acme was not stored" in caplog.text
    assert c.counts.failed == 0

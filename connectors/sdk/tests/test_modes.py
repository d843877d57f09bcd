"""The three audit modes: what record promises in each, and what becomes of numbers, counts and drops."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from auditwire import (
    AsyncAuditClient,
    AuditClient,
    AuditEvent,
    ConfigurationError,
    DeliveryError,
    DeliveryTimeoutError,
    Mode,
    QueueFullError,
    Receipt,
    SpoolFolder,
    SpoolFullError,
)
from auditwire._direct import Control
from auditwire._event import encode_parts, producer_start
from auditwire._lane import restamped
from auditwire._modes import chooser, parse
from auditwire.testing import Recorded, RecordingTransport, decode
from tests.waiting import until

KEY = bytes(range(32))


def client(transport: RecordingTransport, **options: Any) -> AuditClient:
    return AuditClient(transport, **{"service": "deploy", "tenant": "acme", **options})


def lanes(transport: RecordingTransport) -> dict[str, list[int]]:
    """Sequences by the mode that the producer id ends with."""
    found: dict[str, list[int]] = {}
    for event in transport.events:
        assert event["producer_id"].endswith("/" + event["audit_mode"])
        found.setdefault(event["audit_mode"], []).append(event["sequence"])
    return found


@pytest.mark.parametrize(
    ("event_type", "mode"),
    [
        ("tool.invoked", "blocking"),
        ("tool.responded", "spooled"),
        ("tool.x.y", "blocking"),
        ("tools", "best_effort"),
        ("user.input", "best_effort"),
    ],
)
def test_the_exact_name_wins_then_the_longest_prefix(event_type: str, mode: str) -> None:
    choose = chooser({"tool.*": "spooled", "tool.invoked": "blocking", "tool.x*": "blocking"})
    assert choose(event_type) == mode


def test_a_star_is_for_everything_else() -> None:
    assert chooser({"*": "spooled", "a": "blocking"})("b") == "spooled"


def test_modes_are_read_from_a_setting() -> None:
    assert parse("spooled") == "spooled"
    assert parse(" tool.*=spooled, approval.approved=blocking,") == {"tool.*": "spooled", "approval.approved": "blocking"}


@pytest.mark.parametrize("text", ["durable", "tool.*=durable", "", "a=blocking,b"])
def test_an_unknown_mode_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match="must be blocking, spooled or best_effort"):
        parse(text)


def test_each_mode_has_numbers_and_a_producer_of_its_own(tmp_path: Path) -> None:
    transport = RecordingTransport()
    modes: dict[str, Mode] = {"tool.*": "spooled", "approval.*": "blocking"}
    with client(transport, mode=modes, spool=SpoolFolder(tmp_path, KEY)) as c:
        for event_type in ("user.input", "tool.invoked", "approval.approved") * 3:
            c.record(AuditEvent(event_type=event_type))
        c.record(AuditEvent(event_type="user.output"), mode="blocking")
    assert lanes(transport) == {"best_effort": [0, 1, 2], "spooled": [0, 1, 2], "blocking": [0, 1, 2, 3]}
    assert {e["producer_id"] for e in transport.events if e["audit_mode"] != "spooled"} == {
        f"{c.producer_id}/best_effort",
        f"{c.producer_id}/blocking",
    }
    assert c.counts.stored == c.counts.recorded == 10


def test_a_mode_that_a_call_asks_for_must_be_one() -> None:
    with pytest.raises(ConfigurationError, match="an audit mode must be"):
        client(RecordingTransport()).record(AuditEvent(event_type="x"), mode="durable")  # type: ignore[arg-type]


def test_spooled_needs_a_folder_where_events_are_real() -> None:
    class Real:
        schema_id, problem, topic = 1, "", "audit.raw"

        def send(self, key: bytes, value: bytes, report: object) -> None: ...
        def flush(self, timeout: float) -> int:
            return 0

        def close(self) -> None: ...
        def after_fork(self) -> None: ...

    with pytest.raises(ConfigurationError, match="AUDITWIRE_SPOOL_DIR and AUDITWIRE_SPOOL_KEY"):
        AuditClient(Real(), service="s", mode={"tool.*": "spooled"})
    with pytest.raises(ConfigurationError, match="mode spooled needs a folder"):
        AuditClient(Real(), service="s", tenant="t").record(AuditEvent(event_type="x"), mode="spooled")


def test_code_under_test_may_use_every_mode_without_servers_and_folders() -> None:
    recorded = Recorded()
    for mode in ("blocking", "spooled", "best_effort"):
        recorded.client.record(AuditEvent(event_type="x"), mode=mode)
    assert [e["audit_mode"] for e in recorded.events()] == ["blocking", "spooled", "best_effort"]
    full = client(RecordingTransport(capacity=0))
    with pytest.raises(SpoolFullError):
        full.record(AuditEvent(event_type="x"), mode="spooled")


# blocking


def test_blocking_returns_when_it_is_stored(event: AuditEvent) -> None:
    transport = RecordingTransport(held=True)
    c = client(transport, mode="blocking", deadline=30.0)
    done: list[Receipt] = []
    thread = threading.Thread(target=lambda: done.append(c.record(event)))
    thread.start()
    until(lambda: c.counts.recorded == 1)
    assert done == []
    transport.release()
    thread.join(30)
    assert done[0].done() and done[0].wait(0).offset == 0


def test_blocking_raises_after_its_deadline_and_says_what_to_do(event: AuditEvent) -> None:
    transport = RecordingTransport(held=True)
    transport.problem = "no broker answers"
    c = client(transport, mode="blocking", deadline=0.1)
    with pytest.raises(DeliveryTimeoutError, match=r"0\.1 s \(no broker answers\).*do not record it again") as caught:
        c.record(event)
    transport.release()
    assert caught.value.receipt is not None
    assert caught.value.receipt.wait(5).offset == 0


def test_blocking_raises_what_kafka_says(event: AuditEvent) -> None:
    transport = RecordingTransport()
    transport.refuse(1, "no room on disk")
    with pytest.raises(DeliveryError, match="no room on disk") as caught:
        client(transport, mode="blocking").record(event)
    assert caught.value.receipt is not None


def test_blocking_waits_for_room_within_its_deadline_and_uses_no_number_without(event: AuditEvent) -> None:
    transport = RecordingTransport(capacity=0)
    c = client(transport, mode="blocking", deadline=0.1)
    with pytest.raises(QueueFullError, match="the local queue is full"):
        c.record(event)
    assert (c.counts.recorded, c.counts.dropped) == (0, 0)


# best_effort


def overfull(**options: Any) -> tuple[AuditClient, RecordingTransport]:
    transport = RecordingTransport(capacity=1, held=True)
    return client(transport, max_block=0.0, **options), transport


def test_what_is_dropped_is_counted_told_and_raised_at_the_flush(event: AuditEvent, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[tuple[Receipt, DeliveryError]] = []
    c, transport = overfull(on_error=lambda receipt, error: heard.append((receipt, error)))
    kept, dropped = c.record(event), c.record(event)
    assert [(r, type(e)) for r, e in heard] == [(dropped, QueueFullError)]
    transport.release()
    assert kept.wait(5).offset == 0
    with pytest.raises(DeliveryError, match="1 events since the last flush were not stored"):
        c.flush()
    assert (c.counts.recorded, c.counts.stored, c.counts.failed, c.counts.dropped) == (1, 1, 0, 1)
    assert "1 events were dropped: the local queue is full" in caplog.text


def test_a_storm_of_drops_does_not_flood_the_log(event: AuditEvent, caplog: pytest.LogCaptureFixture) -> None:
    c, _ = overfull()
    began = time.monotonic()
    for _ in range(1000):
        c.record(event)
    assert c.counts.dropped == 999
    assert caplog.text.count("were dropped") <= 2 + time.monotonic() - began


def test_on_error_may_record_although_it_is_dropped_too(event: AuditEvent) -> None:
    calls = []

    def tell(receipt: Receipt, error: DeliveryError) -> None:
        calls.append(error)
        c.record(event)

    c, _ = overfull(on_error=tell)
    c.record(event)
    c.record(event)
    assert (len(calls), c.counts.dropped) == (1, 2)


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


# heartbeats and ends


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


# asyncio


def test_async_recorded_keeps_the_promise_of_each_mode_and_the_loop_goes_on(tmp_path: Path, event: AuditEvent) -> None:
    transport = RecordingTransport(held=True)

    async def main() -> None:
        c = AsyncAuditClient(transport, service="s", tenant="t", mode="blocking", deadline=30.0, spool=SpoolFolder(tmp_path, KEY))
        with c.context(session_id="one"):
            blocked = asyncio.ensure_future(c.recorded(event))
            spooled = await c.recorded(event, mode="spooled")
        assert spooled.sequence == 0 and not blocked.done()
        assert (await c.recorded(event, mode="best_effort")).sequence == 0
        while not blocked.done():
            transport.release()
            await asyncio.sleep(0.01)
        assert (await blocked).wait(0).offset >= 0
        while not spooled.done():
            transport.release()
            await asyncio.sleep(0.01)
        await c.close()

    asyncio.run(main())
    assert {e["session_id"] for e in transport.events if e["audit_mode"] != "best_effort"} == {"one"}


def test_async_blocking_has_a_deadline_and_a_full_queue_uses_no_number(event: AuditEvent) -> None:
    async def main() -> None:
        c = AsyncAuditClient(RecordingTransport(capacity=1, held=True), service="s", tenant="t", mode="blocking", deadline=0.1)
        with pytest.raises(DeliveryTimeoutError, match=r"within the deadline of 0\.1 s") as caught:
            await c.recorded(event)
        assert caught.value.receipt is not None
        with pytest.raises(QueueFullError):
            await c.recorded(event)
        assert c.counts.recorded == 1

    asyncio.run(main())


def test_a_plain_call_in_a_mode_that_waits_is_refused(event: AuditEvent) -> None:
    async def main() -> None:
        c = AsyncAuditClient(RecordingTransport(), service="s", tenant="t", mode="blocking")
        with pytest.raises(ConfigurationError, match=r"mode blocking waits: write `await client\.recorded\(event\)`"):
            c.record(event)

    asyncio.run(main())

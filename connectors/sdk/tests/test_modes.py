"""The three audit modes: what record promises in each, and what becomes of numbers, counts and drops."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

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
from auditwire._modes import chooser, parse
from auditwire.testing import Recorded, RecordingTransport
from tests.modes import KEY, client, lanes, overfull
from tests.waiting import until


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

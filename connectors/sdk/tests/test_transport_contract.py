"""What every transport must do: in memory, printing, and on a real broker."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable

import pytest

from auditwire import AuditEvent, ClosedError, DeliveryError, KafkaTransport, Position, PrintTransport, Transport, encode
from auditwire._receipt import Outcome
from auditwire._transport import Full
from auditwire.testing import RecordingTransport

EVENT = b"\0\0\0\0\1" + encode(AuditEvent(event_type="a.b", occurred_at=0, tenant_id="acme"))
Make = Callable[..., Transport]


@pytest.fixture(params=["memory", "print", "kafka"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a transport; ``capacity`` bounds its queue, ``stuck`` keeps messages in it."""

    def memory(capacity: int = 1000, stuck: bool = False) -> Transport:
        return RecordingTransport(capacity=capacity, held=stuck)

    def printing(capacity: int = 1000, stuck: bool = False) -> Transport:
        if stuck:
            pytest.skip("printing happens at once: nothing is ever under way")
        return PrintTransport(io.StringIO())

    def broker(capacity: int = 1000, stuck: bool = False) -> Transport:
        kafka: Callable[..., KafkaTransport] = request.getfixturevalue("kafka")
        return kafka(queue_events=capacity, **({"bootstrap": "127.0.0.1:9"} if stuck else {}))

    return {"memory": memory, "print": printing, "kafka": broker}[request.param]


class Reports:
    """Collects outcomes, from whatever thread."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def __call__(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def positions(self) -> list[Position]:
        assert all(isinstance(o, Position) for o in self.outcomes), self.outcomes
        return [o for o in self.outcomes if isinstance(o, Position)]


def test_it_knows_the_schema_id(make: Make) -> None:
    assert make().schema_id > 0


def test_every_message_is_reported_with_its_position(make: Make) -> None:
    transport, reports = make(), Reports()
    for _ in range(100):
        transport.send(b"acme/one", EVENT, reports)
    assert transport.flush(30) == 0
    positions = reports.positions()
    assert len(positions) == 100
    assert len({(p.topic, p.partition) for p in positions}) == 1
    offsets = [p.offset for p in positions]
    assert offsets == sorted(set(offsets))
    assert transport.problem == ""


def test_threads_may_send_at_once(make: Make) -> None:
    transport, reports = make(capacity=10_000), Reports()

    def work() -> None:
        for _ in range(200):
            transport.send(b"k", EVENT, reports)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transport.flush(30) == 0
    assert len({p.offset for p in reports.positions()}) == 800


def test_a_full_queue_takes_nothing(make: Make) -> None:
    transport, reports = make(capacity=10, stuck=True), Reports()
    for _ in range(10):
        transport.send(b"k", EVENT, reports)
    with pytest.raises(Full):
        transport.send(b"k", EVENT, reports)
    assert transport.flush(0.1) == 10
    transport.close()
    assert len(reports.outcomes) == 10


def test_closing_reports_what_is_under_way_as_failed(make: Make) -> None:
    transport, reports = make(stuck=True), Reports()
    for _ in range(3):
        transport.send(b"k", EVENT, reports)
    transport.close()
    assert [type(o) for o in reports.outcomes] == [DeliveryError] * 3
    transport.close()


def test_a_closed_transport_takes_nothing(make: Make) -> None:
    transport, reports = make(), Reports()
    transport.close()
    with pytest.raises(ClosedError):
        transport.send(b"k", EVENT, reports)
    assert transport.flush(0) == 0
    assert reports.outcomes == []


def test_a_forked_child_sends_and_reports_nothing_of_its_parent(make: Make) -> None:
    transport, reports = make(stuck=True), Reports()
    transport.send(b"k", EVENT, reports)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        transport.after_fork()
        left = transport.flush(0)
        transport.close()
        os.write(write, b"%d %d" % (left, len(reports.outcomes)))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"0 0"
    assert reports.outcomes == []
    assert transport.flush(0.1) == 1

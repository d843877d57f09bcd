"""The service's own audit trail at the start: connected before /healthz is 200, refusing meanwhile, said to be missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from pipeline import settings
from pipeline.export import audit
from pipeline.export.audit import Trail
from pipeline.export.errors import UnavailableError
from tests import export_service
from tests.export_service import write_principals
from tests.parts import PartProcess
from tests.space import Space
from tests.waiting import until
from tests.wire import Wire


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    write_principals(made.folder / "export-principals.yaml")
    return made


@contextmanager
def through(space: Space, relay: Wire) -> Iterator[Trail]:
    """A trail whose first way to Kafka is the relay."""
    values = space.settings(settings.Export, KAFKA_BOOTSTRAP=f"127.0.0.1:{relay.port}")
    trail = Trail(partial(audit.connect, values), patience=2.0)
    try:
        yield trail
    finally:
        trail.close()


def test_it_connects_in_the_background_and_refuses_until_then(space: Space) -> None:
    """Once it is healthy a request needs no new connection; the refusal before is the control: that needs one."""
    with Wire(space.env["AUDITWIRE_KAFKA_BOOTSTRAP"]) as relay, through(space, relay) as trail:
        relay.freeze()
        trail.start()
        until(lambda: "no broker of 127.0.0.1" in (trail.healthy() or ""), 30, lambda: str(trail.healthy()))
        with pytest.raises(UnavailableError):
            trail.record("export.refused", "demo", actor_id="early")
        relay.thaw()
        until(lambda: trail.healthy() is None, 60, lambda: str(trail.healthy()))
        relay.freeze()
        trail.record("export.refused", "demo", actor_id="later")
        assert trail.healthy() is None, "an outage later is said by the requests that it refuses"
        relay.thaw()
    (event,) = export_service.trail(space, actor_id="later")
    assert event["audit_mode"] == "blocking"


def test_what_keeps_it_from_kafka_is_said_and_the_service_ends_all_the_same(space: Space) -> None:
    with PartProcess(space, "export", EXPORT_KAFKA_PASSWORD="wrong") as part:
        until(lambda: "Kafka refused the credentials of user 'export'" in part.health()[1], 60, part.story)
        status, reason = part.health()
        assert status == 503 and reason.startswith("the audit trail is not connected to Kafka yet: ")
        part.process.terminate()
        assert part.process.wait(30) == 0


def test_after_its_end_nothing_is_recorded_and_nobody_connects(space: Space) -> None:
    with Wire(space.env["AUDITWIRE_KAFKA_BOOTSTRAP"]) as relay, through(space, relay) as trail:
        relay.freeze()
        trail.start()
        trail.close()
        with pytest.raises(UnavailableError):
            trail.record("export.refused", "demo")

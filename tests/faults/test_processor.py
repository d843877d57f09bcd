"""Processors are killed, stopped and lied to; the output must be the input, exactly once and in order. And: each mechanism is
switched off once, to see the oracle report the harm."""

from __future__ import annotations

import os
import signal

import pytest

from tests.faults.fleet import Fleet, violations
from tests.processing import PARTITIONS, bodies, event_frame, produce, rows, wait_until
from tests.space import Space

POINTS = ("pre_init", "init", "begun", "mid", "produced", "offsets", "committed")
EACH = 800


@pytest.fixture
def filled(provisioned: Space) -> tuple[Space, list[list[str]]]:
    """A namespace with EACH raw events in each partition, and their ids by partition."""
    return fill(provisioned, EACH)


def fill(space: Space, each: int) -> tuple[Space, list[list[str]]]:
    events = rows(
        each * PARTITIONS, producer_id=lambda n: f"p{n % PARTITIONS}", producer_epoch=1, sequence=lambda n: n // PARTITIONS
    )
    head = event_frame(space)
    produce(space, [(n % PARTITIONS, head + body) for n, body in enumerate(bodies(events))])
    return space, [[event["event_id"] for event in events[p::PARTITIONS]] for p in range(PARTITIONS)]


def test_killed_at_every_named_point(filled: tuple[Space, list[list[str]]]) -> None:
    space, expected = filled
    plans = [f"{point}:{1 if 'init' in point else 3}:{int(signal.SIGKILL)}" for point in POINTS]
    with Fleet(space, 3, plans) as fleet:
        fleet.run([EACH] * PARTITIONS)
        assert fleet.deaths >= 4, "the workers did not die where they should"
        assert violations(space, expected) == []


def test_stopped_beyond_the_session_and_woken_as_a_zombie(filled: tuple[Space, list[list[str]]]) -> None:
    space, expected = filled
    plans = [f"{point}:{2 if 'init' in point else 3}:{int(signal.SIGSTOP)}" for point in ("init", "mid", "produced", "offsets")]
    with Fleet(space, 3, plans) as fleet:
        fleet.run([EACH] * PARTITIONS)
        assert fleet.logs().count("dying at") >= 3
        assert violations(space, expected) == []


def test_chunks_lost_doubled_and_late(filled: tuple[Space, list[list[str]]]) -> None:
    space, expected = filled
    with Fleet(space, 1, env={"TEST_MISCHIEF": 0.5, "TEST_SEED": 7}) as fleet:
        fleet.run([EACH] * PARTITIONS)
        assert "mischief: doubled" in fleet.logs()
        assert violations(space, expected) == []


def test_without_the_shared_id_a_zombie_writes_twice(filled: tuple[Space, list[list[str]]]) -> None:
    space, expected = filled
    off = {"TEST_SAFETY": "shared_id,rebuild_on_takeover"}
    with Fleet(space, 2, [f"produced:3:{int(signal.SIGSTOP)}"], off) as fleet:
        fleet.run([EACH] * PARTITIONS)
        wait_until(lambda: bool(violations(space, expected)), 30, lambda: "the oracle does not see what the shared id prevents")


def test_without_the_position_rule_lies_reach_the_output(filled: tuple[Space, list[list[str]]]) -> None:
    space, expected = filled
    env = {"TEST_MISCHIEF": 0.5, "TEST_SEED": 7, "TEST_SAFETY": "position_rule"}
    with Fleet(space, 1, env=env) as fleet:
        fleet.run([EACH] * PARTITIONS)
        assert violations(space, expected), "the oracle does not see what the position rule prevents"


@pytest.mark.skipif("AUDITWIRE_TEST_SEEDS" not in os.environ, reason="long: set AUDITWIRE_TEST_SEEDS to the number of seeds")
@pytest.mark.timeout(3600)
def test_many_seeds(provisioned: Space) -> None:
    space, expected = fill(provisioned, 5000)
    seeds = int(os.environ["AUDITWIRE_TEST_SEEDS"])
    signals = (signal.SIGKILL, signal.SIGSTOP)
    plans = [f"{POINTS[n % len(POINTS)]}:{1 + n % 5}:{int(signals[n % 2])}" for n in range(seeds)]
    with Fleet(space, 3, plans, {"TEST_MISCHIEF": 0.05, "TEST_SEED": seeds}) as fleet:
        fleet.run([5000] * PARTITIONS, 3000)
        assert violations(space, expected) == []

"""Processors are killed, stopped and lied to; the output must be the input, exactly once and in order. And: each mechanism is
switched off once, to see the oracle report the harm."""

from __future__ import annotations

import signal

import pytest

from tests.faults.fleet import Fleet, is_stopped, violations
from tests.processing import PARTITIONS, Worker, bodies, event_frame, produce, rows
from tests.space import Space
from tests.waiting import until

POINTS = ("pre_init", "init", "begun", "mid", "produced", "offsets", "committed")
EACH = 600
Filled = tuple[Space, dict[int, list[str]]]


@pytest.fixture
def filled(provisioned: Space) -> Filled:
    """A namespace with EACH raw events in each partition, and their ids by partition."""
    return fill(provisioned, EACH)


def fill(space: Space, each: int) -> Filled:
    events = rows(
        each * PARTITIONS, producer_id=lambda n: f"p{n % PARTITIONS}", producer_epoch=1, sequence=lambda n: n // PARTITIONS
    )
    head = event_frame(space)
    produce(space, [(n % PARTITIONS, head + body) for n, body in enumerate(bodies(events))])
    return space, {p: [event["event_id"] for event in events[p::PARTITIONS]] for p in range(PARTITIONS)}


def lone(space: Space, partition: int, plan: str = "", safety: str = "") -> Worker:
    """A worker of one partition without a group: it ends by itself at the end of the partition."""
    env = {"TEST_PARTITION": partition, "TEST_DIE": plan, "TEST_SAFETY": safety}
    return Worker(space, f"lone-{partition}-{plan.replace(':', '-')}", ["-m", "tests.faults.worker"], **env)


def finished(workers: list[Worker]) -> list[int]:
    return [worker.process.wait(60) for worker in workers]


def test_killed_at_every_named_point(filled: Filled) -> None:
    space, expected = filled
    for points in (POINTS[:4], POINTS[3:]):
        plans = [f"{point}:{1 if 'init' in point else 2}:{int(signal.SIGKILL)}" for point in points]
        assert finished([lone(space, p, plan) for p, plan in enumerate(plans)]) == [-signal.SIGKILL] * PARTITIONS
    assert finished([lone(space, p) for p in range(PARTITIONS)]) == [0] * PARTITIONS
    assert violations(space, expected) == []


def zombies(space: Space, plans: list[str], safety: str = "") -> list[int]:
    """Workers that are stopped where ``plans`` say, overtaken by others that finish, and woken; their exit codes."""
    stopped = [lone(space, p, plan, safety) for p, plan in enumerate(plans)]
    until(lambda: all(is_stopped(worker) for worker in stopped), 60, stopped[0].text)
    assert finished([lone(space, p, "", safety) for p in range(len(plans))]) == [0] * len(plans)
    for worker in stopped:
        worker.process.send_signal(signal.SIGCONT)
    return finished(stopped)


def test_a_zombie_that_wakes_up_after_its_successor_has_finished_changes_nothing(filled: Filled) -> None:
    space, expected = filled
    plans = [f"{point}:{2 if point != 'init' else 1}:{int(signal.SIGSTOP)}" for point in ("init", "begun", "produced", "offsets")]
    assert zombies(space, plans) == [0] * PARTITIONS
    assert violations(space, expected) == []


def test_without_the_shared_id_the_zombie_writes_twice(filled: Filled) -> None:
    space, expected = filled
    zombies(space, [f"produced:2:{int(signal.SIGSTOP)}"], "shared_id,rebuild_on_takeover")
    assert any("double" in text for text in violations(space, expected)), "the oracle does not see what the shared id prevents"


def test_workers_of_a_group_killed_and_stopped(filled: Filled) -> None:
    space, expected = filled
    plans = [f"produced:2:{int(signal.SIGKILL)}", f"mid:2:{int(signal.SIGSTOP)}", f"committed:2:{int(signal.SIGKILL)}"]
    with Fleet(space, 2, plans) as fleet:
        fleet.run([EACH] * PARTITIONS)
        assert fleet.logs().count("dying at") >= 2
        assert violations(space, expected) == []


def test_chunks_lost_doubled_and_late(filled: Filled) -> None:
    space, expected = filled
    with Fleet(space, 1, env={"TEST_MISCHIEF": 0.5, "TEST_SEED": 7}) as fleet:
        fleet.run([EACH] * PARTITIONS)
        assert "mischief: doubled" in fleet.logs()
        assert violations(space, expected) == []


def test_without_the_position_rule_lies_reach_the_output(filled: Filled) -> None:
    space, expected = filled
    env = {"TEST_MISCHIEF": 0.5, "TEST_SEED": 7, "TEST_SAFETY": "position_rule"}
    with Fleet(space, 1, env=env) as fleet:
        fleet.run([EACH] * PARTITIONS)
        assert violations(space, expected), "the oracle does not see what the position rule prevents"

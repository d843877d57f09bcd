"""The archive sink under kill -9, pauses and lost answers: every event once, whatever happened."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests import archive_bucket
from tests.archive_sink import ArchiveProcess, ClassedTopic, compare, intact, set_offset, settled
from tests.space import Space
from tests.waiting import until
from tests.wire import PUT_OBJECT, Wire

KILLS = {
    "before_plan:1": "a new range",
    "planned:1": "a new range",
    "before_object:4": "a new range, behind the three objects of the one that was left",
    "before_object:5": "a new range, one object of it there",
    "before_object:2": "the same range, when it is written again",
    "before_manifest:2": "a new range, its objects there",
    "before_manifest:1": "the same range, when it is written again",
    "written:2": "a new range, its manifest there",
    "proved:1": "a new range, the one before found stored",
    "committed:1": "a new range, the one before found stored",
}
"""Point and how often a sink comes to it before it is killed; each takes over what the one before it left."""


@pytest.fixture(scope="module")
def topic(new_space: Callable[[], Space]) -> ClassedTopic:
    """Whatever one test does to it, the next one finds it whole."""
    one = new_space()
    one.provision()
    return ClassedTopic(one)


def killed(topic: ClassedTopic, kill: str) -> None:
    with ArchiveProcess(topic.space, (f"kill@{kill}",)) as doomed:
        until(doomed.died, 90, lambda: f"{kill}: {doomed.text()}")
        assert doomed.end() == -signal.SIGKILL, kill


def test_killed_at_every_named_point_the_next_one_completes_the_range(topic: ClassedTopic) -> None:
    for kill, where in KILLS.items():
        topic.write(60, partitions=(0,))
        killed(topic, kill)
        committed = topic.committed(f"{topic.space.name}-archive-sink")
        assert not compare(topic).beyond_repair(committed), f"killed at {kill}, in {where}"
    topic.write(100)
    with ArchiveProcess(topic.space) as sink:
        settled(topic, sink)
    intact(topic)


def test_killed_in_the_middle_of_a_put(topic: ClassedTopic) -> None:
    bucket = archive_bucket.bucket(topic.space)
    before = list(bucket.keys("events/"))
    topic.write(400)
    doomed = ArchiveProcess(topic.space)
    with Wire(topic.space.env["AUDITWIRE_S3_ENDPOINT"]) as wire:
        wire.order("cut_request", PUT_OBJECT, then=lambda: doomed.send(signal.SIGKILL))
        doomed.overrides = {"S3_ENDPOINT": wire.url}
        with doomed:
            until(doomed.died, otherwise=doomed.text)
    assert list(bucket.keys("events/")) == before
    with ArchiveProcess(topic.space) as sink:
        settled(topic, sink)
    intact(topic)


def test_answers_that_never_arrive_are_asked_for_again(topic: ClassedTopic) -> None:
    topic.write(200)
    with (
        Wire(topic.space.env["AUDITWIRE_S3_ENDPOINT"]) as wire,
        ArchiveProcess(topic.space, overrides={"S3_ENDPOINT": wire.url}) as sink,
    ):
        wire.order("lose", PUT_OBJECT, 4)
        settled(topic, sink)
        assert wire.harmed == 4
    intact(topic)


def left_half_and_moved(topic: ClassedTopic, *faults: str) -> None:
    """A sink is killed between its objects and their manifest, somebody sets the group's offset, and more events follow."""
    topic.write(60, partitions=(0,))
    with ArchiveProcess(topic.space, ("kill@before_manifest:1", *faults)) as doomed:
        until(doomed.died, 90, doomed.text)
    group = f"{topic.space.name}-archive-sink"
    topic.write(60, partitions=(0,))
    set_offset(topic, 0, topic.committed(group)[0])
    with ArchiveProcess(topic.space, faults) as heir:
        settled(topic, heir)


def test_an_offset_moved_by_hand_does_not_make_a_range_end_elsewhere(topic: ClassedTopic) -> None:
    left_half_and_moved(topic)
    intact(topic)


def test_without_the_plan_in_the_bucket_it_leaves_events_twice(provisioned: Space) -> None:
    """Negative control of the test above."""
    topic = ClassedTopic(provisioned)
    left_half_and_moved(topic, "planless")
    assert len(compare(topic).doubled) == 60


def zombie(topic: ClassedTopic, point: str, *faults: str) -> None:
    """A sink is frozen inside a range; another takes over and finishes it; then the first wakes up and goes on to the end."""
    topic.write(200, partitions=(0,))
    with ArchiveProcess(topic.space, (f"stop@{point}", *faults)) as frozen:
        until(frozen.stopped, otherwise=frozen.text)
        with ArchiveProcess(topic.space, faults) as heir:
            settled(topic, heir)
            frozen.send(signal.SIGCONT)
            late = "back to the plan" if point.startswith("proved") else "woken: written"
            until(lambda: late in frozen.text(), otherwise=frozen.text)
            topic.write(100, partitions=(0, 1, 2, 3))
            settled(topic, heir, frozen)
            assert not (frozen.died() or heir.died())


@pytest.mark.parametrize("point", ["before_object:2", "proved:1"])
def test_a_frozen_sink_that_wakes_up_adds_nothing(topic: ClassedTopic, point: str) -> None:
    zombie(topic, point)
    intact(topic)


def test_without_create_only_a_frozen_sink_leaves_second_versions(provisioned: Space) -> None:
    """Negative control of the test above."""
    topic = ClassedTopic(provisioned)
    zombie(topic, "before_object:2", "overwriting")
    assert len(archive_bucket.doubles(archive_bucket.bucket(provisioned, "operator"))) > 0
    with pytest.raises(AssertionError):
        intact(topic)

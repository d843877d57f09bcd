"""The archive sink under kill -9, pauses and lost answers: every event once, whatever happened."""

from __future__ import annotations

import signal

import pytest

from tests import archive_bucket
from tests.archive_sink import ArchiveProcess, ClassedTopic, intact, settled
from tests.space import Space
from tests.waiting import until
from tests.wire import PUT_OBJECT, Wire

POINTS = [
    "before_plan:1",
    "planned:1",
    "before_object:1",
    "before_object:2",
    "before_object:5",
    "before_manifest:1",
    "before_manifest:2",
    "written:1",
    "proved:1",
    "committed:1",
]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point_the_next_one_completes_the_range(provisioned: Space, point: str) -> None:
    topic = ClassedTopic(provisioned)
    topic.write(200)
    with ArchiveProcess(provisioned, (f"kill@{point}",)) as doomed:
        until(doomed.died, otherwise=doomed.text)
        assert doomed.end() == -signal.SIGKILL
    topic.write(100)
    with ArchiveProcess(provisioned) as sink:
        settled(topic, sink)
    intact(topic)


def test_killed_in_the_middle_of_a_put(provisioned: Space) -> None:
    topic = ClassedTopic(provisioned)
    topic.write(400)
    doomed = ArchiveProcess(provisioned)
    with Wire(provisioned.env["AUDITWIRE_S3_ENDPOINT"]) as wire:
        wire.order("cut_request", PUT_OBJECT, then=lambda: doomed.send(signal.SIGKILL))
        doomed.overrides = {"S3_ENDPOINT": wire.url}
        with doomed:
            until(doomed.died, otherwise=doomed.text)
    assert "events/" not in "".join(archive_bucket.bucket(provisioned).keys(""))
    with ArchiveProcess(provisioned) as sink:
        settled(topic, sink)
    intact(topic)


def test_answers_that_never_arrive_are_asked_for_again(provisioned: Space) -> None:
    topic = ClassedTopic(provisioned)
    topic.write(200)
    with (
        Wire(provisioned.env["AUDITWIRE_S3_ENDPOINT"]) as wire,
        ArchiveProcess(provisioned, overrides={"S3_ENDPOINT": wire.url}) as sink,
    ):
        wire.order("lose", PUT_OBJECT, 4)
        settled(topic, sink)
        assert wire.harmed == 4
    intact(topic)


def _zombie(topic: ClassedTopic, faults: tuple[str, ...], point: str) -> None:
    """A sink is frozen inside a range; another takes over and finishes it; then the first wakes up and goes on."""
    topic.write(200, partitions=(0,))
    with ArchiveProcess(topic.space, (f"stop@{point}", *faults)) as frozen:
        until(frozen.stopped, otherwise=frozen.text)
        with ArchiveProcess(topic.space, faults) as heir:
            settled(topic, heir)
            frozen.send(signal.SIGCONT)
            until(lambda: "back to the plan" in frozen.text() or "lost [0" in frozen.text(), otherwise=frozen.text)
            topic.write(100, partitions=(0, 1, 2, 3))
            settled(topic, heir, frozen)
            assert not (frozen.died() or heir.died())


@pytest.mark.parametrize("point", ["planned:1", "before_object:2", "before_manifest:1", "proved:1"])
def test_a_frozen_sink_that_wakes_up_adds_nothing(provisioned: Space, point: str) -> None:
    topic = ClassedTopic(provisioned)
    _zombie(topic, (), point)
    intact(topic)


def test_without_create_only_a_frozen_sink_leaves_second_versions(provisioned: Space) -> None:
    """Negative control of the test above."""
    topic = ClassedTopic(provisioned)
    _zombie(topic, ("overwriting",), "before_object:2")
    assert len(archive_bucket.doubles(archive_bucket.bucket(provisioned, "operator"))) > 0
    with pytest.raises(AssertionError):
        intact(topic)

"""The ClickHouse sink under kill -9, pauses and lost answers: nothing missing, nothing double; and without fence
or read-back the same faults are seen to do harm.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from connectors.kafka import cluster_of
from connectors.kafka_partitions import topic_id_of
from pipeline import settings
from tests.sinks import CleanTopic, Difference, SinkProcess, clickhouse, compare, drained
from tests.space import Space
from tests.waiting import until
from tests.wire import INSERT, Wire

pytestmark = pytest.mark.timeout(600)
POINTS = ("before_plan", "planned", "mid_write", "written", "proved", "committed")
SMALL: dict[str, object] = {"CLICKHOUSE_SINK_BATCH_EVENTS": 40}


@pytest.fixture(scope="module")
def topic(new_space: Callable[[], Space]) -> CleanTopic:
    one = new_space()
    one.provision()
    return CleanTopic(one)


@pytest.fixture
def fresh(provisioned: Space) -> CleanTopic:
    return CleanTopic(provisioned)


def finish(topic: CleanTopic) -> Difference:
    """A healthy sink takes over; what differs in the end."""
    with SinkProcess(topic.space, overrides=SMALL) as sink:
        drained(topic, sink)
        assert sink.end(signal.SIGTERM) == 0, sink.text()
    return compare(topic)


@pytest.mark.parametrize("point", POINTS)
def test_kill_at_every_point(topic: CleanTopic, point: str) -> None:
    topic.write(300)
    topic.write(30, commit=False)
    with SinkProcess(topic.space, (f"kill@{point}:3",), SMALL) as sink:
        until(sink.died, 90, sink.text)
    difference = finish(topic)
    assert not difference, difference


def zombie(topic: CleanTopic, point: str, *controls: str) -> tuple[Difference, str]:
    """One sink is stopped at a point, another takes over and finishes, the first one wakes up and goes on."""
    topic.write(120, partitions=(0,))
    with SinkProcess(topic.space, (f"stop@{point}:1", *controls), SMALL) as first:
        until(first.stopped, 90, first.text)
        with SinkProcess(topic.space, controls, SMALL) as second:
            drained(topic, second, seconds=180)
            first.send(signal.SIGCONT)
            until(lambda: "lost [" in first.log.read_text(), 60, first.text)
            assert second.end(signal.SIGTERM) == 0, second.text()
        topic.write(20)
        drained(topic, first)
        return compare(topic), first.log.read_text()


def test_a_write_that_comes_after_a_takeover_is_refused(fresh: CleanTopic) -> None:
    difference, said = zombie(fresh, "before_write")
    assert not difference, difference
    assert "another owner took over" in said


def test_a_write_stopped_half_way_is_waited_for(fresh: CleanTopic) -> None:
    difference, _ = zombie(fresh, "mid_write")
    assert not difference, difference


def test_without_the_fence_a_late_write_doubles(fresh: CleanTopic) -> None:
    difference, _ = zombie(fresh, "before_write", "unfenced")
    assert difference.doubled


def lost_answer(topic: CleanTopic, *controls: str) -> Difference:
    """The server's answer to an insert is lost on its way."""
    topic.write(200, partitions=(0,))
    with Wire(topic.space.env["AUDITWIRE_CLICKHOUSE_URL"]) as wire:
        wire.order("lose", INSERT)
        overrides: dict[str, object] = {**SMALL, "CLICKHOUSE_URL": wire.url}
        with SinkProcess(topic.space, controls, overrides) as sink:
            drained(topic, sink)
            assert wire.harmed == 1
            assert sink.end(signal.SIGTERM) == 0, sink.text()
    return compare(topic)


def test_a_lost_answer_is_healed_by_reading_back(fresh: CleanTopic) -> None:
    difference = lost_answer(fresh)
    assert not difference, difference


def test_without_reading_back_a_lost_answer_doubles(fresh: CleanTopic) -> None:
    assert lost_answer(fresh, "unread").doubled


def eaten_token(topic: CleanTopic, *controls: str) -> Difference:
    """The server has the insert's token on record, but not its rows: as after a kill between the two."""
    topic.write(10, partitions=(0,))
    cluster = cluster_of(topic.space.settings(settings.ClickHouseSink).model_dump())
    topic_id = topic_id_of(cluster, topic.name)
    with clickhouse(topic.space, "ADMIN") as client:
        for end in (10, 11):
            token = f"{topic_id}/0/0-{end}/1"
            client.command(
                "INSERT INTO events (kafka_partition, kafka_timestamp, processed_retention_class) SELECT 77, now(), 'standard'",
                database=topic.space.name,
                insert_deduplication_token=token,
            )
        client.command("ALTER TABLE events DELETE WHERE kafka_partition = 77", database=topic.space.name, mutations_sync=2)
    with SinkProcess(topic.space, controls) as sink:
        drained(topic, sink)
    return compare(topic)


def test_an_eaten_token_is_healed_by_reading_back(fresh: CleanTopic) -> None:
    difference = eaten_token(fresh)
    assert not difference, difference


def test_without_reading_back_an_eaten_token_loses(fresh: CleanTopic) -> None:
    assert eaten_token(fresh, "unread").missing

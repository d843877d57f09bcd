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
from tests.sinks import CleanTopic, Difference, Key, SinkProcess, clickhouse, compare, drained
from tests.space import Space
from tests.waiting import until
from tests.wire import INSERT, Wire

pytestmark = pytest.mark.timeout(600)
KILLS = ("before_plan:3", "planned:3", "mid_write:3", "written:3", "proved:3", "committed:3")
"""Point and how often a sink comes to it before it is killed; each takes over what the one before it left."""
SMALL: dict[str, object] = {"CLICKHOUSE_SINK_BATCH_EVENTS": 40}
LATE, LOST, EATEN = 0, 1, 3
"""The partition in which a late write, a lost answer or an eaten token does harm where nothing prevents it."""


def provisioned_topic(new_space: Callable[[], Space]) -> CleanTopic:
    one = new_space()
    one.provision()
    return CleanTopic(one)


@pytest.fixture(scope="module")
def topic(new_space: Callable[[], Space]) -> CleanTopic:
    """Whatever one test does to it, the next one finds it whole."""
    return provisioned_topic(new_space)


@pytest.fixture(scope="module")
def harmed(new_space: Callable[[], Space]) -> CleanTopic:
    """For the negative controls: each does harm to a partition of its own."""
    return provisioned_topic(new_space)


def of(partition: int, keys: set[Key]) -> set[Key]:
    return {key for key in keys if key[0] == partition}


def killed(topic: CleanTopic, kill: str) -> None:
    with SinkProcess(topic.space, (f"kill@{kill}",), SMALL) as sink:
        until(sink.died, 90, lambda: f"{kill}: {sink.text()}")
        assert sink.end() == -signal.SIGKILL, kill


def test_killed_at_every_named_point(topic: CleanTopic) -> None:
    for kill in KILLS:
        topic.write(300, partitions=(0, 1, 2))
        topic.write(30, partitions=(0, 1, 2), commit=False)
        killed(topic, kill)
        committed = topic.committed(f"{topic.space.name}-clickhouse-sink")
        assert not compare(topic).beyond_repair(committed), f"killed at {kill}"
    with SinkProcess(topic.space, overrides=SMALL) as sink:
        drained(topic, sink)
        assert sink.end(signal.SIGTERM) == 0, sink.text()
    difference = compare(topic)
    assert not difference, difference


def zombie(topic: CleanTopic, point: str, late: str, *controls: str) -> Difference:
    """One sink is stopped at a point, another takes over and finishes, the first one wakes up, goes on and says ``late``."""
    topic.write(120, partitions=(LATE,))
    with SinkProcess(topic.space, (f"stop@{point}:1", *controls), SMALL) as first:
        until(first.stopped, 90, first.text)
        with SinkProcess(topic.space, controls, SMALL) as second:
            drained(topic, second, seconds=180)
            first.send(signal.SIGCONT)
            until(lambda: all(said in first.log.read_text() for said in ("lost [", late)), 60, first.text)
            assert second.end(signal.SIGTERM) == 0, second.text()
        topic.write(20, partitions=(LATE, LOST))
        drained(topic, first)
        return compare(topic)


def test_a_write_that_comes_after_a_takeover_is_refused(topic: CleanTopic) -> None:
    difference = zombie(topic, "before_write", "another owner took over")
    assert not difference, difference


def test_a_write_stopped_half_way_is_waited_for(topic: CleanTopic) -> None:
    """The successor finishes only after the server has no such insert any more: nothing is left to come late."""
    difference = zombie(topic, "mid_write", "lost [")
    assert not difference, difference


def test_without_the_fence_a_late_write_doubles(harmed: CleanTopic) -> None:
    assert of(LATE, zombie(harmed, "before_write", "woken: written", "unfenced").doubled)


def lost_answer(topic: CleanTopic, *controls: str) -> Difference:
    """The server's answer to an insert is lost on its way."""
    topic.write(200, partitions=(LOST,))
    with Wire(topic.space.env["AUDITWIRE_CLICKHOUSE_URL"]) as wire:
        wire.order("lose", INSERT)
        overrides: dict[str, object] = {**SMALL, "CLICKHOUSE_URL": wire.url}
        with SinkProcess(topic.space, controls, overrides) as sink:
            drained(topic, sink)
            assert wire.harmed == 1
            assert sink.end(signal.SIGTERM) == 0, sink.text()
    return compare(topic)


def test_a_lost_answer_is_healed_by_reading_back(topic: CleanTopic) -> None:
    difference = lost_answer(topic)
    assert not difference, difference


def test_without_reading_back_a_lost_answer_doubles(harmed: CleanTopic) -> None:
    assert of(LOST, lost_answer(harmed, "unread").doubled)


def eaten_token(topic: CleanTopic, *controls: str) -> Difference:
    """The server has the insert's token on record, but other rows: as after a kill between the two.

    The other rows go last: with its rows a part is dropped after half a minute, and the token with it.
    """
    topic.write(10, partitions=(EATEN,))
    cluster = cluster_of(topic.space.settings(settings.ClickHouseSink).model_dump())
    topic_id = topic_id_of(cluster, topic.name)
    with clickhouse(topic.space, "ADMIN") as client:
        for end in (10, 11):
            token = f"{topic_id}/{EATEN}/0-{end}/1"
            client.command(
                "INSERT INTO events (kafka_partition, kafka_timestamp, processed_retention_class) SELECT 77, now(), 'standard'",
                database=topic.space.name,
                insert_deduplication_token=token,
            )
        with SinkProcess(topic.space, controls, {"CLICKHOUSE_SINK_FLUSH_MS": 2000}) as sink:  # the ten are one range
            drained(topic, sink)
        client.command("ALTER TABLE events DELETE WHERE kafka_partition = 77", database=topic.space.name, mutations_sync=2)
    return compare(topic)


def test_an_eaten_token_is_healed_by_reading_back(topic: CleanTopic) -> None:
    difference = eaten_token(topic)
    assert not difference, difference


def test_without_reading_back_an_eaten_token_loses(harmed: CleanTopic) -> None:
    assert of(EATEN, eaten_token(harmed, "unread").missing)

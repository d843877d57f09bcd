"""The ClickHouse sink against real servers: everything in the clean topic is stored once, and what is wrong is said."""

from __future__ import annotations

import signal

from tests.sinks import CleanTopic, SinkProcess, compare, drained
from tests.space import Space
from tests.waiting import until


def test_everything_is_stored_once_across_gaps_and_restarts(provisioned: Space) -> None:
    topic = CleanTopic(provisioned)
    topic.write(400)
    topic.write(100, commit=False)
    with SinkProcess(provisioned, overrides={"CLICKHOUSE_SINK_BATCH_EVENTS": 60}) as sink:
        topic.write(300)
        drained(topic, sink)
        assert sink.end(signal.SIGTERM) == 0, sink.text()
    topic.write(200)
    with SinkProcess(provisioned) as sink:
        drained(topic, sink)
    difference = compare(topic)
    assert not difference, difference


def test_a_wrong_password_ends_the_part_with_an_instruction(provisioned: Space) -> None:
    with SinkProcess(provisioned, overrides={"CLICKHOUSE_SINK_CLICKHOUSE_PASSWORD": "wrong"}) as sink:
        until(sink.died, 60, sink.text)
        assert sink.end() == 1
        assert "refused the name or password of user sink" in sink.text()


def test_two_members_share_the_partitions_and_hand_them_over(provisioned: Space) -> None:
    topic = CleanTopic(provisioned)
    small: dict[str, object] = {"CLICKHOUSE_SINK_BATCH_EVENTS": 40}
    with SinkProcess(provisioned, overrides=small) as first:
        topic.write(200)
        drained(topic, first)
        with SinkProcess(provisioned, overrides=small) as second:
            for _ in range(5):
                topic.write(200)
            drained(topic, first, second)
            assert first.end() == 0, first.text()
            topic.write(200)
            drained(topic, second)
            assert second.end() == 0, second.text()
    difference = compare(topic)
    assert not difference, difference


def test_the_next_generation_of_the_group_protocol(provisioned: Space) -> None:
    topic = CleanTopic(provisioned)
    topic.write(200)
    with SinkProcess(provisioned, overrides={"CLICKHOUSE_SINK_GROUP_PROTOCOL": "consumer"}) as sink:
        drained(topic, sink)
        topic.write(100)
        drained(topic, sink)
        assert sink.end() == 0, sink.text()
    difference = compare(topic)
    assert not difference, difference

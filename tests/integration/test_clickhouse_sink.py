"""The ClickHouse sink against real servers: everything in the clean topic is stored once, and what is wrong is said."""

from __future__ import annotations

import signal

from tests.sinks import CleanTopic, SinkProcess, compare, drained
from tests.space import Space


def test_everything_is_stored_once_across_gaps_and_restarts(provisioned: Space) -> None:
    topic = CleanTopic(provisioned)
    topic.write(400)
    topic.write(100, commit=False)
    with SinkProcess(provisioned, overrides={"CLICKHOUSE_SINK_BATCH_EVENTS": 60}) as sink:
        topic.write(300)
        drained(topic, sink, seconds=30)
        assert sink.end(signal.SIGTERM) == 0, sink.text()
    topic.write(200)
    with SinkProcess(provisioned) as sink:
        drained(topic, sink, seconds=30)
    difference = compare(topic)
    assert not difference, difference

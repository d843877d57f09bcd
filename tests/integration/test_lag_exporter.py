"""The lag exporter on real Kafka: its figures are those of the log, its rights end at describing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from connectors import kafka_lag
from connectors.kafka import cluster_of, consumer_config, producer_config
from connectors.kafka_lag import LagError, Observer
from connectors.kafka_trim import delete_before
from pipeline import metric_labels, settings
from pipeline.lag_exporter import Exporter
from tests.processing import Worker, bodies, cluster, event_frame, produce, rows
from tests.scrape import sample
from tests.space import Space
from tests.waiting import until


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Iterator[Space]:
    made = new_space()
    made.provision()
    yield made


def exporter(space: Space, **overrides: object) -> Exporter:
    values = space.settings(settings.LagExporter, **overrides)
    return Exporter(values, Observer(cluster_of(dict(values))))


def look(exporter: Exporter) -> float:
    """The Unix time that the look's ages are counted to."""
    wall = time.time()
    exporter.look(time.monotonic(), wall)
    return wall


def of_raw(name: str, partition: int = 0) -> float:
    return sample(f"auditwire_{name}", group="processor", topic="raw", partition=str(partition))


def write(space: Space, count: int, start: int = 0) -> None:
    frame = event_frame(space)
    produce(space, [(0, frame + body) for body in bodies(rows(count, start))])


def test_lag_age_members_and_stall_are_those_of_the_group(space: Space) -> None:
    seen = exporter(space, LAG_EXPORTER_STALL_SECONDS=1)
    write(space, 10)
    written = time.time()
    looked = look(seen)
    assert (of_raw("group_lag"), of_raw("group_lag", 1), of_raw("group_committed_offset")) == (10, 0, -1)
    assert of_raw("group_lag_seconds") == pytest.approx(looked - written, abs=2.0)
    assert of_raw("group_lag_seconds", 1) == 0
    assert sample("auditwire_group_members", group="processor") == 0
    assert sample("auditwire_group_partitions_unowned", group="processor") == 4
    worker = Worker(space)
    try:
        until(lambda: look(seen) > 0 and of_raw("group_lag") == 0, 60, worker.text)
        assert (of_raw("group_committed_offset"), of_raw("group_stalled_seconds")) == (10, 0)
        until(lambda: look(seen) > 0 and sample("auditwire_group_partitions_unowned", group="processor") == 0, 30)
        assert sample("auditwire_group_members", group="processor") == 1
    finally:
        worker.kill()
    write(space, 5, 10)
    written = time.time()
    until(lambda: look(seen) > 0 and of_raw("group_stalled") == 1, 30)
    looked = look(seen)
    assert of_raw("group_lag") == 5
    assert of_raw("group_lag_seconds") == pytest.approx(looked - written, abs=2.0)
    assert of_raw("group_retention_used_ratio") == pytest.approx(of_raw("group_lag_seconds") / 1_209_600, rel=0.01)
    assert of_raw("group_stalled", 1) == 0


def test_the_age_is_that_of_the_oldest_record_to_go(space: Space) -> None:
    """The commit stands in the middle of a log of several appends: the first record behind it counts, no other."""
    asked = exporter(space)
    values = space.settings(settings.ClickHouseSink)
    producer = Producer(producer_config(cluster(space, "admin")))
    times: list[float] = []  # Kafka's own append times
    for number in range(4):
        producer.produce(
            f"{space.name}.events", b"x", partition=2, on_delivery=lambda _, record: times.append(record.timestamp()[1] / 1000)
        )
        producer.flush(30)
        time.sleep(0.7)  # the ages that are to be told apart
        if number == 1:
            consumer = Consumer(consumer_config(cluster_of(dict(values)), f"{space.name}-clickhouse-sink"))
            consumer.commit(offsets=[TopicPartition(f"{space.name}.events", 2, 2)], asynchronous=False)
            consumer.close()
    looked = look(asked)
    age = sample("auditwire_group_lag_seconds", group="clickhouse-sink", topic="events", partition="2")
    assert age == pytest.approx(looked - times[2], abs=0.3)
    archive = sample("auditwire_group_lag_seconds", group="archive-sink", topic="events", partition="2")
    assert archive == pytest.approx(looked - times[0], abs=0.3)


def test_records_deleted_before_they_were_stored_show(space: Space) -> None:
    seen, topic = exporter(space), f"{space.name}.events"
    producer = Producer(producer_config(cluster(space, "admin")))
    for _ in range(3):
        producer.produce(topic, b"x", partition=3)
    producer.flush(30)
    consumer = Consumer(consumer_config(cluster(space, "admin"), f"{space.name}-archive-sink"))
    consumer.commit(offsets=[TopicPartition(topic, 3, 1)], asynchronous=False)
    consumer.close()

    def deleted() -> float:
        look(seen)
        return sample("auditwire_group_deleted_records", group="archive-sink", topic="events", partition="3")

    assert deleted() == 0
    delete_before(cluster(space, "admin"), topic, {3: 3})
    until(lambda: deleted() == 2, 20)


def test_an_open_transaction_shows(space: Space) -> None:
    seen = exporter(space)
    producer = Producer({**producer_config(cluster(space, "admin")), "transactional.id": f"{space.name}-open"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(f"{space.name}.ledger", b"x", partition=1)
    producer.flush(30)
    look(seen)
    assert sample("auditwire_topic_open_records", topic="ledger", partition="1") == 1
    producer.abort_transaction(30)
    until(lambda: look(seen) > 0 and sample("auditwire_topic_open_records", topic="ledger", partition="1") == 0, 20)


def refused(message: Any) -> bool:
    assert message is None or message.error() is not None, "a record was read"
    return message is not None and message.error().code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_its_user_sees_and_touches_nothing(space: Space) -> None:
    values = space.settings(settings.LagExporter)
    consumer = Consumer(consumer_config(cluster_of(dict(values)), f"{space.name}-processor", auto_offset_reset="earliest"))
    place = TopicPartition(f"{space.name}.raw", 0, 0)
    consumer.assign([place])
    until(lambda: refused(consumer.poll(0.5)), 20)
    with pytest.raises(KafkaException, match="GROUP_AUTHORIZATION_FAILED|not authorized|denied"):
        consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()
    config = {**producer_config(cluster_of(dict(values))), "enable.idempotence": False}
    producer = Producer({**config, "message.timeout.ms": 5000})
    failed: list[object] = []
    producer.produce(f"{space.name}.raw", b"x", on_delivery=lambda error, _: failed.append(error))
    producer.flush(20)
    assert failed[0] is not None


def test_a_missing_topic_is_missing_partitions_and_a_missing_right_is_said(namespace: Space) -> None:
    seen = exporter(namespace)
    with pytest.raises(LagError, match=r"user lag-exporter may not .*auditwired migrate"):
        look(seen)
    assert sample("auditwire_topic_partitions", topic="events") == 0
    assert sample("auditwire_topic_partitions_wanted", topic="events") == 4


def test_an_exporter_that_sees_nothing_says_so(namespace: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_lag, "ASK_SECONDS", 1.0)
    seen = exporter(namespace, KAFKA_BOOTSTRAP="127.0.0.1:1")
    seen.turn()
    assert seen.healthy() is None
    seen.looked -= 61
    assert "127.0.0.1:1 does not answer" in (seen.healthy() or "")


def test_groups_and_topics_are_labels_from_the_list(space: Space) -> None:
    seen = exporter(space)
    assert {seen._short(g) for g in seen._groups} == set(metric_labels.LABELS["group"].values)
    assert {seen._short(t) for t in seen._wanted} == set(metric_labels.LABELS["topic"].values)

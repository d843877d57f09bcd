"""How far a consumer group has come, seen from outside: its committed offsets, read without joining it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka import Cluster, ErrorWatch, consumer_config, error_of
from connectors.kafka_partitions import TopicError, topic_id_of


class MarksError(Exception):
    """Kafka did not say how far the group is; the text says what to do. ``passing``: trying again later can help."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing


@dataclass(frozen=True)
class Marks:
    """Partition → offset up to which (exclusive) the group is done with the topic of that UUID."""

    topic_id: str
    ends: Mapping[int, int]


def committed(cluster: Cluster, group: str, topic: str, timeout: float = 10.0) -> Marks:
    """Marks of every partition. Needs DESCRIBE on topic and group.

    Raises MarksError; also where a partition has records but the group has committed nothing: it never began, or Kafka has
    forgotten its offsets, and "nothing is done" would be a guess.
    """
    watch = ErrorWatch(cluster.bootstrap, cluster.username)
    consumer = Consumer(consumer_config(cluster, group, error_cb=watch))
    try:
        topic_id = topic_id_of(cluster, topic, timeout)
        partitions = sorted(consumer.list_topics(topic, timeout=timeout).topics[topic].partitions)
        answer = consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=timeout)
        return Marks(topic_id, {p.partition: _end(consumer, group, p, timeout) for p in answer})
    except TopicError as exc:
        raise MarksError(str(exc), passing=True) from exc
    except KafkaException as exc:
        error = error_of(exc)
        said = watch.explain() or f"Kafka did not say how far group {group} is ({error.name() if error else exc})"
        raise MarksError(said, passing=error is None or error.retriable() or error.code() < 0) from exc
    finally:
        consumer.close()


def _end(consumer: Consumer, group: str, partition: TopicPartition, timeout: float) -> int:
    place = f"{partition.topic}[{partition.partition}]"
    if partition.error is not None:
        raise MarksError(f"group {group} on {place}: {partition.error.str()}: run `auditwired migrate`", passing=False)
    if partition.offset >= 0:
        return int(partition.offset)
    high = consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.partition), timeout=timeout)[1]
    if high > 0:
        text = f"group {group} has committed nothing on {place}, which has records: start the ClickHouse sink and let it catch up"
        raise MarksError(text, passing=True)
    return 0

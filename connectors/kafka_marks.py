"""How far a consumer group has come, seen from outside: its committed offsets, read without joining it."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka import Cluster, ErrorWatch, consumer_config, error_of


class MarksError(Exception):
    """Kafka did not say how far the group is; the text says what to do. ``passing``: trying again later can help."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing


def committed(cluster: Cluster, group: str, topic: str, timeout: float = 10.0) -> dict[int, int]:
    """Partition → offset up to which (exclusive) the group is done; 0 where it has committed nothing.

    Needs DESCRIBE on topic and group. Raises MarksError.
    """
    watch = ErrorWatch(cluster.bootstrap, cluster.username)
    consumer = Consumer(consumer_config(cluster, group, error_cb=watch))
    try:
        found = consumer.list_topics(topic, timeout=timeout).topics[topic]
        if found.error is not None:
            raise MarksError(f"Kafka topic {topic}: {found.error.str()}. Run `auditwired migrate`.", passing=False)
        asked = [TopicPartition(topic, p) for p in sorted(found.partitions)]
        answer = consumer.committed(asked, timeout=timeout)
    except KafkaException as exc:
        error = error_of(exc)
        said = watch.explain() or f"Kafka did not say how far group {group} is ({error.name() if error else exc})"
        raise MarksError(f"{said}.", passing=error is None or error.retriable() or error.code() < 0) from exc
    finally:
        consumer.close()
    for partition in answer:
        if partition.error is not None:
            raise MarksError(f"group {group} on {topic}: {partition.error.str()}: run `auditwired migrate`", passing=False)
    return {p.partition: max(p.offset, 0) for p in answer}

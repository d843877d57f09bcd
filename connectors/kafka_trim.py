"""Deletes the beginning of partitions (DeleteRecords)."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka import Cluster


def delete_before(cluster: Cluster, topic: str, limits: Mapping[int, int]) -> None:
    """Delete the records below each partition's limit, for ever. Raises KafkaException; needs the right to DELETE the topic."""
    if not limits:
        return
    admin = AdminClient(cluster.config())
    wanted = [TopicPartition(topic, partition, limit) for partition, limit in limits.items()]
    for future in admin.delete_records(wanted, request_timeout=30).values():
        future.result(30)

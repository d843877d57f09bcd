"""Produces one record and waits until Kafka has it; for operators' tools."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka import SILENT, Cluster, ErrorWatch, denied, producer_config

ANY_PARTITION = -1  # librdkafka: the partitioner decides


class ProduceError(Exception):
    """Kafka did not confirm the record: it may or may not be there. The text says what to do."""


def produce(
    cluster: Cluster,
    topic: str,
    partition: int | None,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    seconds: float = 30.0,
) -> None:
    """Blocks until the record is acknowledged by all in-sync replicas; partition None: the key's. Raises ProduceError."""
    place = topic if partition is None else f"{topic}[{partition}]"
    watch = ErrorWatch(cluster.bootstrap, cluster.username)
    failed: list[KafkaError] = []

    def report(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer({**producer_config(cluster, error_cb=watch, message_max_bytes=2_097_152), **SILENT})
    try:
        producer.produce(
            topic,
            value,
            key,
            partition=ANY_PARTITION if partition is None else partition,
            headers=list(headers),
            on_delivery=report,
        )
    except KafkaException as exc:
        raise ProduceError(f"{place} does not take the record: {exc}") from exc
    left = producer.flush(seconds)
    if left or failed:
        why = denied(failed[0], cluster.username, "Write", topic) if failed else None
        why = why or watch.explain() or (failed[0].str() if failed else "no answer")
        raise ProduceError(f"{place} did not confirm the record: {why}")

"""Who is in a consumer group now, seen from outside: needs DESCRIBE on the group."""

from __future__ import annotations

import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from connectors.kafka import SILENT, Cluster, ErrorWatch, denied, error_of
from connectors.kafka_marks import MOVING


class MembersError(Exception):
    """Kafka did not say who is in the group; the text says what to do."""


def members(cluster: Cluster, group: str, timeout: float = 15.0) -> int:
    """How many members a group has; 0 where there is no such group. Raises MembersError."""
    watch = ErrorWatch(cluster.bootstrap, cluster.username)
    admin = AdminClient({**cluster.config(error_cb=watch), **SILENT})
    deadline = time.monotonic() + timeout
    while True:
        try:
            return len(admin.describe_consumer_groups([group], request_timeout=timeout)[group].result().members)
        except KafkaException as exc:
            error = error_of(exc)
            if error is not None and error.code() == KafkaError.GROUP_ID_NOT_FOUND:
                return 0
            if error is None or error.code() not in MOVING or time.monotonic() > deadline:
                admin.poll(0)
                said = denied(error, cluster.username, "Describe", group) or watch.explain()
                text = f"Kafka did not say who is in group {group} ({error.name() if error else exc})"
                raise MembersError(said or text) from exc
        time.sleep(0.1)

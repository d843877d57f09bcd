"""Waits until a commit shows: Kafka answers a commit before its markers are written, so readers may see it a moment later."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition


def transactions_ended(client: Mapping[str, Any], topic: str, partitions: Iterable[int], seconds: float = 30.0) -> bool:
    """Until no transaction of these partitions is open; False when one still is after ``seconds`` (of a producer that died)."""
    deadline = time.monotonic() + seconds
    levels = ("read_uncommitted", "read_committed")
    consumers = [Consumer({**client, "group.id": "log-end", "isolation.level": level, "log_level": 3}) for level in levels]
    try:
        for partition in partitions:
            while len({c.get_watermark_offsets(TopicPartition(topic, partition), 20)[1] for c in consumers}) > 1:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
        return True
    finally:
        for consumer in consumers:
            consumer.close()

"""What retention deleted, as the table `deletions` has it: a copy of the signed certificates for who counts or reads events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from connectors.clickhouse.client import Client
from pipeline.export.producer_queries import by_partition
from pipeline.export.queries import Query
from pipeline.export.reading import LIMITS

BELOW = """SELECT partition, sum(events) FROM (
    SELECT DISTINCT retention_class, month, partition, events, last_raw_offset FROM `{namespace}`.deletions
    WHERE topic_id = {{topic_id:String}} AND last_raw_offset < {{raw:Array(Int64)}}[partition + 1]
) GROUP BY partition"""
TOUCHING = """SELECT DISTINCT retention_class, month, certificate FROM `{namespace}`.deletions
WHERE month >= {{first:UInt32}} AND month <= {{last:UInt32}} ORDER BY month, retention_class"""
LAST = 999_912
DAY = timedelta(days=1)  # clocks differ, and a clean event gets its month when it is appended, after its ingest


def below(client: Client, namespace: str, topic_id: str, raw: Mapping[int, int]) -> dict[int, int]:
    """Partition → deleted events of classes and months that lie wholly below a raw offset. Raises ClickHouseError."""
    asked = {"topic_id": topic_id, "raw": by_partition(dict(raw))}
    rows = client.rows(BELOW.format(namespace=namespace), asked, **LIMITS)
    return {int(partition): int(events) for partition, events in rows}


def everything(client: Client, namespace: str) -> list[dict[str, str]]:
    """All deleted classes and months, each with the key of its certificate. Raises ClickHouseError."""
    return _named(client, namespace, 0, LAST)


def touching(client: Client, namespace: str, query: Query) -> list[dict[str, str]]:
    """Deleted classes and months that events of the range may have been of, each with the key of its certificate. What occurred
    at some time may have come in at any later one. Raises ClickHouseError.
    """
    last = _month(query.end_time + DAY) if query.time == "ingested" else LAST
    return _named(client, namespace, _month(query.start_time - DAY), last)


def _named(client: Client, namespace: str, first: int, last: int) -> list[dict[str, str]]:
    rows = client.rows(TOUCHING.format(namespace=namespace), {"first": first, "last": last}, **LIMITS)
    return [
        {"class": name, "month": f"{month // 100:04d}-{month % 100:02d}", "certificate": certificate}
        for name, month, certificate in rows
    ]


def _month(moment: datetime) -> int:
    return moment.year * 100 + moment.month

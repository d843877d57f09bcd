"""The table `events` as retention sees it: partitions of a class and month, positions, digests; nothing of an event's content."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.clickhouse.client import ClickHouseError, Client

PARTITIONS = """SELECT partition, partition_id, sum(rows), sum(bytes_on_disk) FROM system.parts
WHERE database = {database:String} AND table = 'events' AND active GROUP BY 1, 2 ORDER BY 1"""
HELD = """SELECT kafka_topic_id, kafka_partition, count(), uniqExact(kafka_offset), sum(event_digest), min(kafka_offset),
max(kafka_offset), max(ifNull(processed_raw_offset, -1)) FROM events
WHERE processed_retention_class = {class:String} AND toYYYYMM(kafka_timestamp, 'UTC') = {month:UInt32}
GROUP BY 1, 2 ORDER BY 1, 2"""
RECORD = """INSERT INTO deletions
(retention_class, month, topic_id, partition, events, checksum, last_raw_offset, certificate, at)
VALUES ({class:String}, {month:UInt32}, {topic_id:String}, {partition:UInt16}, {events:Int64}, {checksum:UInt64}, {raw:Int64},
{certificate:String}, fromUnixTimestamp64Milli({at:Int64}))"""


@dataclass(frozen=True)
class Partition:
    """A partition of the table as its parts say: events and bytes on disk."""

    retention_class: str
    month: str
    identity: str
    events: int
    bytes: int


@dataclass(frozen=True)
class HeldRows:
    """What it holds of one partition of a topic: rows, different positions, sum modulo 2^64 of digests, lowest and highest
    offset, highest raw offset (-1: none is named).
    """

    topic_id: str
    partition: int
    count: int
    unique: int
    checksum: int
    first: int
    last: int
    last_raw: int


class StoredUnits:
    """Methods raise ClickHouseError. Months are ``YYYY-MM``."""

    def __init__(self, client: Client, database: str) -> None:
        self._client, self._database = client, database

    def partitions(self) -> list[Partition]:
        """All partitions that have rows."""
        rows = self._client.rows(PARTITIONS, {"database": self._database})
        return [Partition(*_named(text), identity, int(events), int(size)) for text, identity, events, size in rows]

    def held(self, retention_class: str, month: str) -> list[HeldRows]:
        """What is there of a class and month, by topic and partition."""
        rows = self._client.rows(HELD, _unit(retention_class, month), database=self._database)
        return [HeldRows(*row) for row in rows]

    def drop(self, retention_class: str, month: str) -> None:
        """Drop the whole partition; nothing happens where there is none."""
        for one in self.partitions():
            if (one.retention_class, one.month) == (retention_class, month):
                sql = "ALTER TABLE events DROP PARTITION ID {id:String}"
                self._client.command(sql, {"id": one.identity}, database=self._database, max_partition_size_to_drop=0)

    def recorded(self) -> set[tuple[str, str]]:
        """Classes and months that the table `deletions` has."""
        rows = self._client.rows("SELECT DISTINCT retention_class, month FROM deletions", database=self._database)
        return {(name, _text(month)) for name, month in rows}

    def record(
        self, retention_class: str, month: str, removed: Sequence[Mapping[str, str | int]], certificate: str, at: datetime
    ) -> None:
        """Rows of the table `deletions`, for whoever counts events there. Again makes no difference: equal rows become one.

        ``removed``: topic_id, partition, events, checksum, raw (the highest raw offset).
        """
        fixed = {**_unit(retention_class, month), "certificate": certificate, "at": int(at.timestamp() * 1000)}
        for one in removed:
            self._client.command(RECORD, {**fixed, **one}, database=self._database)


def _unit(retention_class: str, month: str) -> dict[str, str | int]:
    return {"class": retention_class, "month": int(month.replace("-", ""))}


def _text(month: int) -> str:
    return f"{month // 100:04d}-{month % 100:02d}"


def _named(partition: str) -> tuple[str, str]:
    """Class and month out of ``('standard',202603)``, which ClickHouse writes with the escapes that Python has too."""
    try:
        name, number = ast.literal_eval(partition)
        return str(name), _text(int(number))
    except (ValueError, SyntaxError, TypeError):
        raise ClickHouseError(f"the table events has a partition {partition}, which is no class and month: run migrate") from None

"""Rows in ClickHouse at places that the topic does not have: of another topic id or partition, or at its end and behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from connectors.clickhouse.client import Client
from connectors.kafka_read import PartitionReader
from pipeline.fsck.findings import Finding

MOST_LISTED = 10_000
OURS = "kafka_topic_id = {topic_id:String} AND kafka_partition IN"
BEHIND = """SELECT DISTINCT kafka_offset FROM {table} WHERE kafka_topic_id = {{topic_id:String}}
AND kafka_partition = {{partition:UInt16}} AND kafka_offset >= {{end:Int64}} ORDER BY kafka_offset DESC LIMIT {most}"""


@dataclass(frozen=True)
class Table:
    """A table of ClickHouse and the topic that its rows come from; ``kind`` is the finding for a row from nowhere."""

    name: str
    topic: str
    topic_id: str
    kind: str


class Elsewhere:
    """Methods raise ClickHouseError. ``known``: topic ids that an operator acknowledges as earlier topics of this name."""

    def __init__(self, client: Client, database: str, known: Collection[str]) -> None:
        self._client, self._database, self._known = client, database, known
        self.acknowledged: list[str] = []
        """What was not compared because somebody answers for it, in sentences."""

    def foreign(self, table: Table, partitions: list[int]) -> Iterator[Finding]:
        """Rows of another topic id, or of a partition or offset that no topic has."""
        listed = ", ".join(f"{number:d}" for number in partitions)
        sql = (
            "SELECT kafka_topic_id, kafka_partition, count(), min(kafka_offset), max(kafka_offset) "  # noqa: S608
            f"FROM {table.name} WHERE NOT ({OURS} ({listed}) AND kafka_offset >= 0) GROUP BY 1, 2 ORDER BY 1, 2"
        )
        for topic_id, partition, count, first, last in self._client.rows(
            sql, {"topic_id": table.topic_id}, database=self._database
        ):
            where = f"{count} rows of the table {table.name} with topic id {topic_id}, partition {partition}"
            if topic_id in self._known:
                self.acknowledged.append(f"{where}, offsets {first}..{last}")
            else:
                text = f"{where} were not compared: {table.topic} as it is now has the id {table.topic_id}"
                yield Finding(table.kind, f"{table.topic}[{partition}]", text, int(first), int(last), int(count))

    def behind(self, table: Table, partition: int, reader: PartitionReader) -> Iterator[Finding]:
        """Rows at the topic's end or behind it; the end is asked again after the rows, as a sink may be storing newer ones."""
        asked: dict[str, str | int] = {"topic_id": table.topic_id, "partition": partition}
        asked["end"] = reader.watermarks(table.topic, partition)[1]
        sql = BEHIND.format(table=table.name, most=MOST_LISTED)
        found = [int(offset) for (offset,) in self._client.rows(sql, asked, database=self._database)]
        now = reader.watermarks(table.topic, partition)[1] if found else 0
        if beyond := [offset for offset in found if offset >= now]:
            more = " (more were not listed)" if len(beyond) == MOST_LISTED else ""
            text = f"in the table {table.name}: the topic ends at {now}{more}"
            yield Finding(table.kind, f"{table.topic}[{partition}]", text, min(beyond), max(beyond), len(beyond))

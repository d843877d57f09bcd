"""ClickHouse's events of a stretch against the ledger, before they become the archive's, where nothing can be taken back.

Every transaction that has events in the stretch must be in ClickHouse with the count and the checksum that the processor wrote
down, also the part of it that lies outside; and those that should have some and have none must not be.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from connectors import positions
from connectors.archive_reader import ArchivedPartition
from connectors.clickhouse.store import events_only, read_events
from connectors.kafka import cluster_of
from connectors.kafka_partitions import topic_id_of
from connectors.kafka_read import PartitionReader
from connectors.registry import SchemaRegistry
from pipeline.fsck import sources
from pipeline.fsck.book import Ledger
from pipeline.fsck.edges import Neighbours, Source, neighbours
from pipeline.fsck.ledger import Book, Tally
from pipeline.fsck.tables import LedgerTables
from pipeline.rebuild.task import RebuildError

if TYPE_CHECKING:
    from pipeline.rebuild.command import Servers

WHERE = (
    "kafka_topic_id = {topic_id:String} AND kafka_partition = {partition:UInt16}"
    " AND (kafka_offset >= {start:Int64} AND kafka_offset < {end:Int64}"
    " OR processed_raw_offset >= {first_raw:Int64} AND processed_raw_offset < {end_raw:Int64})"
)


@dataclass(frozen=True)
class Accounts:
    """The ledger of a partition beside the partition. Methods raise ReadError, ClickHouseError, S3Error and the like."""

    servers: Servers
    reader: PartitionReader
    partition: int

    def refuse_other(self, start: int, end: int) -> None:
        """Raises RebuildError unless ClickHouse has at ``start <= offset < end`` what the ledger counted there."""
        around = self._neighbours(start, end)
        book = self._book(around)
        before, behind = book.until(around[0]), book.since(around[1])
        first, last = max(before, 0), len(book.entries) - 1 if behind is None else min(behind, len(book.entries) - 1)
        place: dict[str, str | int] = {"topic_id": self.servers.topic_id, "partition": self.partition, "start": start, "end": end}
        whole = last >= first
        place["first_raw"] = int(book.entries["start"][first]) if whole else 0
        place["end_raw"] = int(book.entries["end"][last]) if whole else 0
        tally = Tally(book, f"{self.servers.topic}[{self.partition}]")
        must = {*range(before + 1, len(book.entries) if behind is None else behind)}
        for batch in read_events(self.servers.client, self.servers.namespace, WHERE, place):
            rows = positions.of_stored(events_only(batch), batch)
            tally.feed("ClickHouse", rows["offset"], rows["raw"], positions.written(rows))
            inside = (rows["offset"] >= start) & (rows["offset"] < end)
            must |= set(book.of(rows["raw"][inside]).tolist())
        wrong = [*tally.findings, *tally.differing(np.array(sorted(must - {-1}), np.int64))]
        if wrong:
            raise RebuildError(
                f"{self.servers.topic}[{self.partition}] {start}..{end}: nothing was written, as ClickHouse does not have what "
                f"the ledger counted ({len(wrong)} differences): {wrong[0]}. Run `auditwired rebuild clickhouse` and "
                "`auditwired fsck`; see docs/rebuild.md"
            )

    def _book(self, around: Neighbours) -> Book:
        servers, topic = self.servers, f"{self.servers.namespace}.ledger"
        topic_id = topic_id_of(cluster_of(servers.values.model_dump()), topic)
        tables = LedgerTables(servers.client, servers.namespace, topic_id, self.partition)
        book = Book(f"{topic}[{self.partition}]", (f"{servers.namespace}.raw", self.partition))
        Ledger(self.reader, tables, topic, self.partition).around(book, around)
        book.whole = True  # what no ledger record is about does not go into the archive, however old
        return book

    def _neighbours(self, start: int, end: int) -> Neighbours:
        servers, log = self.servers, self.reader.watermarks(self.servers.topic, self.partition)
        place: dict[str, str | int] = {"topic_id": servers.topic_id, "partition": self.partition}
        archived = ArchivedPartition(servers.bucket, servers.folder, servers.topic, servers.topic_id, self.partition)
        stores: list[Source] = [
            lambda first, behind: sources.clickhouse(servers.client, servers.namespace, place, first, behind),
            lambda first, behind: sources.archive(archived, first, behind),
        ]
        with closing(SchemaRegistry(servers.values.schema_registry_url)) as registry:
            topic = sources.CleanTopic(self.reader, registry, servers.topic, self.partition)
            return neighbours(topic.pieces, stores, (start, end), log)

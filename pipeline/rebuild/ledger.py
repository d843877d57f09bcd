"""The ledger's tables, from the ledger topic, which is kept for ever: what is missing below what the ledger sink has committed.

Rows of a position are equal however often they are written, so the sink may run beside it and it may be ended anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from connectors.avro import RecordCodec
from connectors.clickhouse import ledger
from connectors.clickhouse.ledger import Entry
from connectors.kafka_read import PartitionReader
from pipeline.fsck.tables import WINDOW, LedgerTables, intervals_of
from pipeline.rebuild.task import Task

if TYPE_CHECKING:
    from pipeline.rebuild.command import Servers


def rebuild(servers: Servers, partitions: list[int], task: Task) -> None:
    """Raises ClickHouseError, ReadError, MarksError: run it again, it goes on where it was."""
    topic = f"{servers.namespace}.ledger"
    topic_id = servers.marks.topic_id(topic)
    committed = servers.marks.committed(f"{servers.namespace}-ledger-sink", topic, partitions)
    with PartitionReader(servers.cluster, f"{servers.namespace}-operator") as reader:
        for partition in partitions:
            tables = LedgerTables(servers.client, servers.namespace, topic_id, partition)
            written = 0
            for entries in _windows(reader, topic, topic_id, partition, committed[partition] or 0):
                written += _fill(servers, tables, entries)
                task.points("ledger_window")
            task.tell(f"{topic}[{partition}] {committed[partition] or 0}: {written} records written into the ledger tables")


def _windows(reader: PartitionReader, topic: str, topic_id: str, partition: int, end: int) -> Iterator[list[Entry]]:
    codec = RecordCodec("ledger_record", 0)
    for _, records in groupby(reader.read(topic, partition, 0, end), lambda record: record.offset // WINDOW):
        yield [Entry(topic_id, partition, r.offset, r.timestamp, codec.decode(r.value or b"")) for r in records]


def _fill(servers: Servers, tables: LedgerTables, entries: list[Entry]) -> int:
    first, end = entries[0].offset, entries[-1].offset + 1
    rows, intervals = tables.rows(first, end), tables.sequences(first, end)
    lost = [e for e in entries if e.offset not in rows]
    torn = [e for e in entries if intervals_of(e.record) - intervals.get(e.offset, set())]
    ledger.write(servers.client, servers.namespace, "ledger", ledger.ledger_rows(lost))
    ledger.write(servers.client, servers.namespace, "ledger_sequences", ledger.sequence_rows(torn))
    return len({e.offset for e in (*lost, *torn)})

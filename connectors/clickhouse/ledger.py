"""The ledger's two tables: what became of every raw record, and which producer sequences were seen. Written at least once.

Rows of the same position are equal, and the tables replace equal keys: writing a record again changes nothing for a reader who
asks with FINAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from connectors.clickhouse.client import Client

KINDS = {
    "sequences": "stored",
    "quarantined_sequences": "quarantined",
    "duplicate_sequences": "duplicate",
    "conflict_sequences": "conflict",
}
"""Field of the ledger record → kind of the row."""

_PLACE = [
    ("kafka_topic_id", pa.string()),
    ("kafka_partition", pa.uint16()),
    ("kafka_offset", pa.int64()),
    ("kafka_timestamp", pa.timestamp("ms", "UTC")),
]
_COPIED = [
    *(("raw_topic", pa.string()), ("raw_partition", pa.uint16()), ("start_offset", pa.int64()), ("end_offset", pa.int64())),
    *((name, pa.int64()) for name in ("read", "clean", "quarantined", "duplicates", "conflicts", "lost")),
    ("reasons", pa.list_(pa.struct([("reason", pa.string()), ("count", pa.int64())]))),
    ("resolved", pa.list_(pa.int64())),
    ("max_timestamp", pa.timestamp("us", "UTC")),
    *(("rules_revision", pa.string()), ("version", pa.string())),
]
LEDGER = pa.schema([*_PLACE, *_COPIED, ("checksum", pa.uint64())])
_INTERVAL = [("tenant_id", pa.string()), ("producer_id", pa.string()), ("producer_epoch", pa.int64())]
SEQUENCES = pa.schema([*_INTERVAL, ("kind", pa.string()), ("first", pa.int64()), ("last", pa.int64()), *_PLACE])
_NEEDED = (*(name for name, _ in _COPIED), "checksum", *KINDS)


@dataclass(frozen=True)
class Entry:
    """One record of the ledger topic and where it lies; ``timestamp`` is its append time, ms since 1970 UTC."""

    topic_id: str
    partition: int
    offset: int
    timestamp: int
    record: dict[str, Any]

    @property
    def size(self) -> int:
        """Rows that it makes in both tables, and the items in its lists: what it takes in memory goes with it."""
        return 1 + sum(len(self.record[name]) for name in (*KINDS, "reasons", "resolved"))

    def place(self) -> dict[str, Any]:
        return {
            "kafka_topic_id": self.topic_id,
            "kafka_partition": self.partition,
            "kafka_offset": self.offset,
            "kafka_timestamp": self.timestamp,
        }


def needed(record: dict[str, Any]) -> dict[str, Any]:
    """The fields that rows are made of. The rest, deduplication's hashes and snapshots, is nearly all of a record."""
    return {name: record[name] for name in _NEEDED}


def ledger_rows(entries: Sequence[Entry]) -> pa.RecordBatch:
    """A row an entry."""
    names = [name for name, _ in _COPIED]
    rows = [
        {**{n: e.record[n] for n in names}, **e.place(), "checksum": e.record["checksum"] % 2**64}  # Avro has no unsigned long
        for e in entries
    ]
    return pa.RecordBatch.from_pylist(rows, LEDGER)


def sequence_rows(entries: Sequence[Entry]) -> pa.RecordBatch:
    """A row an interval of each kind."""
    rows = [{**item, "kind": kind, **e.place()} for e in entries for field, kind in KINDS.items() for item in e.record[field]]
    return pa.RecordBatch.from_pylist(rows, SEQUENCES)


def write(client: Client, database: str, table: str, rows: pa.RecordBatch) -> None:
    """Insert the rows; return means that the server has them. Raises ClickHouseError: write them again."""
    if rows.num_rows:
        sql = f"INSERT INTO {table} ({', '.join(rows.schema.names)}) FORMAT ArrowStream"
        client.insert(sql, [rows], database=database, async_insert=0, max_insert_threads=1)

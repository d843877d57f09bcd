"""The ledger's tables in ClickHouse against the ledger topic, position by position; and alone, where that begins later."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from connectors.clickhouse.client import Client
from connectors.clickhouse.ledger import KINDS
from pipeline.fsck.findings import Finding
from pipeline.fsck.ledger import Entry

WINDOW = 500
NUMBERS = ("start_offset", "end_offset", "read", "clean", "quarantined", "duplicates", "conflicts", "lost")
AT = (
    "kafka_topic_id = {topic_id:String} AND kafka_partition = {partition:UInt16}"
    " AND kafka_offset >= {start:Int64} AND kafka_offset < {end:Int64}"
)
RECORDS = f"""SELECT DISTINCT kafka_offset, toUnixTimestamp64Milli(kafka_timestamp), raw_topic, raw_partition,
{", ".join(NUMBERS)}, checksum, reasons.reason, reasons.count, resolved,
toUnixTimestamp64Micro(max_timestamp), rules_revision, version
FROM ledger WHERE {AT} ORDER BY kafka_offset"""  # noqa: S608
SEQUENCES = f"""SELECT DISTINCT kafka_offset, kind, tenant_id, producer_id, producer_epoch, first, last
FROM ledger_sequences WHERE {AT}"""  # noqa: S608
RECORD_OF = f"""SELECT maxOrNull(kafka_offset) FROM ledger WHERE {AT} AND start_offset <= {{raw:Int64}}"""  # noqa: S608
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Row = tuple[Any, ...]
Interval = tuple[str, str, str, int, int, int]


class LedgerTables:
    """The rows of one partition of the ledger. Methods raise ClickHouseError."""

    def __init__(self, client: Client, database: str, topic_id: str, partition: int) -> None:
        self._client, self._database = client, database
        self._place: dict[str, str | int] = {"topic_id": topic_id, "partition": partition}

    def rows(self, start: int, end: int) -> dict[int, list[Row]]:
        """Different rows by offset. Equal ones count once: they are written at least once, and merged."""
        found: dict[int, list[Row]] = defaultdict(list)
        for offset, *row in self._ask(RECORDS, start, end):
            found[offset].append((*row[:12], tuple(zip(row[12], row[13], strict=True)), tuple(row[14]), *row[15:]))
        return found

    def record_of(self, raw: int) -> int | None:
        """Offset of the record that holds this raw offset, or begins last before it; None: there is none."""
        values = {**self._place, "start": 0, "end": 2**63 - 1, "raw": raw}
        found = self._client.rows(RECORD_OF, values, database=self._database)[0][0]
        return None if found is None else int(found)

    def sequences(self, start: int, end: int) -> dict[int, set[Interval]]:
        """Intervals by offset."""
        found: dict[int, set[Interval]] = defaultdict(set)
        for offset, *interval in self._ask(SEQUENCES, start, end):
            found[offset].add(tuple(interval))
        return found

    def entries(self, start: int, end: int) -> Iterator[tuple[int, Entry]]:
        """Ledger records made of the rows again, as far as fsck needs them."""
        for begin in range(start, end, WINDOW):
            for offset, rows in sorted(self.rows(begin, min(begin + WINDOW, end)).items()):
                yield offset, _entry(rows[0])

    def _ask(self, sql: str, start: int, end: int) -> list[list[Any]]:
        return self._client.rows(sql, {**self._place, "start": start, "end": end}, database=self._database)


def _entry(row: Row) -> Entry:
    reasons = [{"reason": reason, "count": count} for reason, count in row[12]]
    found: Entry = {"raw_topic": row[1], "raw_partition": row[2], **dict(zip(NUMBERS, row[3:11], strict=True))}
    return {**found, "checksum": row[11], "reasons": reasons, "resolved": list(row[13])}


def row_of(entry: Mapping[str, Any], timestamp: int) -> Row:
    """What the table must have of a record that was appended at ``timestamp`` (ms since 1970 UTC)."""
    latest = (entry["max_timestamp"] - _EPOCH) // dt.timedelta(microseconds=1)
    reasons = tuple((one["reason"], one["count"]) for one in entry["reasons"])
    numbers = (entry[name] for name in NUMBERS)
    head = (timestamp, entry["raw_topic"], entry["raw_partition"], *numbers, entry["checksum"] % 2**64)
    return (*head, reasons, tuple(entry["resolved"]), latest, entry["rules_revision"], entry["version"])


def intervals_of(entry: Mapping[str, Any]) -> set[Interval]:
    """The intervals that the table must have of a record."""
    return {
        (kind, one["tenant_id"], one["producer_id"], one["producer_epoch"], one["first"], one["last"])
        for name, kind in KINDS.items()
        for one in entry[name]
    }


class Mirror:
    """Records of the ledger topic in order, held against the tables window by window; ``place`` is its ``topic[partition]``."""

    def __init__(self, tables: LedgerTables, place: str, start: int, until: int) -> None:
        self._tables, self._place, self._at, self._until = tables, place, start, until
        self._held: dict[int, tuple[Row, set[Interval]]] = {}
        self.findings: list[Finding] = []

    def see(self, offset: int, timestamp: int, entry: Mapping[str, Any]) -> None:
        """The next record."""
        while offset >= min(self._at + WINDOW, self._until) and self._at < self._until:
            self._compare(min(self._at + WINDOW, self._until))
        if offset < self._until:
            self._held[offset] = row_of(entry, timestamp), intervals_of(entry)

    def end(self) -> list[Finding]:
        """No more records; returns what differs."""
        while self._at < self._until:
            self._compare(min(self._at + WINDOW, self._until))
        return self.findings

    def _compare(self, end: int) -> None:
        rows, intervals = self._tables.rows(self._at, end), self._tables.sequences(self._at, end)
        for offset in sorted({*self._held, *rows, *intervals}):
            self.findings += self._one(offset, rows.get(offset, []), intervals.get(offset, set()))
        self._held.clear()
        self._at = end

    def _one(self, offset: int, rows: list[Row], intervals: set[Interval]) -> Iterator[Finding]:
        if offset not in self._held:
            yield self._finding("not_in_ledger_topic", offset, "the topic has no record there")
            return
        row, expected = self._held[offset]
        if not rows:
            yield self._finding("missing_in_ledger_table", offset, "not in the table ledger")
        elif rows != [row]:
            yield self._finding("ledger_table_differs", offset, f"in ledger: {_different(row, rows)}")
        for one in sorted(expected - intervals):
            yield self._finding("missing_in_ledger_table", offset, f"not in ledger_sequences: {_named(one)}")
        for one in sorted(intervals - expected):
            yield self._finding("ledger_table_differs", offset, f"in ledger_sequences only: {_named(one)}")

    def _finding(self, kind: str, offset: int, text: str) -> Finding:
        return Finding(kind, self._place, text, offset, offset)


COLUMNS = (
    *("kafka_timestamp", "raw_topic", "raw_partition", *NUMBERS, "checksum", "reasons", "resolved", "max_timestamp"),
    *("rules_revision", "version"),
)


def _different(row: Row, rows: list[Row]) -> str:
    names = [name for i, name in enumerate(COLUMNS) if any(other[i] != row[i] for other in rows)]
    several = f"{len(rows)} different rows, " if len(rows) > 1 else ""
    return f"{several}other {', '.join(names)} than in the topic"


def _named(one: Interval) -> str:
    kind, tenant, producer, epoch, first, last = one
    return f"{kind} {tenant}/{producer}/{epoch} {first}..{last}"

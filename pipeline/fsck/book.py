"""The ledger of one partition, read from its topic: all of it, or only the records around a stretch of raw offsets."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from connectors.avro import RecordCodec
from connectors.kafka_read import PartitionReader
from pipeline.fsck.edges import Neighbours
from pipeline.fsck.ledger import Book, Entry
from pipeline.fsck.tables import LedgerTables

Entries = Generator[tuple[int, Entry], None, None]


def _nothing(offset: int, timestamp: int, entry: Entry) -> None:
    pass


@dataclass(frozen=True)
class Ledger:
    """One partition of the ledger ``topic``. ``tables``: what stands in for its beginning where the topic has lost that, and
    where in the topic to begin for a stretch; what they say is checked against the topic.
    """

    reader: PartitionReader
    tables: LedgerTables
    topic: str
    partition: int

    def whole(self, book: Book, see: Callable[[int, int, Entry], Any] = _nothing) -> Book:
        """Fill the book with every record; ``see`` hears offset, append time (ms) and content of those in the topic."""
        low, _ = self._marks()
        older = [] if low == 0 else list(self.tables.entries(0, low))
        book.whole = low == 0 or bool(older)
        with closing(self._topic(0, see)) as records:
            return book.take(_joined(older, records))

    def around(self, book: Book, between: Neighbours) -> Book:
        """Fill the book with the records that hold the two raw offsets, and those in between; None: from, or to, the end.

        An event of the stretch that names an older raw record is then of no record: nothing of the stretch can be made of it.
        """
        before, behind = between
        start = None if before is None else self.tables.record_of(before)
        if before is None or start is None:
            return self.whole(book)
        low, _ = self._marks()
        older = list(self.tables.entries(start, low))
        with closing(self._topic(start, _nothing)) as records, closing(_joined(older, records)) as entries:
            first = next(entries, None)
            if first is not None and first[1]["start_offset"] <= before:
                return book.take(_until(behind, _joined([first], entries)))
        return self.whole(book)

    def _marks(self) -> tuple[int, int]:
        return self.reader.watermarks(self.topic, self.partition)

    def _topic(self, start: int, see: Callable[[int, int, Entry], Any]) -> Entries:
        codec = RecordCodec("ledger_record", 0)
        with closing(self.reader.read(self.topic, self.partition, start, self._marks()[1])) as records:
            for record in records:
                entry = codec.decode(record.value or b"")
                see(record.offset, record.timestamp, entry)
                yield record.offset, entry


def _joined(first: list[tuple[int, Entry]], then: Entries) -> Entries:
    yield from first
    yield from then


def _until(raw: int | None, entries: Entries) -> Entries:
    for offset, entry in entries:
        yield offset, entry
        if raw is not None and entry["end_offset"] > raw:
            return

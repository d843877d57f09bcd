"""The three places read side by side, each in order of offsets, window by window; memory is that of a window and a range."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

import schemas
from connectors import avro, positions
from connectors.archive_reader import ArchivedPartition
from connectors.clickhouse.client import Client
from connectors.clickhouse.store import WHERE_RANGE, events_only, read_events
from connectors.kafka_read import PartitionReader, Record
from connectors.partitions import Chunk
from connectors.positions import Positions
from pipeline.fsck.findings import Finding
from pipeline.fsck.ledger import Held
from pipeline.sink.decode import Decoder, Schemas, UnreadableError

Pieces = Generator[tuple[int, Positions], None, None]
"""Positions in order, each piece with an offset below which no later piece has anything."""
CHUNK = 5_000
CLICKHOUSE_WINDOW = 100_000
FOREVER = 2**63 - 1


class Windows:
    """Pieces, taken window by window."""

    def __init__(self, pieces: Iterator[tuple[int, Positions]]) -> None:
        self._pieces, self._held, self._floor = pieces, positions.empty(), -1

    def take(self, until: int) -> Positions:
        """Everything below ``until`` that was not taken before, sorted."""
        parts = [self._held]
        while self._floor < until:
            self._floor, piece = next(self._pieces, (FOREVER, positions.empty()))
            parts.append(piece)
        whole = positions.joined(parts)
        at = int(np.searchsorted(whole["offset"], until))
        self._held = whole[at:].copy()
        return whole[:at]


@dataclass
class CleanTopic:
    """A partition of the clean topic. ``findings`` fills with records that are no events."""

    reader: PartitionReader
    registry: Schemas
    topic: str
    partition: int
    deleted: positions.Units = ()
    """What certificates say is deleted: the topic may have it longer than the stores."""
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._decoder = Decoder(self.registry)
        self._newest: dict[int, bool] = {}

    def pieces(self, start: int, end: int) -> Pieces:
        """Raises ReadError, RegistryError."""
        records = self.reader.read(self.topic, self.partition, start, end)
        while chunk := list(islice(records, CHUNK)):
            yield chunk[-1].offset + 1, positions.joined(self._positions(chunk))

    def _positions(self, records: list[Record]) -> Iterator[Positions]:
        """Digests of the bodies as they are; and of the same in the newest schema, which is what stores can be asked for."""
        new: list[Record] = []
        other: list[Record] = []
        for record in records:
            schema_id = avro.schema_id_of(record.value or b"")
            (new if schema_id is not None and self._is_newest(schema_id) else other).append(record)
        bodies = [(record.value or b"")[5:] for record in new]
        found = positions.empty(len(new))
        try:
            events = avro.decode(bodies, schemas.schema_text("audit_event")) if bodies else avro.empty()
            found["raw"] = positions.raw_offsets(events)
        except avro.DecodeError:
            yield from self._older(records)
            return
        found["offset"] = [record.offset for record in new]
        found["timestamp"] = [record.timestamp for record in new]
        found["stored"] = found["digest"] = avro.digests(bodies)
        found["own"] = True
        found["gone"] = positions.gone(events, found["timestamp"], self.deleted)
        yield found
        yield from self._older(other)

    def _is_newest(self, schema_id: int) -> bool:
        if schema_id not in self._newest:
            fields = json.loads(self.registry.schema_of(schema_id))["fields"]
            self._newest[schema_id] = tuple(f["name"] for f in fields) == schemas.event_fields()
        return self._newest[schema_id]

    def _older(self, records: list[Record]) -> Iterator[Positions]:
        """Records of older schemas; one that cannot be read makes them be read one by one."""
        offsets, times = [record.offset for record in records], [record.timestamp for record in records]
        try:
            rows = self._decoder.rows(Chunk(self.partition, offsets, times, [record.value for record in records]))
            yield positions.of(rows.columns, rows.offsets, rows.timestamps, rows.digests, self.deleted)
        except UnreadableError as exc:
            if len(records) > 1:
                for record in records:
                    yield from self._older([record])
                return
            place = f"{self.topic}[{self.partition}]"
            self.findings.append(Finding("unreadable_in_topic", place, str(exc), offsets[0], offsets[0]))


def clickhouse(
    client: Client, database: str, place: Mapping[str, str | int], start: int, end: int, *, deleted: positions.Units = ()
) -> Pieces:
    """``place``: topic_id and partition. ``deleted``: what certificates say is deleted. Raises ClickHouseError.

    Each answer is read to its end at once: the server gives up one that waits for slower places (http_send_timeout, 30 s).
    """
    for begin in range(start, end, CLICKHOUSE_WINDOW):
        stop = min(begin + CLICKHOUSE_WINDOW, end)
        batches = read_events(client, database, WHERE_RANGE, {**place, "start": begin, "end": stop})
        yield stop, positions.joined([positions.of_stored(events_only(batch), batch, deleted) for batch in batches])


def archive(partition: ArchivedPartition, start: int, end: int) -> Pieces:
    """Raises S3Error."""
    ranges = [r for r in partition.ranges(start) if r.start < end]
    for i, one in enumerate(ranges):
        whole = partition.read(one)
        inside = (whole["offset"] >= start) & (whole["offset"] < end)
        yield ranges[i + 1].start if i + 1 < len(ranges) else FOREVER, whole[inside]


def rejects(reader: PartitionReader, topic: str, partition: int, start: int, end: int) -> Generator[Held, None, None]:
    """A stretch of the quarantine topic. Raises ReadError, DecodeError."""
    codec = avro.RecordCodec("quarantined_event", 0)
    for record in reader.read(topic, partition, start, end):
        one = codec.decode(record.value or b"")
        yield Held(record.offset, one["raw_topic"], one["raw_partition"], one["raw_offset"], one["reason"])

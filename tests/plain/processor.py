"""What the processor makes of raw records, one after the other, as docs/processor.md tells it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import fastavro

from auditwire.redaction import DETECTORS, Detector, revision_of
from pipeline import chain, rejects
from pipeline.reference.model import Snapshot
from tests.plain.bytes_of import sound
from tests.plain.enrichment import enriched
from tests.plain.memory import NOBODY, Event, Memory
from tests.plain.redaction import redact
from tests.plain.rules import DEFAULTS, TENANT, Fields, Refused, fitted, plain_schema, refused, shortened, validate

MEMORY_STEP_MS = 300_000
NEWER = "newer"
Producers = dict[tuple[str, str, int], set[int]]


@dataclass
class Made:
    """What one transaction writes, and each record's fate in a word."""

    events: list[tuple[bytes | None, Fields, bytes]] = field(default_factory=list)
    quarantine: list[Fields] = field(default_factory=list)
    ledger: Fields = field(default_factory=dict)
    fates: Counter[str] = field(default_factory=Counter)


@dataclass
class Processor:
    """One partition. ``writers``: schema texts by id, None where an id names no event's, `NEWER` where it is too new."""

    topic: str
    partition: int
    retention_class: str
    limit: int
    key: bytes
    writers: Mapping[int, str | None]
    memory: Memory
    detectors: tuple[Detector, ...] = DETECTORS
    resolved: set[int] = field(default_factory=set)
    stored: Producers = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)

    def batch(self, records: Sequence[Any], start: int, end: int, snapshot: Snapshot) -> Made | None:
        """Of the records up to one that is too new; None where that is the first."""
        new = next((n for n, r in enumerate(records) if self._writer(r.value or b"") == NEWER), len(records))
        if new < len(records):
            records, end = records[:new], records[new].offset
            if not records:
                return None
        made, at = Made(), max((r.timestamp for r in records), default=0)
        self.memory.begin(at // MEMORY_STEP_MS)
        book: dict[str, list[Fields]] = {"sequences": [], "quarantined": [], "duplicate": [], "conflict": []}
        resolved, identities, digests = [], [], []
        for record in records:
            replayed = self._replayed(record)
            if replayed is not None and replayed in self.resolved:
                made.fates["duplicate"] += 1
                continue
            if replayed is not None:
                self.resolved.add(replayed)
                resolved.append(replayed)
            event: Fields | None = None
            try:
                event = self._decoded(record.value or b"")
                clean, body, seen, fate = self._clean(record, dict(event), at * 1000, snapshot)
            except Refused as why:
                made.fates[why.reason] += 1
                made.quarantine.append(self._rejected(record, why, replayed))
                book["quarantined"] += [event] if event and _nameable(event) else []
                continue
            made.fates[fate] += 1
            book["duplicate"] += [event] if fate == "duplicate" else []
            book["conflict"] += [event] if fate == "conflict" else []
            if fate == "duplicate":
                continue
            self.memory.fresh.append(seen)
            book["sequences"].append(event)
            identities.append(seen.identity + seen.content)
            digests.append(int.from_bytes(hashlib.sha256(body).digest()[:8], "little"))
            made.events.append((record.key, clean, body))
        self.memory.end()
        for event in book["sequences"]:
            if producer := _producer(event):
                self.stored.setdefault(producer, set()).add(event["sequence"])
        made.ledger = self._entry(made, start, end, len(records), book, identities, sum(digests), sorted(resolved), at * 1000)
        return made

    def _writer(self, value: bytes) -> str | None:
        if len(value) < 5 or value[0] != 0:
            return None
        return self.writers.get(int.from_bytes(value[1:5], "big"))

    def _replayed(self, record: Any) -> int | None:
        """The offset in quarantine that the record replays, where the mark is followed by its proof."""
        marks = dict(record.headers)
        place, proof = marks.get("auditwire-replay"), marks.get("auditwire-replay-proof")
        if place is None or proof is None:
            return None
        hasher = hashlib.blake2b(place + b"|" + (record.value or b""), key=self.key, digest_size=16, person=b"replay")
        partition, offset = place.decode().split(":")
        return int(offset) if hasher.hexdigest().encode() == proof and int(partition) == self.partition else None

    def _decoded(self, value: bytes) -> Fields:
        if len(value) < 5 or value[0] != 0:
            raise refused("bad_frame")
        writer = self._writer(value)
        if writer is None:
            raise refused("unknown_schema")
        try:
            schema = plain_schema(json.loads(writer))
            found: Any = fastavro.schemaless_reader(BytesIO(value[5:]), fastavro.parse_schema(schema), None)
            sound(BytesIO(value[5:]), schema)
        except Exception:
            raise refused("bad_avro") from None
        return {**DEFAULTS, **found}

    def _clean(self, record: Any, event: Fields, at_us: int, snapshot: Snapshot) -> tuple[Fields, bytes, Event, str]:
        """The event as it is stored, its body, what deduplication remembers, and its fate."""
        validate(event, at_us)
        before, event = event, shortened(event)
        self.met["texts over 64 KiB"] += event != before
        seen = self._seen(event, record.value[5:])
        fate = self.memory.fate(seen)
        if fate == "duplicate":
            return event, b"", seen, fate
        said = enriched(event, snapshot, self.retention_class)
        event, changed = redact({**event, "tool_category": said["tool_category"]}, self.detectors)
        event = {
            **event,
            **{name: value for name, value in said.items() if name.startswith("processed_")},
            "processed_ingested_at": record.timestamp * 1000,
            "processed_raw_partition": self.partition,
            "processed_raw_offset": record.offset,
            "processed_redacted_fields": changed,
            "processed_rules_revision": revision_of(self.detectors),
            "processed_version": chain.VERSION,
            "processed_identity_conflict": fate == "conflict",
        }
        stored, body = fitted(event, self.limit - len(record.key or b""))
        self.met["texts cut to fit"] += stored != event
        return stored, body, seen, fate

    def _seen(self, event: Fields, body: bytes) -> Event:
        tenant, name = event["tenant_id"].encode(), event["event_id"].encode()
        identity = len(tenant).to_bytes(4, "little") + tenant + len(name).to_bytes(4, "little") + name
        return Event(self._hash(identity), self._hash(body), _producer(event) or NOBODY, event["sequence"] or 0)

    def _hash(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, key=self.key, digest_size=8).digest()

    def _rejected(self, record: Any, why: Refused, replayed: int | None) -> Fields:
        """The quarantine record, its original in clear."""
        return {
            "raw_topic": self.topic,
            "raw_partition": self.partition,
            "raw_offset": record.offset,
            "raw_timestamp": record.timestamp * 1000,
            "tenant_id": why.tenant,
            "stage": why.stage,
            "reason": why.reason,
            "detail": why.detail,
            "original_length": len(record.value or b""),
            "replayed_from_offset": replayed,
            "original": rejects.Original(record.key, tuple(record.headers), record.value),
        }

    def _entry(
        self,
        made: Made,
        start: int,
        end: int,
        read: int,
        book: Mapping[str, list[Fields]],
        identities: list[bytes],
        digests: int,
        resolved: list[int],
        at_us: int,
    ) -> Fields:
        reasons = Counter(record["reason"] for record in made.quarantine)
        return {
            "raw_topic": self.topic,
            "raw_partition": self.partition,
            "start_offset": start,
            "end_offset": end,
            "read": read,
            "clean": len(made.events),
            "quarantined": len(made.quarantine),
            "duplicates": made.fates["duplicate"],
            "conflicts": made.fates["conflict"],
            "lost": 0,
            "checksum": (digests + 2**63) % 2**64 - 2**63,
            "reasons": [{"reason": reason, "count": count} for reason, count in sorted(reasons.items())],
            "sequences": intervals(_numbers(book["sequences"])),
            "identities": b"".join(identities),
            "resolved": resolved,
            "max_timestamp": at_us,
            "snapshot": intervals(self.stored),
            "resolved_before": sorted(self.resolved),
            "rules_revision": revision_of(self.detectors),
            "version": chain.VERSION,
            "quarantined_sequences": intervals(_numbers(book["quarantined"])),
            "duplicate_sequences": intervals(_numbers(book["duplicate"])),
            "conflict_sequences": intervals(_numbers(book["conflict"])),
        }


def _producer(event: Fields) -> tuple[str, str, int] | None:
    if not event["producer_id"] or event["producer_epoch"] is None or event["sequence"] is None:
        return None
    return event["tenant_id"], event["producer_id"], event["producer_epoch"]


def _nameable(event: Fields) -> bool:
    """Whether tenant and producer break no rule."""
    producer = event["producer_id"]
    return bool(TENANT.fullmatch(event["tenant_id"])) and "\0" not in producer and len(producer.encode()) <= 256


def _numbers(events: Iterable[Fields]) -> Producers:
    found: Producers = {}
    for event in events:
        if producer := _producer(event):
            found.setdefault(producer, set()).add(event["sequence"])
    return found


def intervals(numbers: Producers) -> list[Fields]:
    """The sequences of each producer epoch, neighbours in one interval; in order."""
    found: list[Fields] = []
    for (tenant, producer, epoch), values in sorted(numbers.items()):
        last: Fields = {}
        for value in sorted(values):
            if last and value == last["last"] + 1:
                last["last"] = value
            else:
                place = {"tenant_id": tenant, "producer_id": producer, "producer_epoch": epoch}
                found.append(last := {**place, "first": value, "last": value})
    return found

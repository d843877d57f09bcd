"""Kafka records of the receiver: raw events and sealed rejects, with the key that keeps a retry in the same partition."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from connectors.avro import RecordCodec, frame
from connectors.kafka_admin import catalogue
from connectors.outbox import Record
from pipeline.ingest import refusal
from pipeline.ingest.auth import Entry
from pipeline.ingest.routes import ORIGINAL_BYTES, Mapped, Reject
from pipeline.rejects import Original, associated, pack
from pipeline.sealing import Sealer

STAGE = "receive"
# Headers without which an original could not be mapped again; never the token.
KEPT_HEADERS = ("content-type", "x-gitlab-audit-event-type")
HEADER_CHARACTERS = 1024  # kept of each: it stands in every reject of the request
RECORD_ROOM = 1024  # what Kafka puts around a record that goes alone
OBJECT_BYTES = 512  # of a record in memory, besides its value


def key_of(tenant: str, source: str, spread: int) -> bytes:
    """The key of an event: the same at every receiver; ``spread`` is the first byte of SHA-256 of the source's event id."""
    return f"{tenant}/{source}/{spread:02x}".encode()


@dataclass(frozen=True)
class Envelope:
    """Makes records for one namespace; the schema ids are the registry's for the two subjects.

    ``check_sizes=False`` is for the negative control only: it acknowledges what no topic takes.
    """

    namespace: str
    event_schema_id: int
    quarantine: RecordCodec
    sealer: Sealer
    check_sizes: bool = True

    @cached_property
    def id_key(self) -> bytes:
        """Keys the ids of events whose source gives none."""
        return self.sealer.hash_key()

    @cached_property
    def limits(self) -> dict[str, int]:
        """The longest key and value together that each topic takes, by schemas/topics.yaml."""
        return {
            name: entry["config"]["max.message.bytes"] - RECORD_ROOM
            for name, entry in catalogue(self.namespace)["topics"].items()
        }

    def checked(self, records: list[Record]) -> int:
        """Bytes that they hold in memory. Raises Refusal (413) for one that its topic does not take: it cannot be stored."""
        held, limits = OBJECT_BYTES * len(records), self.limits
        for record in records:
            limit, size = limits[record.topic], len(record.key) + len(record.value)
            if size > limit and self.check_sizes:
                raise refusal.too_large_for_topic(record.topic, size, limit)
            held += len(record.value)
        return held

    def events(self, mapped: Mapped, entry: Entry) -> list[Record]:
        """Records of the raw topic: functions of the payload and the token, so a retry has the same bytes at any receiver."""
        head, topic = frame(self.event_schema_id), f"{self.namespace}.raw"
        return [Record(topic, key_of(entry.tenant, entry.source, event.spread), head + event.body) for event in mapped.events]

    def rejects(self, mapped: Mapped, entry: Entry, route: str, headers: Mapping[str, str], *, now: int) -> list[Record]:
        """Records of the quarantine topic; ``now`` is microseconds since 1970, UTC."""
        kept = {name: headers[name][:HEADER_CHARACTERS] for name in KEPT_HEADERS if name in headers}
        context = {"route": route, "source": entry.source, **kept}
        pairs = tuple((name, value.encode()) for name, value in context.items())
        return [self._reject(reject, entry, pairs, now) for reject in mapped.rejects]

    def _reject(self, reject: Reject, entry: Entry, context: tuple[tuple[str, bytes], ...], now: int) -> Record:
        key = key_of(entry.tenant, entry.source, hashlib.sha256(reject.original).digest()[0])
        position: dict[str, Any] = {"raw_topic": "", "raw_partition": -1, "raw_offset": -1}
        original = Original(key, context, reject.original[:ORIGINAL_BYTES])
        sealed = self.sealer.seal(entry.tenant, associated(*position.values()), pack(original))
        value = {
            **position,
            "raw_timestamp": now,
            "tenant_id": entry.tenant,
            "stage": STAGE,
            "reason": reject.reason,
            "detail": reject.detail,
            "key_id": sealed.key_id,
            "nonce": sealed.nonce,
            "sealed": sealed.ciphertext,
            "original_length": len(reject.original),
            "replayed_from_offset": None,
        }
        return Record(f"{self.namespace}.quarantine", key, self.quarantine.encode(value))

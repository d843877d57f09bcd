"""The real chain over a stretch of raw records, without Kafka, and every byte that it would write against the plain processor."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any, cast

import fastavro

from auditwire.redaction import DETECTORS, Detector
from connectors.avro import RecordCodec
from connectors.kafka_lanes import ALL_SAFE, Output, Safety, Start
from connectors.registry import SchemaRegistry, UnknownSchema
from connectors.writer_schemas import WriterSchemas
from pipeline import ledger, rejects
from pipeline.chain import Context, Stage
from pipeline.dedupe import State
from pipeline.enrichment import Reference
from pipeline.partition import PartitionWork, Shared, Topics
from pipeline.reference.model import Snapshot
from pipeline.rules.decide import NO_RULES, Rules
from pipeline.rules.model import EMPTY
from pipeline.ruling import Ruling
from pipeline.sealing import Sealer
from pipeline.stages import Lookup, enrich, redact, validate
from pipeline.work import Blocked
from tests.plain import bytes_of, records
from tests.plain.memory import Memory
from tests.plain.processor import NEWER, Made, Processor
from tests.plain.rules import SCHEMA, Fields

RETENTION, EVENT_ID = "standard", 1
TOPICS = Topics.of("plain")
SEALER = Sealer(base64.b64encode(b"k" * 32).decode())
STAGES: Mapping[str, Stage] = {"validate": validate, "enrich": enrich, "redact": redact}
WRITERS: Mapping[int, str | None] = {**records.SCHEMAS, records.FOREIGN: None, records.TOO_NEW: NEWER}
EVENTS, QUARANTINE, LEDGER = (
    RecordCodec("audit_event", EVENT_ID),
    RecordCodec("quarantined_event", 2),
    RecordCodec("ledger_record", 3),
)
SEQUENCES = ("sequences", "snapshot", "quarantined_sequences", "duplicate_sequences", "conflict_sequences")


@dataclass
class Seen:
    """What was compared: fates of records, what was met besides, and where the two say different things."""

    fates: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


class Registered(SchemaRegistry):
    """The schemas of the stretches."""

    def __init__(self) -> None:
        pass

    def schema_of(self, schema_id: int) -> str:
        if schema_id not in records.SCHEMAS:
            raise UnknownSchema(f"no schema {schema_id}", 404)
        return records.SCHEMAS[schema_id]


class Given(Reference):
    """The reference data of the batch at hand."""

    def __init__(self) -> None:
        self.snapshot = Snapshot("")

    def lookup(self, classes: frozenset[str] = frozenset()) -> Lookup:
        return Lookup(self.snapshot)


class NoRules(Ruling):
    """As long as none were published."""

    def __init__(self, detectors: tuple[Detector, ...]) -> None:
        self._none = NO_RULES if detectors == DETECTORS else Rules(EMPTY, detectors=detectors)

    def rules(self) -> Rules:
        return self._none


class Kept:
    """A session that keeps what it is told to write."""

    topic, position = TOPICS.raw, 0
    start = Start(0)

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    def commit(self, outputs: list[Output], end: int) -> None:
        self.outputs, self.position = outputs, end

    def close(self) -> None:
        pass


class Work(PartitionWork):
    """A partition whose ledger is empty."""

    def _rebuilt(self, committed: int | None) -> State:
        return State(self._shared.window_hours)


def run(
    stretch: records.Stretch,
    stages: Mapping[str, Stage] = STAGES,
    safety: Safety = ALL_SAFE,
    detectors: tuple[Detector, ...] = DETECTORS,
) -> Seen:
    """Both processors over the stretch. ``stages`` and ``safety``: to break the real one. ``detectors``: of both."""
    session, given, seen = Kept(), Given(), Seen()
    context = Context(TOPICS.raw, records.PARTITION, RETENTION, SEALER, stretch.limit, {**STAGES, **stages})
    shared = Shared(
        cluster=cast(Any, None),
        offsets=cast(Any, None),
        topics=TOPICS,
        writers=WriterSchemas(Registered()),
        reference=given,
        ruling=NoRules(detectors),
        event_frame=bytes_of.frame(EVENT_ID),
        quarantine=QUARANTINE,
        ledger=LEDGER,
        window_hours=records.WINDOW_HOURS,
        most_identities=10**6,
        new_session=lambda _: cast(Any, session),
        safety=safety,
        snapshot_every=2,
    )
    work = Work(shared, context)
    work.open()
    plain = Processor(
        TOPICS.raw,
        records.PARTITION,
        RETENTION,
        stretch.limit,
        SEALER.hash_key(),
        WRITERS,
        Memory(records.WINDOW_HOURS),
        detectors,
    )
    todo = list(reversed(stretch.batches))
    while todo:
        batch = todo.pop()
        given.snapshot = batch.snapshot
        made = plain.batch(batch.records, batch.start, batch.end, batch.snapshot)
        try:
            planned = work.handle(batch.records, batch.start, batch.end, isolate=False)
        except Blocked as why:
            seen.fates["waits"] += 1
            seen.differences += [] if made is None and why.alarm else [f"{batch.start}: stops: {why}"]
            break
        if made is None:
            seen.differences.append(f"{batch.start}: does not stop")
            break
        work.commit(planned)
        if planned.end < batch.end:  # up to a record whose schema is too new
            rest = [record for record in batch.records if record.offset >= planned.end]
            todo.append(replace(batch, records=rest, start=planned.end))
        _compare(made, session.outputs, seen)
    return seen


def _compare(made: Made, outputs: list[Output], seen: Seen) -> None:
    seen.fates += made.fates
    events = [(key, value) for topic, key, value in outputs if topic == TOPICS.events]
    refused = [QUARANTINE.decode(value) for topic, _, value in outputs if topic == TOPICS.quarantine]
    entries = [ledger.decoded(LEDGER, value) for topic, _, value in outputs if topic == TOPICS.ledger]
    wanted = [(event["processed_raw_offset"], {**event, "key": key, "body": body}) for key, event, body in made.events]
    found = [_event(key, value) for key, value in events]
    _pairs(wanted, [(event["processed_raw_offset"], event) for event in found], "clean", seen)
    held = [_refused(record) for record in refused]
    _pairs([(r["raw_offset"], r) for r in made.quarantine], [(r["raw_offset"], r) for r in held], "quarantined", seen)
    _pairs(
        [(made.ledger["start_offset"], _entry(made.ledger, entries[0]))],
        [(e["start_offset"], _sorted(e)) for e in entries],
        "ledger",
        seen,
    )
    _note(made, entries, seen)


def _event(key: bytes | None, value: bytes) -> Fields:
    if value[:5] != bytes_of.frame(EVENT_ID):
        return {"processed_raw_offset": -1}
    event: Any = fastavro.schemaless_reader(BytesIO(value[5:]), SCHEMA, None)
    return {**event, "key": key, "body": value[5:]}


def _refused(record: Fields) -> Fields:
    """With the original in clear, without what seals it."""
    clear = {name: value for name, value in record.items() if name not in ("sealed", "nonce", "key_id")}
    moment = clear["raw_timestamp"].timestamp()
    return {**clear, "raw_timestamp": round(moment * 1_000_000), "original": rejects.original_of(record, SEALER)}


def _entry(wanted: Fields, found: Fields) -> Fields:
    """Only some entries have a snapshot."""
    return wanted if found["snapshot"] is not None else {**wanted, "snapshot": None, "resolved_before": []}


def _sorted(entry: Fields) -> Fields:
    """Intervals in order: the ledger has them in the order of their producers in the batch."""
    return {**entry, **{n: entry[n] and sorted(entry[n], key=lambda i: tuple(i.values())) for n in SEQUENCES}}


def _pairs(wanted: list[tuple[int, Fields]], found: list[tuple[int, Fields]], what: str, seen: Seen) -> None:
    """Records by their offsets, field by field, order included."""
    if [offset for offset, _ in wanted] != [offset for offset, _ in found]:
        extra = {o for o, _ in found} - {o for o, _ in wanted}
        missing = {o for o, _ in wanted} - {o for o, _ in found}
        seen.differences.append(f"{what}: offsets {sorted(missing)} missing, {sorted(extra)} extra")
        return
    for (offset, expected), (_, actual) in zip(wanted, found, strict=True):
        seen.met["fields compared"] += len(expected)
        seen.differences += [
            f"{what} {offset}: {name}: {expected.get(name)!r} expected, {actual.get(name)!r} found"
            for name in expected.keys() | actual.keys()
            if repr(expected.get(name)) != repr(actual.get(name))  # -0.0 is not 0.0
        ]


def _note(made: Made, entries: list[Fields], seen: Seen) -> None:
    """What was met, to see that the examples are worth something."""
    for _, event, _ in made.events:
        kinds = set(re.findall(r"\[REDACTED:([a-z_]+)\]", repr({n: event[n] for n in event["processed_redacted_fields"]})))
        seen.met.update(f"redacted {kind}" for kind in kinds)
        seen.met.update({f"flag {flag.partition('=')[0]}" for flag in event["processed_flags"]})
        seen.met["owners"] += bool(event["processed_owners"])
    seen.met["snapshots in the ledger"] += sum(entry["snapshot"] is not None for entry in entries)
    seen.met["positions resolved by a replay"] += len(made.ledger["resolved"])

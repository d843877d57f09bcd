"""The work of one raw partition: open a session with a state that fits it, compute a batch, commit it with its ledger record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from connectors.avro import RecordCodec, schema_id_of
from connectors.kafka import Cluster
from connectors.kafka_chunks import RawRecord
from connectors.kafka_lanes import MAX_MESSAGE_BYTES, GroupOffsets, Output, Overtaken, RefusedToStart, Safety, Session
from connectors.kafka_read import PartitionReader
from connectors.registry import RegistryError
from connectors.writer_schemas import NewerSchema, NotAnEvent, WriterSchemas
from pipeline import ledger as book
from pipeline import metrics
from pipeline.chain import Context, Result, process
from pipeline.dedupe import State
from pipeline.enrichment import Reference
from pipeline.reject_cap import STAGES, RejectCap
from pipeline.rules.decide import Rules
from pipeline.rules.tally import Tally
from pipeline.ruling import Ruling
from pipeline.stages import Lookup
from pipeline.work import Blocked

log = logging.getLogger(__name__)
SETTLE_SECONDS = 10.0
LOOK_UP_SECONDS = 5.0


@dataclass(frozen=True)
class Topics:
    """The four topics of a namespace."""

    raw: str
    events: str
    quarantine: str
    ledger: str

    @classmethod
    def of(cls, namespace: str) -> Topics:
        return cls(f"{namespace}.raw", f"{namespace}.events", f"{namespace}.quarantine", f"{namespace}.ledger")


@dataclass(frozen=True)
class Planned:
    """A batch ready to be committed; ``refused`` of its records could not be read as events, ``ruled`` is what rules did."""

    outputs: list[Output]
    entry: book.Record
    ruled: Tally
    refused: int = 0

    @property
    def end(self) -> int:
        return int(self.entry["end_offset"])


@dataclass(frozen=True)
class Shared:
    """What all partitions of a process share. ``new_session`` opens one for a partition (blocks, may raise)."""

    cluster: Cluster
    offsets: GroupOffsets
    topics: Topics
    writers: WriterSchemas
    reference: Reference
    ruling: Ruling
    event_frame: bytes
    quarantine: RecordCodec
    ledger: RecordCodec
    window_hours: int
    most_identities: int
    new_session: Callable[[int], Session]
    safety: Safety
    snapshot_every: int = book.SNAPSHOT_EVERY
    max_reject_ratio: float = 1.0
    reject_sample: int = 1000


class PartitionWork:
    """Implements `pipeline.lane.Work` for one partition."""

    def __init__(self, shared: Shared, context: Context) -> None:
        self._shared, self._context, self._partition = shared, context, context.partition
        self._session: Session | None = None
        self._state: State | None = None
        self._lost = 0
        self._since_snapshot: int | None = None  # None: the next record gets one
        self._cap = RejectCap(shared.max_reject_ratio, shared.reject_sample)
        self._note_capped()

    def open(self) -> int:
        """A new session, and the state of the position it reads. Raises RefusedToStart or anything (again later)."""
        self.close()
        session = self._session = self._shared.new_session(self._partition)
        metrics.PROCESSOR_SESSIONS.inc()
        start = session.start
        keep = self._state is not None and not self._shared.safety.rebuild_on_takeover
        if not keep and (self._state is None or self._state.next != start.committed):
            self._state = self._rebuilt(start.committed)
            self._since_snapshot = None
            self._note_memory()
        self._lost = start.lost
        if start.lost:
            metrics.PROCESSOR_LOST.inc(start.lost)
            log.critical("%s[%d]: %d records were deleted before they were processed", session.topic, self._partition, start.lost)
        return session.position

    def _rebuilt(self, committed: int | None) -> State:
        """The ledger's state, which must be that of the committed offset; it may become visible a little late."""
        end = time.monotonic() + SETTLE_SECONDS
        with PartitionReader(self._shared.cluster, self._shared.offsets.group) as reader:
            source = book.Log(reader, self._shared.ledger, self._shared.topics.ledger, self._partition)
            while True:
                began = time.monotonic()
                state = source.state(self._shared.window_hours, self._shared.most_identities)
                if state.next == committed:
                    log.info("%s: %d identities after %.2f s", source.name, len(state), time.monotonic() - began)
                    return state
                if self._shared.offsets.committed(self._shared.topics.raw, self._partition) != committed:
                    raise Overtaken
                if time.monotonic() > end:
                    raise RefusedToStart(
                        f"{source.name} ends at raw offset {state.next}, but the group {self._shared.offsets.group} committed "
                        f"{committed}. Were the group's offsets changed by hand? Set them back to {state.next}; going on would "
                        "lose or repeat records."
                    )
                time.sleep(0.2)

    def handle(self, records: Sequence[RawRecord], start: int, end: int, isolate: bool) -> Planned:
        """Compute what a transaction writes. Raises Blocked (wait), StageFailed (try again, then ``isolate``)."""
        began = time.monotonic()
        if self._cap.tripped:
            raise Blocked(self._cap.tripped, alarm=True)
        rules = self._shared.ruling.rules()
        lookup = self._shared.reference.lookup(rules.classes)
        writers, usable = self._writers(records)
        if usable < len(records):
            records, end = records[:usable], records[usable].offset
        planned = self._planned(records, start, end, writers=writers, lookup=lookup, rules=rules, isolate=isolate)
        metrics.PROCESSOR_SECONDS.labels("handle").observe(time.monotonic() - began)
        if why := self._cap.check(began, planned.entry["read"], planned.refused):
            self._note_capped()
            raise Blocked(why, alarm=True)
        return planned

    def _writers(self, records: Sequence[RawRecord]) -> tuple[dict[int, str | None], int]:
        """Writer's schemas of the first so many records: of those before a schema that is too new, or as many ids as can be asked
        for in a few seconds, since each may be junk of its own.
        """
        heads = [(record.value or b"")[:5] for record in records]
        found: dict[int, str | None] = {}
        first = dict.fromkeys(heads, 0)  # where each is first; nearly always there is one
        if len(first) > 1:
            first = {head: index for index, head in reversed(list(enumerate(heads)))}
        began = time.monotonic()
        for head, index in sorted(first.items(), key=itemgetter(1)):
            if index and time.monotonic() - began > LOOK_UP_SECONDS:
                return found, index
            schema_id = schema_id_of(head)
            if schema_id is None:
                continue
            try:
                found[schema_id] = self._shared.writers.text_of(schema_id)
            except NotAnEvent:
                found[schema_id] = None
            except NewerSchema as exc:
                if index == 0:
                    raise Blocked(str(exc), alarm=True) from None
                return found, index
            except RegistryError as exc:
                raise Blocked(str(exc)) from None
        return found, len(heads)

    def _planned(
        self,
        records: Sequence[RawRecord],
        start: int,
        end: int,
        *,
        writers: Mapping[int, str | None],
        lookup: Lookup,
        rules: Rules,
        isolate: bool,
    ) -> Planned:
        if self._state is None:
            raise RuntimeError("handle before open")
        known = self._state if self._shared.safety.dedupe else State(0)
        result = process(self._context, known, records, start, end, writers=writers, lookup=lookup, rules=rules, isolate=isolate)
        entry = {**result.entry, "lost": self._lost}
        encoded = self._shared.ledger.encode(entry)
        if len(encoded) > MAX_MESSAGE_BYTES * 3 // 4 and len(records) > 1:  # many long producer names: halve the range
            half = len(records) // 2
            return self._planned(
                records[:half], start, records[half].offset, writers=writers, lookup=lookup, rules=rules, isolate=isolate
            )
        if self._since_snapshot is None or self._since_snapshot >= self._shared.snapshot_every:
            entry, encoded = self._with_snapshot(entry, encoded)
        refused = sum(record["stage"] in STAGES for record in result.quarantine)
        return Planned(self._outputs(result, encoded), entry, result.ruled, refused)

    def _with_snapshot(self, entry: book.Record, encoded: bytes) -> tuple[book.Record, bytes]:
        assert self._state is not None  # noqa: S101
        full = book.with_snapshot(entry, self._state)
        longer = self._shared.ledger.encode(full)
        if len(longer) > book.SNAPSHOT_BYTES + len(encoded) or len(longer) > MAX_MESSAGE_BYTES - 4096:
            metrics.PROCESSOR_SNAPSHOTS_SKIPPED.inc()
            return entry, encoded
        return full, longer

    def _outputs(self, result: Result, entry: bytes) -> list[Output]:
        topics, frame, codec = self._shared.topics, self._shared.event_frame, self._shared.quarantine
        events: list[Output] = [(topics.events, key, frame + body) for key, body in result.events]
        quarantine: list[Output] = [(topics.quarantine, None, codec.encode(record)) for record in result.quarantine]
        return [*events, *quarantine, (topics.ledger, None, entry)]

    def commit(self, outcome: Planned) -> None:
        """Write and commit; only then remember. Anything raised: the outcome is unknown, `open` again."""
        if self._session is None or self._state is None:
            raise RuntimeError("commit before open")
        began = time.monotonic()
        if not self._shared.safety.swap_after_commit:
            self._state.remember(outcome.entry)
        self._session.commit(outcome.outputs, outcome.end)
        if self._shared.safety.swap_after_commit:
            self._state.remember(outcome.entry)
        metrics.PROCESSOR_SECONDS.labels("commit").observe(time.monotonic() - began)
        self._count(outcome)

    def _count(self, outcome: Planned) -> None:
        entry, quarantine = outcome.entry, self._shared.topics.quarantine
        self._cap.note(time.monotonic(), entry["read"], outcome.refused)
        self._lost = 0
        due = self._since_snapshot is None or self._since_snapshot >= self._shared.snapshot_every
        self._since_snapshot = 0 if due else (self._since_snapshot or 0) + 1  # one that did not fit is not tried each time
        metrics.PROCESSOR_TRANSACTIONS.inc()
        events = metrics.PROCESSOR_EVENTS
        events.labels("clean").inc(entry["clean"] - entry["conflicts"])
        events.labels("conflict").inc(entry["conflicts"])
        events.labels("duplicate").inc(entry["duplicates"])
        events.labels("quarantined").inc(entry["quarantined"])
        for found in entry["reasons"]:
            metrics.PROCESSOR_REJECTS.labels(found["reason"]).inc(found["count"])
        metrics.PROCESSOR_QUARANTINE_BYTES.inc(sum(len(value) for topic, _, value in outcome.outputs if topic == quarantine))
        metrics.PROCESSOR_BATCH_EVENTS.observe(entry["read"])
        _count_ruled(outcome.ruled)
        self._note_memory()

    def _note_capped(self) -> None:
        metrics.PROCESSOR_REJECTS_CAPPED.labels(str(self._partition)).set(bool(self._cap.tripped))

    def _note_memory(self) -> None:
        if self._state is not None:
            metrics.PROCESSOR_DEDUPE_IDENTITIES.labels(str(self._partition)).set(len(self._state))
            metrics.PROCESSOR_DEDUPE_BYTES.labels(str(self._partition)).set(self._state.nbytes())
            metrics.PROCESSOR_DEDUPE_HOURS.labels(str(self._partition)).set(self._state.reach)

    def close(self) -> None:
        """Drop the session."""
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _count_ruled(ruled: Tally) -> None:
    for level, events in ruled.levels.items():
        metrics.PROCESSOR_CAPTURED.labels(level).inc(events)
    for (action, by), fields in ruled.fields.items():
        metrics.PROCESSOR_TOUCHED.labels(action, by).inc(fields)
    for name, events in ruled.classes.items():
        metrics.PROCESSOR_CLASSED.labels(metrics.class_label(name)).inc(events)

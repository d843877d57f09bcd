"""What becomes of a batch of raw records: decode → validate → dedupe → enrich → rules → redact → encode. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from connectors import avro
from connectors.kafka_chunks import RawRecord
from pipeline import ledger, rejects
from pipeline.batch import Batch, Reject
from pipeline.dedupe import State, Verdict
from pipeline.prints import Prints, prints, sequences_in
from pipeline.rules.decide import NO_RULES, Rules
from pipeline.rules.tally import Tally, tally
from pipeline.sealing import Sealer
from pipeline.shorten import fit
from pipeline.stages import Lookup, act, enrich, redact, validate

VERSION = version("auditwire-service")
MAX_EVENT_BYTES = 2_090_000  # key and body of a clean event; max.message.bytes of its topic less the frames around them
REASONS = {
    "bad_frame": "The value does not begin with the Confluent frame (zero byte, schema id); produce with a registry serializer.",
    "unknown_schema": "The registry does not know the schema id, or it is no audit event; register the schema first.",
    "bad_avro": "The bytes are not a record of the schema that the id names; the producer's serializer is at fault.",
    "too_large": "The event does not fit in a Kafka message even with its texts cut; send less in lists and attributes.",
    "processing_error": "A stage failed on this record alone; report it as a bug, replay it after an upgrade.",
}
T = TypeVar("T")
Stage = Callable[..., Any]


class StageFailed(Exception):  # noqa: N818
    """A stage raised on this batch. ``stage`` and ``kind`` (the exception's type) are safe to log; its text is not."""

    def __init__(self, stage: str, kind: str) -> None:
        super().__init__(f"{stage}: {kind}")
        self.stage, self.kind = stage, kind


@dataclass(frozen=True)
class Context:
    """What a partition's batches have in common."""

    topic: str
    partition: int
    retention_class: str
    sealer: Sealer
    max_event_bytes: int
    hash_key: bytes = field(init=False)
    stages: Mapping[str, Stage] = field(default_factory=lambda: {"validate": validate, "enrich": enrich, "redact": redact})

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash_key", self.sealer.hash_key())


@dataclass(frozen=True)
class Result:
    """Everything one transaction writes, before framing: clean bodies with their keys, quarantine records, the ledger record.

    ``ruled``: what the rules did to the clean events.
    """

    events: list[tuple[bytes | None, bytes]]
    quarantine: list[dict[str, Any]]
    entry: ledger.Record
    ruled: Tally


@dataclass(frozen=True)
class _Encoded:
    """Clean events of a batch: rows that were kept and fit. ``seen``: the prints of what ``verdict`` judged."""

    batch: Batch
    bodies: list[bytes]
    seen: Prints
    verdict: Verdict
    ruled: Tally


def process(
    context: Context,
    state: State,
    records: Sequence[RawRecord],
    start: int,
    end: int,
    *,
    writers: Mapping[int, str | None],
    lookup: Lookup,
    rules: Rules = NO_RULES,
    isolate: bool = False,
) -> Result:
    """The result of the offsets ``start … end - 1``, of which ``records`` exist.

    ``writers``: schema id → writer's schema, None where it is no event's. ``lookup``, ``rules``: of the whole batch.
    ``isolate``: reject the records on which a stage fails, found by bisection, instead of raising StageFailed.
    """
    out: list[Reject] = _culprits(context, records, writers, lookup, rules) if isolate else []
    replays, repeated = _replays(context, state, records)
    skip = repeated | {reject.index for reject in out}
    batch, bodies, bad = _decoded(records, writers, skip)
    out += bad
    at_us = max((record.timestamp for record in records), default=0) * 1000
    if len(batch):
        batch, refused = _run("validate", context.stages["validate"], batch, at_us)
        out += refused
    encoded, too_large = _settled(context, state, records, batch=batch, bodies=bodies, at_us=at_us, using=(lookup, rules))
    out += too_large
    named = _named(records, writers, out)
    return _result(context, records, start, end, encoded=encoded, out=out, named=named, replays=replays, at_us=at_us, rules=rules)


def _named(records: Sequence[RawRecord], writers: Mapping[int, str | None], out: Sequence[Reject]) -> list[ledger.Record]:
    """The sequence intervals of the rejects that can be read as events."""
    readable = {reject.index for reject in out if reject.stage != "decode"}
    return sequences_in(_decoded(records, writers, set(range(len(records))) - readable)[0]) if readable else []


def _replays(context: Context, state: State, records: Sequence[RawRecord]) -> tuple[dict[int, int], set[int]]:
    """Record → quarantine offset that it replays for the first time; and the records that replay a resolved one again."""
    first: dict[int, int] = {}
    again: set[int] = set()
    for index, record in enumerate(records):
        if not record.headers:
            continue
        offset = rejects.replayed_from(record, context.partition, context.hash_key)
        if offset is None:
            continue
        if offset in state.resolved or offset in first.values():
            again.add(index)
        else:
            first[index] = offset
    return first, again


def _decoded(
    records: Sequence[RawRecord], writers: Mapping[int, str | None], skip: set[int]
) -> tuple[Batch, list[bytes], list[Reject]]:
    """Rows in record order, the raw bodies by record, and what is no event."""
    values = [record.value or b"" for record in records]
    heads = [value[:5] for value in values]
    bodies = [value[5:] for value in values]
    schemas_of = {head: _writer(head, writers) for head in set(heads)}
    if len(schemas_of) == 1 and not skip and (schema := next(iter(schemas_of.values()))) is not None:
        batch, bad = _group(bodies, schema, range(len(bodies)))  # as nearly always
        return batch, bodies, bad
    groups: dict[str, list[int]] = {}
    bad = []
    for index, head in enumerate(heads):
        schema = schemas_of[head]
        if index in skip:
            continue
        if schema is None:
            bad.append(_reject(index, "decode", "bad_frame" if avro.schema_id_of(head) is None else "unknown_schema"))
        else:
            groups.setdefault(schema, []).append(index)
    parts = [_group(bodies, schema, indexes) for schema, indexes in groups.items()]
    bad += [reject for _, rejected in parts for reject in rejected]
    return _together([batch for batch, _ in parts]), bodies, bad


def _writer(head: bytes, writers: Mapping[int, str | None]) -> str | None:
    schema_id = avro.schema_id_of(head)
    return None if schema_id is None else writers[schema_id]


def _group(bodies: Sequence[bytes], schema: str, indexes: Sequence[int]) -> tuple[Batch, list[Reject]]:
    chosen = bodies if len(indexes) == len(bodies) else [bodies[i] for i in indexes]
    columns, good, bad = avro.decode_each(chosen, schema)
    index = np.array(indexes, np.int64)
    return Batch(columns, index[good]), [_reject(indexes[i], "decode", "bad_avro") for i in bad]


def _together(parts: Sequence[Batch]) -> Batch:
    if not parts:
        return Batch.of(avro.empty())
    if len(parts) == 1:
        return parts[0]
    index = np.concatenate([part.index for part in parts])
    joined = Batch(avro.concat([part.columns for part in parts]), index)
    return joined.take(np.argsort(index, kind="stable"))


def _settled(
    context: Context,
    state: State,
    records: Sequence[RawRecord],
    *,
    batch: Batch,
    bodies: Sequence[bytes],
    at_us: int,
    using: tuple[Lookup, Rules],
) -> tuple[_Encoded, list[Reject]]:
    """Dedupe, enrich, redact, encode. What does not fit must not suppress its repetitions, so judge again without it."""
    out: list[Reject] = []
    while True:
        seen = prints(batch, bodies, context.hash_key)
        verdict = state.judge(seen, at_us)
        clean, ruled = _clean(context, records, batch.take(verdict.kept), verdict, using)
        encoded, large = _fitted(context, records, clean)
        if not large:
            return _Encoded(clean, encoded, seen, verdict, ruled), out
        out += [_reject(index, "encode", "too_large", tenant) for index, tenant in large]
        batch = batch.take(~np.isin(batch.index, [index for index, _ in large]))


def _clean(
    context: Context, records: Sequence[RawRecord], kept: Batch, verdict: Verdict, using: tuple[Lookup, Rules]
) -> tuple[Batch, Tally]:
    """Redacted, with everything that the processor writes; what a producer put there is gone."""
    if not len(kept):
        return kept, Tally()
    kept = _run("enrich", context.stages["enrich"], kept, using[0], context.retention_class)
    kept, changed, decision = act.clean(kept, using[1], context.sealer.text_key, context.stages["redact"], _run)
    rows = len(kept)
    index = kept.index.tolist()
    times = np.fromiter([records[i].timestamp for i in index], np.int64, rows) * 1000
    written: dict[str, Any] = {
        "processed_ingested_at": pa.array(times),
        "processed_raw_partition": pa.array(np.full(rows, context.partition, np.int64)),
        "processed_raw_offset": pa.array(np.fromiter([records[i].offset for i in index], np.int64, rows)),
        "processed_redacted_fields": changed,
        "processed_rules_revision": pa.repeat(pa.scalar(using[1].version), rows),
        "processed_version": pa.repeat(pa.scalar(VERSION), rows),
        "processed_identity_conflict": pa.array(verdict.conflicts[verdict.kept]),
    }
    types = avro.event_arrow_schema()
    whole = kept.replace({name: column.cast(types.field(name).type) for name, column in written.items()})
    return whole, tally(kept, changed, decision, using[1])


def _fitted(context: Context, records: Sequence[RawRecord], clean: Batch) -> tuple[list[bytes], list[tuple[int, str]]]:
    """Bodies of the rows, large ones with their texts cut; and (record, tenant) of those that do not fit even so."""
    bodies: list[bytes] = _run("encode", avro.encode, clean.columns)
    large: list[tuple[int, str]] = []
    index = clean.index.tolist()
    longest_key = max((len(records[i].key or b"") for i in index), default=0)
    for row in [row for row, body in enumerate(bodies) if len(body) > context.max_event_bytes - longest_key]:
        limit = context.max_event_bytes - len(records[index[row]].key or b"")
        shorter = bodies[row] if len(bodies[row]) <= limit else _run("encode", fit, clean.columns.slice(row, 1), limit)
        if shorter is None:
            large.append((int(clean.index[row]), str(clean.column("tenant_id")[row])))
        else:
            bodies[row] = shorter
    return bodies, large


def _result(
    context: Context,
    records: Sequence[RawRecord],
    start: int,
    end: int,
    *,
    encoded: _Encoded,
    out: list[Reject],
    named: Sequence[ledger.Record],
    replays: Mapping[int, int],
    at_us: int,
    rules: Rules,
) -> Result:
    entry = ledger.record(
        context.topic,
        context.partition,
        start=start,
        end=end,
        read=len(records),
        seen=encoded.seen,
        verdict=encoded.verdict,
        rejects=out,
        quarantined=named,
        digests=avro.digests(encoded.bodies),
        resolved=sorted(replays.values()),
        max_timestamp=at_us,
        versions=(rules.version, VERSION),
    )
    place = (context.topic, context.partition)
    quarantined = [
        rejects.record(*place, records[r.index], r, sealer=context.sealer, replayed=replays.get(r.index))
        for r in sorted(out, key=lambda reject: reject.index)
    ]
    keys = [records[i].key for i in encoded.batch.index.tolist()]
    return Result(list(zip(keys, encoded.bodies, strict=True)), quarantined, entry, encoded.ruled)


def _culprits(
    context: Context, records: Sequence[RawRecord], writers: Mapping[int, str | None], lookup: Lookup, rules: Rules
) -> list[Reject]:
    """The records that make a stage fail by themselves, found by halving."""
    empty = State(0)
    found: list[Reject] = []
    todo = [(0, len(records))] if records else []
    while todo:
        first, last = todo.pop()
        try:
            process(context, empty, records[first:last], 0, 0, writers=writers, lookup=lookup, rules=rules)
        except StageFailed as exc:
            if last - first == 1:
                found.append(Reject(first, exc.stage, "processing_error", f"{REASONS['processing_error']} ({exc.kind})"))
            else:
                middle = (first + last) // 2
                todo += [(middle, last), (first, middle)]
    return found


def _reject(index: int, stage: str, reason: str, tenant: str = "") -> Reject:
    return Reject(index, stage, reason, REASONS[reason], tenant)


def _run(stage: str, call: Callable[..., T], *args: Any) -> T:
    try:
        return call(*args)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:  # the Rust libraries panic with a BaseException
        raise StageFailed(stage, type(exc).__name__) from None

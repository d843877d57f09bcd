"""Stage validate: what leaves it can be stored unchanged in every store; everything else is a reject with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch import Batch, Indices, Reject
from pipeline.stages.texts import texts, with_texts
from schemas import fields_of_class

STAGE = "validate"
FIELD_BYTES = 64 * 1024
EVENT_TYPE_BYTES = 256
PRODUCER_BYTES = 256  # deduplication remembers producers for ever
LIST_ITEMS = 256
YEAR_2200_US = 7_258_118_400_000_000  # 2200-01-01T00:00:00Z, the first time that is refused

REASONS = {
    "bad_event_id": "event_id is no canonical lower-case UUID; write it as str(uuid.uuid4()) does.",
    "bad_tenant_id": "tenant_id must be 1 to 64 characters out of a-z 0-9 _ . -; use the tenant's id, not its display name.",
    "bad_event_type": f"event_type must be 1 to {EVENT_TYPE_BYTES} bytes; send the dotted name of what happened.",
    "bad_producer_id": f"producer_id is longer than {PRODUCER_BYTES} bytes; shorten the service's name.",
    "bad_time": "a time lies outside 1970-01-01 to 2199-12-31; send microseconds since 1970 in UTC.",
    "bad_number": "a number is infinite or not a number; send null where it is unknown.",
    "nul_character": "a text holds the character U+0000; remove it at the source.",
    "too_many_items": f"a list holds more than {LIST_ITEMS} items; send the first {LIST_ITEMS} and say so in an attribute.",
}

Mask = npt.NDArray[np.bool_]
Culprits = Iterator[tuple[str, str, Mask]]  # reason, detail, rows

_UUID = r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z"
_TENANT = r"\A[a-z0-9_.-]{1,64}\z"
_TEN_YEARS_US = 315_576_000_000_000


def validate(batch: Batch, now_us: int) -> tuple[Batch, list[Reject]]:
    """The rows that every store takes unchanged, and a reject for each of the others with the first rule it broke.

    Texts over 64 KiB are cut at a code point; truncated_fields then says ``name=true length in bytes`` (``name[i]=`` in lists).
    Values that are merely unknown stay as they are. ``now_us`` (microseconds since 1970, UTC) serves to name a wrong unit only.
    """
    rejects: dict[int, Reject] = {}
    for reason, detail, rows in _culprits(batch, now_us):
        for row in np.flatnonzero(rows).tolist():
            rejects.setdefault(row, Reject(int(batch.index[row]), STAGE, reason, detail, _tenant(batch, row)))
    if rejects:
        kept = np.ones(len(batch), dtype=np.bool_)
        kept[list(rejects)] = False
        batch = batch.take(kept)
    return _cut(batch), [rejects[row] for row in sorted(rejects)]


def nameable(batch: Batch) -> Mask:
    """Rows whose tenant and producer break no rule."""
    producer = batch.column("producer_id")
    found: Mask = _matches(batch.column("tenant_id"), _TENANT) & ~_numpy(pc.match_substring(producer, "\0"))
    return found & (_numpy(pc.binary_length(producer)) <= PRODUCER_BYTES)


def _culprits(batch: Batch, now_us: int) -> Culprits:
    yield "bad_event_id", REASONS["bad_event_id"], ~_matches(batch.column("event_id"), _UUID)
    yield "bad_tenant_id", REASONS["bad_tenant_id"], ~_matches(batch.column("tenant_id"), _TENANT)
    length = _numpy(pc.binary_length(batch.column("event_type")))
    yield "bad_event_type", REASONS["bad_event_type"], (length == 0) | (length > EVENT_TYPE_BYTES)
    yield "bad_producer_id", REASONS["bad_producer_id"], _numpy(pc.binary_length(batch.column("producer_id"))) > PRODUCER_BYTES
    yield from _bad_times(batch, now_us)
    yield from _bad_numbers(batch)
    yield from _nul_characters(batch)
    yield from _too_many_items(batch)


def _bad_times(batch: Batch, now_us: int) -> Culprits:
    for name in ("occurred_at", "observed_at"):
        time = _numpy(batch.column(name).view(pa.int64()).fill_null(0))
        bad = (time < 0) | (time >= YEAR_2200_US)
        if bad.any():
            nanoseconds = bad & (np.abs(time // 1000 - now_us) < _TEN_YEARS_US)
            yield "bad_time", f"{name}: {REASONS['bad_time']} It looks like nanoseconds.", nanoseconds
            yield "bad_time", f"{name}: {REASONS['bad_time']}", bad


def _bad_numbers(batch: Batch) -> Culprits:
    for field, column in zip(batch.columns.schema, batch.columns.columns, strict=True):
        if pa.types.is_floating(field.type):
            yield "bad_number", f"{field.name}: {REASONS['bad_number']}", ~np.isfinite(_numpy(column.fill_null(0.0)))


def _nul_characters(batch: Batch) -> Culprits:
    for text in texts(batch):
        if text.data().min() == 0:
            rows = np.zeros(len(batch), dtype=np.bool_)
            rows[text.rows()[_numpy(pc.match_substring(text.values, "\0"))]] = True
            yield "nul_character", f"{text.column}: {REASONS['nul_character']}", rows


def _too_many_items(batch: Batch) -> Culprits:
    for field, column in zip(batch.columns.schema, batch.columns.columns, strict=True):
        if pa.types.is_list(field.type):
            yield "too_many_items", f"{field.name}: {REASONS['too_many_items']}", np.diff(_numpy(column.offsets)) > LIST_ITEMS


def _tenant(batch: Batch, row: int) -> str:
    tenant = batch.column("tenant_id").slice(row, 1)
    return str(tenant[0]) if _matches(tenant, _TENANT)[0] else ""


def _cut(batch: Batch) -> Batch:
    """The batch with every text at most FIELD_BYTES long and the cuts written down; itself where nothing is longer."""
    changed: dict[tuple[str, str], pa.Array[Any]] = {}
    marks: dict[int, list[tuple[str, int]]] = {}
    for text in texts(batch):
        if len(text.data()) <= FIELD_BYTES:
            continue
        lengths = np.diff(text.value_offsets())
        long = np.flatnonzero(lengths > FIELD_BYTES)
        if len(long):
            changed[text.column, text.part] = _shortened(text.values, long)
            for position, row in zip(long.tolist(), text.rows()[long].tolist(), strict=True):
                marks.setdefault(row, []).append((text.name(position), int(lengths[position])))
    return _marked(with_texts(batch, changed), marks) if changed else batch


def _shortened(values: pa.Array[Any], long: Indices) -> pa.Array[Any]:
    mask = np.zeros(len(values), dtype=np.bool_)
    mask[long] = True
    heads = [_head(values[position].as_py().encode()) for position in long.tolist()]
    return pc.replace_with_mask(values, pa.array(mask), pa.array(heads, pa.string()))


def _head(data: bytes) -> str:
    return data[:FIELD_BYTES].decode(errors="ignore")  # drops the code point that the limit splits


def _marked(batch: Batch, marks: dict[int, list[tuple[str, int]]]) -> Batch:
    """The cuts added to truncated_fields, and content_length raised to the true length of cut content."""
    truncated, lengths = batch.column("truncated_fields").to_pylist(), batch.column("content_length").to_pylist()
    content = fields_of_class("content")
    for row, cuts in marks.items():
        known = {entry.partition("=")[0] for entry in truncated[row]}
        truncated[row] = truncated[row] + [f"{name}={length}" for name, length in cuts if name not in known]
        true = [length for name, length in cuts if name.partition("[")[0] in content]
        lengths[row] = max([lengths[row] or 0, *true]) if true else lengths[row]
    schema = batch.columns.schema
    return batch.replace(
        {
            "truncated_fields": pa.array(truncated, schema.field("truncated_fields").type),
            "content_length": pa.array(lengths, pa.int64()),
        }
    )


def _matches(values: pa.Array[Any], pattern: str) -> Mask:
    return _numpy(pc.match_substring_regex(values, pattern=pattern))


def _numpy(values: pa.Array[Any]) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers

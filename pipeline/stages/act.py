"""What the rules decided, done: fields are emptied before anything looks for secrets in them, and masked, hashed or cut after.

So nobody is told what was found in a field that a rule takes away, and what a rule leaves of a field has been searched whole.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch import Batch
from pipeline.rules.columns import CONTENT
from pipeline.rules.decide import NONE, Action, Codes, Decision, Mask, Rules
from pipeline.stages.redact import redact
from pipeline.stages.texts import Text, of_column, with_texts
from schemas import event_fields

HASH_BYTES = 16
KeyOf = Callable[[str], bytes]
Redact = Callable[[Batch], tuple[Batch, Any]]
Run = Callable[..., Any]


def _plainly(stage: str, call: Callable[..., Any], *args: Any) -> Any:
    return call(*args)


@dataclass(frozen=True)
class Emptied:
    """A batch on its way through redaction. ``batch`` lacks the texts that go, ``before`` has them but for whole lists that are
    dropped. ``touched``: column → index of the action that changed it, NONE where none did.
    """

    before: Batch
    batch: Batch
    decision: Decision
    touched: Mapping[str, Codes]


def clean(batch: Batch, rules: Rules, key_of: KeyOf, redact: Redact = redact, run: Run = _plainly) -> tuple[Batch, pa.Array[Any]]:
    """The enriched batch with retention classes and without what rules and ``redact`` take out; per row what changed.

    That is a list<utf8>, as processed_redacted_fields. ``key_of``: the key of a tenant's hashes. ``run`` is called with a stage's
    name, a function and what it takes.
    """
    decision = run("rules", rules.decide, batch)
    emptied = run("rules", empty, batch, decision)
    redacted, found = run("redact", redact, emptied.batch)
    finished, changed = run("rules", finish, emptied, redacted, found, key_of)
    return run("rules", _classed, finished, rules, decision), changed


def _classed(batch: Batch, rules: Rules, decision: Decision) -> Batch:
    if decision.classes is None or (decision.classes == NONE).all():
        return batch
    names = pa.array([rule.retention_class for rule in rules.snapshot.retentions] + [None], pa.string())
    column = batch.column("processed_retention_class")
    return batch.replace({"processed_retention_class": pc.coalesce(names.take(pa.array(decision.classes % len(names))), column)})


def empty(batch: Batch, decision: Decision) -> Emptied:
    """The batch without the texts of fields that are dropped, masked or hashed whole, nor their sizes; else shared."""
    goes = ~_cuts(decision)
    touched = {name: _where(codes, goes[codes] & _filled(batch.column(name))) for name, codes in decision.whole.items()}
    touched = {name: codes for name, codes in touched.items() if (codes != NONE).any()}
    if not touched:
        return Emptied(batch, batch, decision, touched)
    drops = np.array([*(action.action == "drop" for action in decision.actions), False])
    lists = {name: drops[codes] for name, codes in touched.items() if pa.types.is_list(batch.column(name).type)}
    before = batch.replace({name: _without_items(batch.column(name), rows) for name, rows in lists.items() if rows.any()})
    changed: dict[tuple[str, str], pa.Array[Any]] = {}
    for name, codes in touched.items():
        for text in _values_of(before, name):
            changed[name, text.part] = pc.if_else(pa.array((codes != NONE)[text.rows()]), "", text.values)
    return Emptied(before, _without_sizes(with_texts(before, changed), touched), decision, touched)


def finish(emptied: Emptied, redacted: Batch, found: pa.Array[Any], key_of: KeyOf) -> tuple[Batch, pa.Array[Any]]:
    """``redacted``, which is ``emptied.batch`` after redaction, with its fields masked, hashed and cut; and per row what changed
    (list<utf8>): the entries in ``found`` and ``column=label`` of each action. ``key_of``: the key of a tenant's hashes.
    """
    actions, touched = emptied.decision.actions, dict(emptied.touched)
    tenants = redacted.column("tenant_id")

    def hashed(text: Text, here: Mask) -> pa.Array[Any]:
        return _hashed(text.values.filter(pa.array(here)), tenants.take(pa.array(text.rows()[here])), key_of)

    changed: dict[tuple[str, str], pa.Array[Any]] = {}
    for name, codes in emptied.decision.whole.items():
        for before, text in zip(_values_of(emptied.before, name), _values_of(redacted, name), strict=True):
            values, of_value = text.values, codes[text.rows()]
            for code in np.unique(of_value[of_value != NONE]).tolist():
                values = _acted(actions[code], of_value == code, before, values, hashed)
            if values is not text.values:
                changed[name, text.part] = values
                cut = text.rows()[_numpy(pc.not_equal(text.values, values))]
                touched[name] = touched.get(name, np.full(len(redacted), NONE, np.int16)).copy()
                touched[name][cut] = codes[cut]
    return with_texts(redacted, changed), _marks(found, touched, actions)


def _acted(action: Action, here: Mask, before: Text, values: Any, hashed: Callable[[Text, Mask], pa.Array[Any]]) -> Any:
    """The values with those ``here`` masked, hashed or cut; what is empty stays empty."""
    if action.action == "cut":
        long = here & (_numpy(pc.utf8_length(values)) > action.length)
        return _put(values, long, lambda some: pc.utf8_slice_codeunits(some, 0, action.length))
    here = here & (_numpy(pc.binary_length(before.values)) > 0)
    if action.action == "mask":
        return _put(values, here, lambda some: pa.repeat(f"[REDACTED:{action.name}]", len(some)))
    if action.action == "hash":
        return _put(values, here, lambda _: hashed(before, here))
    return values


def _put(values: Any, here: Mask, made: Callable[[Any], Any]) -> Any:
    if not here.any():
        return values
    return pc.replace_with_mask(values, pa.array(here), made(values.filter(pa.array(here))))


def _hashed(values: Any, tenants: Any, key_of: KeyOf) -> pa.Array[Any]:
    """``[HASH:32 hex digits]`` of each value under its tenant's key; each distinct text is hashed once."""
    keys = {name: key_of(name) for name in pc.unique(tenants).to_pylist()}
    made: dict[tuple[str, str], str] = {}
    pairs = list(zip(tenants.to_pylist(), values.to_pylist(), strict=True))
    for tenant, text in dict.fromkeys(pairs):
        made[tenant, text] = f"[HASH:{hmac.digest(keys[tenant], text.encode(), 'sha256')[:HASH_BYTES].hex()}]"
    return pa.array([made[pair] for pair in pairs], pa.string())


def _without_items(column: Any, rows: Mask) -> Any:
    return pc.if_else(pa.array(rows), pa.scalar([], column.type), column)


def _without_sizes(batch: Batch, touched: Mapping[str, Codes]) -> Batch:
    """How long a text was that is gone would say something about it."""
    gone = {name: codes != NONE for name, codes in touched.items()}
    content = np.logical_or.reduce([np.zeros(len(batch), np.bool_), *(rows for name, rows in gone.items() if name in CONTENT)])
    changed: dict[str, pa.Array[Any]] = {}
    lengths, marks = batch.column("content_length"), batch.column("truncated_fields")
    if (content & _numpy(lengths.is_valid())).any():
        changed["content_length"] = pc.if_else(pa.array(content), pa.scalar(None, lengths.type), lengths)
    rows = np.flatnonzero(np.logical_or.reduce(list(gone.values())) & _filled(marks))
    if len(rows):
        kept = marks.to_pylist()
        for row in rows.tolist():
            here = {name for name, mine in gone.items() if mine[row]}
            kept[row] = [mark for mark in kept[row] if _column_of(mark) not in here]
        changed["truncated_fields"] = pa.array(kept, marks.type)
    return batch.replace(changed)


def _column_of(mark: str) -> str:
    return mark.partition("=")[0].partition("[")[0]


def _marks(found: Any, touched: Mapping[str, Codes], actions: Sequence[Action]) -> pa.Array[Any]:
    """Per row what changed: the entries in ``found`` and those of the actions, in schema order."""
    if not touched:
        return found
    encoded = found.flatten().dictionary_encode()
    entries = encoded.dictionary.to_pylist()
    rows = [np.repeat(np.arange(len(found)), np.diff(_numpy(found.offsets)))]
    codes = [_numpy(encoded.indices).astype(np.int64)]
    for name, of_row in touched.items():
        here = np.flatnonzero(of_row != NONE)
        used, place = np.unique(of_row[here], return_inverse=True)
        rows.append(here)
        codes.append(place + len(entries))
        entries += [f"{name}={actions[code].label}" for code in used.tolist()]
    order = {name: place for place, name in enumerate(event_fields())}
    ranked = sorted(set(entries), key=lambda entry: (order[_column_of(entry)], entry))
    places = {entry: place for place, entry in enumerate(ranked)}
    rank = np.array([places[entry] for entry in entries], np.int64)
    keys = np.unique(np.concatenate(rows) * len(ranked) + rank[np.concatenate(codes)])
    counts = np.bincount(keys // len(ranked), minlength=len(found))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(ranked, pa.string()).take(pa.array(keys % len(ranked))))


def _values_of(batch: Batch, name: str) -> list[Text]:
    """The texts of a column; of attributes the values alone, as their keys are facts."""
    return [text for text in of_column(name, batch.column(name)) if text.part != "key"]


def _filled(column: Any) -> Mask:
    """Rows with a text, or an item."""
    length = pc.list_value_length if pa.types.is_list(column.type) else pc.binary_length
    filled: Mask = _numpy(length(column)) > 0
    return filled


def _where(codes: Codes, rows: Mask) -> Codes:
    return np.where(rows, codes, np.int16(NONE)).astype(np.int16)


def _cuts(decision: Decision) -> Mask:
    """By code: whether the action leaves a part of the field, or, last, all of it."""
    return np.array([*(action.action == "cut" for action in decision.actions), True])


def _numpy(values: Any) -> Any:
    return values.to_numpy(zero_copy_only=False)

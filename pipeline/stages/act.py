"""What the rules decided, done: fields are emptied before anything looks for secrets in them, and masked, hashed or cut after.

So nobody is told what was found in a field that a rule takes away, and what a rule leaves of a field has been searched whole.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditwire.redaction import DETECTORS
from connectors import avro
from pipeline.batch import Batch
from pipeline.rules.columns import CONTENT
from pipeline.rules.decide import NONE, Action, Decision, Rules
from pipeline.rules.model import EVERY_TENANT
from pipeline.rules.search import Codes, Mask
from pipeline.stages.findings import Texts, labels, searched, without
from pipeline.stages.redact import cut_values, redact
from pipeline.stages.texts import Text, of_column, with_texts
from schemas import event_fields

HASH_BYTES = 16
KeyOf = Callable[[str], bytes]
Redact = Callable[..., tuple[Batch, Any]]
Run = Callable[..., Any]


def _plainly(stage: str, call: Callable[..., Any], *args: Any) -> Any:
    return call(*args)


@dataclass(frozen=True)
class Emptied:
    """A batch on its way through redaction. ``batch`` lacks the texts that go or that are searched by themselves, ``before`` has
    them but for whole lists that are dropped. ``touched``: column → index of the action that changed it, NONE where none did.
    """

    before: Batch
    batch: Batch
    decision: Decision
    touched: Mapping[str, Codes]


class Cleaned(NamedTuple):
    """A batch after its rules; ``changed``: per row its processed_redacted_fields (list<utf8>)."""

    batch: Batch
    changed: pa.Array[Any]
    decision: Decision


def clean(batch: Batch, rules: Rules, key_of: KeyOf, redact: Redact = redact, run: Run = _plainly) -> Cleaned:
    """The enriched batch with retention classes and without what rules and ``redact`` take out; what changed, and why.

    ``key_of``: the key of a tenant's hashes. ``run`` is called with a stage's name, a function and what it takes.
    """
    decision = run("rules", rules.decide, batch)
    emptied = run("rules", empty, batch, decision)
    redacted, found = run("redact", _redacted, emptied.batch, rules, decision, redact)
    finished, changed = run("rules", finish, emptied, redacted, found, key_of)
    return Cleaned(run("rules", _classed, finished, rules, decision), changed, decision)


def _redacted(batch: Batch, rules: Rules, decision: Decision, redact: Redact) -> tuple[Batch, pa.Array[Any]]:
    """The events of tenants with detectors of their own apart from the others."""
    if not decision.tenants:
        usual = rules.searches.detectors(EVERY_TENANT)
        return redact(batch) if usual == DETECTORS else redact(batch, usual)
    others = ~np.logical_or.reduce(list(decision.tenants.values()))
    parts = [(tenant, np.flatnonzero(rows)) for tenant, rows in ((EVERY_TENANT, others), *decision.tenants.items()) if rows.any()]
    done = [redact(batch.take(rows), rules.searches.detectors(tenant)) for tenant, rows in parts]
    order = pa.array(np.argsort(np.concatenate([rows for _, rows in parts])))
    columns = avro.concat([part.columns for part, _ in done]).take(order)
    return Batch(columns, batch.index), pa.concat_arrays([found for _, found in done]).take(order)


def _classed(batch: Batch, rules: Rules, decision: Decision) -> Batch:
    if decision.classes is None or (decision.classes == NONE).all():
        return batch
    names = pa.array([rule.retention_class for rule in rules.snapshot.retentions] + [None], pa.string())
    column = batch.column("processed_retention_class")
    return batch.replace({"processed_retention_class": pc.coalesce(names.take(pa.array(decision.classes % len(names))), column)})


def empty(batch: Batch, decision: Decision) -> Emptied:
    """The batch without the texts of fields that are dropped, masked or hashed whole, nor their sizes, and without those that are
    searched by themselves. Other columns are shared.
    """
    goes = ~_cuts(decision)
    drops = np.array([*(action.action == "drop" for action in decision.actions), False])
    filled = {
        name: np.where(drops[codes], _filled(batch.column(name)), _worded(batch, name)) for name, codes in decision.whole.items()
    }
    touched = {name: _where(codes, goes[codes] & filled[name]) for name, codes in decision.whole.items()}
    touched = {name: codes for name, codes in touched.items() if (codes != NONE).any()}
    apart = {name: codes != NONE for name, codes in touched.items()}
    for name, _, rows in decision.searches:
        apart[name] = apart.get(name, False) | rows
    if not apart:
        return Emptied(batch, batch, decision, touched)
    lists = {name: drops[codes] for name, codes in touched.items() if pa.types.is_list(batch.column(name).type)}
    before = batch.replace({name: _without_items(batch.column(name), rows) for name, rows in lists.items() if rows.any()})
    changed: dict[tuple[str, str], pa.Array[Any]] = {}
    for name, rows in apart.items():
        for text in _values_of(before, name):
            changed[name, text.part] = pc.if_else(pa.array(rows[text.rows()]), "", text.values)
    return Emptied(before, _without_sizes(with_texts(before, changed), touched), decision, touched)


def finish(emptied: Emptied, redacted: Batch, found: pa.Array[Any], key_of: KeyOf) -> tuple[Batch, pa.Array[Any]]:
    """``redacted``, which is ``emptied.batch`` after redaction, with what was searched by itself, and fields masked, hashed, cut.

    With it, per row what changed (list<utf8>): the entries in ``found`` and ``column=label`` of each rule. ``key_of``: the key of
    a tenant's hashes.
    """
    entries = _Entries(found)
    redacted = _searched(emptied, redacted, key_of, entries)
    actions = emptied.decision.actions
    changed: dict[tuple[str, str], pa.Array[Any]] = {}
    tenants = redacted.column("tenant_id")

    def hashed(text: Text, here: Mask) -> pa.Array[Any]:
        return _hashed(text.values.filter(pa.array(here)), tenants.take(pa.array(text.rows()[here])), key_of)

    for name, codes in emptied.decision.whole.items():
        touched = emptied.touched.get(name, np.full(len(redacted), NONE, np.int16)).copy()
        for before, text in zip(_values_of(emptied.before, name), _values_of(redacted, name), strict=True):
            values, of_value = text.values, codes[text.rows()]
            for code in np.unique(of_value[of_value != NONE]).tolist():
                values = _acted(actions[code], of_value == code, before, values, hashed)
            if values is not text.values:
                changed[name, text.part] = values
                acted = text.rows()[_numpy(pc.not_equal(text.values, values))]
                touched[acted] = codes[acted]
        for code in np.unique(touched[touched != NONE]).tolist():
            entries.add(f"{name}={actions[code].label}", np.flatnonzero(touched == code))
    return with_texts(redacted, changed), entries.listed()


class _Apart(NamedTuple):
    """Texts of a column that are searched by themselves: their places in it, and the row of each."""

    column: str
    text: Text
    places: Any
    rows: Any
    texts: Texts


def _searched(emptied: Emptied, redacted: Batch, key_of: KeyOf, entries: _Entries) -> Batch:
    """The texts that are searched by themselves, with their findings masked or hashed."""
    changed: dict[tuple[str, str], pa.Array[Any]] = {}
    tenants = redacted.column("tenant_id")
    apart = list(_apart(emptied, redacted))
    for one, hits in zip(apart, searched([one.texts for one in apart]), strict=True):
        values, search = one.texts.values, one.texts.search
        if hits:
            listed = values.to_pylist()
            of_label: dict[str, list[int]] = {}
            for hit in hits:
                row = int(one.rows[hit.place])
                listed[hit.place] = without(hit, search, partial(_hash_of, key_of, tenants[row]))
                for label in labels(hit, search):
                    of_label.setdefault(label, []).append(row)
            for label, rows in of_label.items():
                entries.add(f"{one.column}={label}" if label else one.column, np.unique(rows))
            values = pa.array(listed, pa.string())
        here = np.zeros(len(one.text.values), np.bool_)
        here[one.places] = True
        now = changed.get((one.column, one.text.part), one.text.values)
        changed[one.column, one.text.part] = pc.replace_with_mask(now, pa.array(here), values)
    return with_texts(redacted, changed)


def _apart(emptied: Emptied, redacted: Batch) -> Iterator[_Apart]:
    searches = emptied.decision.searches
    befores = {name: _values_of(emptied.before, name) for name, _, _ in searches}
    marks = list(of_column("truncated_fields", emptied.before.column("truncated_fields")))
    cuts = cut_values(emptied.before, [*marks, *(text for texts in befores.values() for text in texts)]) if searches else {}
    for name, search, rows in searches:
        gone = emptied.touched.get(name)
        here = rows if gone is None else rows & (gone == NONE)
        for before, text in zip(befores[name], _values_of(redacted, name), strict=True):
            row_of = before.rows()
            places = np.flatnonzero(here[row_of])
            cut = np.isin(places, cuts.get((name, text.part), np.empty(0, np.int64)))
            yield _Apart(name, text, places, row_of[places], Texts(before.values.take(pa.array(places)), cut, search))


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
        made[tenant, text] = _hash(keys[tenant], text)
    return pa.array([made[pair] for pair in pairs], pa.string())


def _hash_of(key_of: KeyOf, tenant: Any, text: str) -> str:
    return _hash(key_of(tenant.as_py()), text)


def _hash(key: bytes, text: str) -> str:
    return f"[HASH:{hmac.digest(key, text.encode(), 'sha256')[:HASH_BYTES].hex()}]"


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


class _Entries:
    """What processed_redacted_fields says, row by row; it begins with what redaction found."""

    def __init__(self, found: Any) -> None:
        self._found, self._added = found, list[tuple[str, Any]]()

    def add(self, entry: str, rows: Any) -> None:
        """An entry for some rows, once in each."""
        self._added.append((entry, rows))

    def listed(self) -> pa.Array[Any]:
        """Per row its entries (list<utf8>), in schema order."""
        if not self._added:
            return self._found
        encoded = self._found.flatten().dictionary_encode()
        entries = [*encoded.dictionary.to_pylist(), *(entry for entry, _ in self._added)]
        order = {name: place for place, name in enumerate(event_fields())}
        ranked = sorted(set(entries), key=lambda entry: (order[_column_of(entry)], entry))
        places = {entry: place for place, entry in enumerate(ranked)}
        of_found = np.array([places[entry] for entry in entries], np.int64)[_numpy(encoded.indices)]
        row_of = np.repeat(np.arange(len(self._found)), np.diff(_numpy(self._found.offsets)))
        keys = [row_of * len(ranked) + of_found, *(rows * len(ranked) + places[entry] for entry, rows in self._added)]
        unique = np.unique(np.concatenate(keys))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(unique // len(ranked), minlength=len(self._found)))])
        texts = pa.array(ranked, pa.string()).take(pa.array(unique % len(ranked)))
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), texts)


def _values_of(batch: Batch, name: str) -> list[Text]:
    """The texts of a column; of attributes the values alone, as their keys are facts."""
    return [text for text in of_column(name, batch.column(name)) if text.part != "key"]


def _filled(column: Any) -> Mask:
    """Rows with a text, or an item."""
    length = pc.list_value_length if pa.types.is_list(column.type) else pc.binary_length
    filled: Mask = _numpy(length(column)) > 0
    return filled


def _worded(batch: Batch, name: str) -> Mask:
    """Rows with a text that is not empty."""
    found: Mask = np.zeros(len(batch), np.bool_)
    for text in _values_of(batch, name):
        found[text.rows()[_filled(text.values)]] = True
    return found


def _where(codes: Codes, rows: Mask) -> Codes:
    return np.where(rows, codes, np.int16(NONE)).astype(np.int16)


def _cuts(decision: Decision) -> Mask:
    """By code: whether the action leaves a part of the field, or, last, all of it."""
    return np.array([*(action.action == "cut" for action in decision.actions), True])


def _numpy(values: Any) -> Any:
    return values.to_numpy(zero_copy_only=False)

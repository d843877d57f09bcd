"""Conditions over a batch of columns: which rows they match. What several conditions have in common is worked out once.

A text column is compared by its distinct values where it repeats itself; all equalities with one column are one look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rules import kernels
from pipeline.rules.facts import kinds
from pipeline.rules.kernels import Mask
from pipeline.rules.nodes import (
    And,
    Atom,
    Case,
    Coalesce,
    Compare,
    Const,
    Distinct,
    Field,
    Has,
    IsNull,
    Not,
    Or,
    Tree,
    Value,
    kind_of,
    results,
)

SAMPLE = 256  # rows that tell whether a column repeats itself
_TYPES = {"text": pa.string(), "long": pa.int64(), "double": pa.float64(), "time": pa.int64()}


def mask(tree: Tree, columns: pa.RecordBatch) -> Mask:
    """Per row whether the condition is true; where it is unknown (NULL) it is not. For several conditions use `Program`."""
    return Program([tree]).masks(columns)[0]


@dataclass(frozen=True)
class _Join:
    """The and (``every``) or the or of earlier steps."""

    every: bool
    steps: tuple[int, ...]


@dataclass(frozen=True)
class _Test:
    """One comparison with a value; ``wanted`` False: where it is false, which is not where it is unknown."""

    atom: Atom
    value: int
    wanted: bool


class Program:
    """Conditions made ready to run over many batches. Keep it as long as the rules stay; safe from several threads.

    ``steps``: what is worked out, ``values``: what they compare, ``lookups``: of each value its equalities, ``tables``: of each
    step that is one its row there, ``whens``: the steps of the conditions inside of CASE.
    """

    def __init__(self, trees: Sequence[Tree]) -> None:
        self.steps: list[_Join | _Test] = []
        self.values: list[Value] = []
        self.whens: dict[Tree, int] = {}
        self._step_of: dict[_Join | _Test, int] = {}
        self._value_of: dict[Value, int] = {}
        self._results = [self._step(tree, True) for tree in trees]
        tests = [step for step in self.steps if isinstance(step, _Test)]
        self.lookups = [_Lookup.of(value, [test for test in tests if test.value == n]) for n, value in enumerate(self.values)]
        looked_up = (
            (n, self.lookups[one.value].tables.get(one.atom)) for n, one in enumerate(self.steps) if isinstance(one, _Test)
        )
        self.tables = {n: table for n, table in looked_up if table is not None}

    def masks(self, columns: pa.RecordBatch, wanted: Sequence[int] | None = None) -> list[Mask]:
        """The masks of the conditions with these places, in their order; do not write into them. None: of all.

        ``columns``: at least those that they name.
        """
        run = _Run(self, columns)
        return [run.rows(step) for step in (self._results if wanted is None else [self._results[n] for n in wanted])]

    def _step(self, tree: Tree, wanted: bool) -> int:
        """The step for where a tree is true, or with ``wanted`` False where it is false. NOT only turns what is wanted."""
        if isinstance(tree, Not):
            return self._step(tree.item, not wanted)
        if isinstance(tree, And | Or):
            parts = dict.fromkeys(self._step(item, wanted) for item in tree.items)
            return self._added(_Join(isinstance(tree, And) == wanted, tuple(parts)))
        return self._atom(tree, wanted)

    def _atom(self, atom: Atom, wanted: bool) -> int:
        if isinstance(atom, Compare) and atom.op == "<>":
            return self._atom(Compare("=", atom.value, atom.const), not wanted)
        if isinstance(atom, Distinct):
            equal = self._atom(Compare("=", atom.value, atom.const), not wanted)
            return self._added(_Join(False, (equal, self._atom(IsNull(atom.value), True)))) if wanted else equal
        value = self._value(atom.field if isinstance(atom, Has) else atom.value)
        return self._added(_Test(atom, value, wanted))

    def _value(self, value: Value) -> int:
        self._prepare(value)
        if value not in self._value_of:
            self._value_of[value] = len(self.values)
            self.values.append(value)
        return self._value_of[value]

    def _prepare(self, value: Value | Tree) -> None:
        """Steps for the conditions inside of a value."""
        if isinstance(value, Coalesce):
            for item in value.items:
                self._prepare(item)
        if isinstance(value, Case):
            for condition, _ in value.whens:
                self.whens[condition] = self._step(condition, True)
            for result in results(value):
                self._prepare(result)

    def _added(self, step: _Join | _Test) -> int:
        if step not in self._step_of:
            self._step_of[step] = len(self.steps)
            self.steps.append(step)
        return self._step_of[step]


@dataclass(frozen=True)
class _Lookup:
    """All equalities with one text: ``literals``, and per atom which of them it takes; the last place is for none of them."""

    literals: pa.Array[Any]
    tables: dict[Atom, Mask]

    @classmethod
    def of(cls, value: Value, tests: Sequence[_Test]) -> _Lookup:
        found = {test.atom: taken for test in tests if (taken := kernels.equals(test.atom)) is not None}
        if kind_of(value) != "text":
            return cls(pa.array([], pa.string()), {})
        literals = sorted(frozenset[str | int | float]().union(*found.values()))
        tables = {atom: np.array([*(literal in taken for literal in literals), False]) for atom, taken in found.items()}
        return cls(pa.array(literals, pa.string()), tables)


@dataclass(frozen=True)
class _Texts:
    """Row ``r`` has ``words[codes[r]]``, or ``words[r]`` without ``codes``. ``valid``: words that are not NULL; None: all."""

    words: pa.Array[Any]
    codes: npt.NDArray[np.intp] | None
    valid: Mask | None

    @classmethod
    def of(cls, values: pa.Array[Any]) -> _Texts:
        """By distinct values where they repeat themselves."""
        words, codes = values, None
        if 4 * len(pc.unique(values.slice(0, SAMPLE))) <= min(SAMPLE, len(values)):
            encoded: Any = values.dictionary_encode(null_encoding="encode")
            words, codes = encoded.dictionary, encoded.indices.to_numpy().astype(np.intp)
        return cls(words, codes, _valid(words))


@dataclass(frozen=True)
class _Numbers:
    """The number of each row; any where ``valid`` is False. None: all are valid."""

    numbers: npt.NDArray[Any]
    valid: Mask | None
    codes: None = None

    @classmethod
    def of(cls, values: pa.Array[Any]) -> _Numbers:
        return cls((values.fill_null(0) if values.null_count else values).to_numpy(), _valid(values))


@dataclass(frozen=True)
class _Lists:
    """The items of all rows: item ``i`` is ``words[items[i]]`` and of row ``rows[i]``. ``valid``: rows that have a list."""

    words: list[str | None]
    items: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]
    valid: Mask | None
    codes: None = None

    @classmethod
    def of(cls, values: pa.Array[Any]) -> _Lists:
        encoded: Any = values.flatten().dictionary_encode(null_encoding="encode")
        rows = pc.list_parent_indices(values).to_numpy()
        return cls(encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), rows, _valid(values))

    def holding(self, text: str, count: int) -> Mask:
        """Which of ``count`` rows hold the text."""
        found = np.zeros(count, np.bool_)
        if text in self.words:
            found[self.rows[self.items == self.words.index(text)]] = True
        return found


@dataclass(frozen=True)
class _Found:
    """A mask over the words of the column of a value, or over the rows (``value`` None). ``some``: it is true anywhere."""

    value: int | None
    mask: Mask
    some: bool


class _Run:
    """One batch under a program. Lazily: what cannot change a result any more is left out."""

    def __init__(self, program: Program, columns: pa.RecordBatch) -> None:
        self._program, self._batch = program, columns
        self._nowhere = _Found(None, np.zeros(columns.num_rows, np.bool_), False)
        self._steps: dict[int, _Found] = {}
        self._rows: dict[int, Mask] = {}
        self._columns: dict[int, _Texts | _Numbers | _Lists] = {}
        self._places: dict[int, npt.NDArray[np.int32]] = {}

    def rows(self, step: int) -> Mask:
        """The mask of a step over the rows."""
        if step not in self._rows:
            self._rows[step] = self._spread(self._found(step))
        return self._rows[step]

    def _spread(self, found: _Found) -> Mask:
        if not found.some:
            return self._nowhere.mask
        codes = None if found.value is None else self._column(found.value).codes
        return found.mask if codes is None else found.mask[codes]

    def _found(self, step: int) -> _Found:
        if step not in self._steps:
            what = self._program.steps[step]
            self._steps[step] = self._test(step, what) if isinstance(what, _Test) else self._join(what)
        return self._steps[step]

    def _join(self, join: _Join) -> _Found:
        """Masks over the same words are joined as such, and only then spread over the rows."""
        combine = np.logical_and if join.every else np.logical_or
        words: dict[int, list[tuple[int, Mask]]] = {}
        over_rows: list[Mask] = []
        for step in join.steps:
            found = self._found(step)
            if not found.some:
                if join.every:
                    return self._nowhere
            elif found.value is None:
                over_rows.append(found.mask)
            else:
                words.setdefault(found.value, []).append((step, found.mask))
        if len(words) == 1 and not over_rows:
            ((value, masks),) = words.items()
            joined: Mask = combine.reduce([mask for _, mask in masks])
            return _Found(value, joined, bool(joined.any()))
        for value, masks in words.items():
            one = len(masks) == 1
            joined = combine.reduce([mask for _, mask in masks])
            over_rows.append(self.rows(masks[0][0]) if one else self._spread(_Found(value, joined, bool(joined.any()))))
        if not over_rows:
            return self._nowhere
        joined = over_rows[0]
        for mask in over_rows[1:]:
            joined = combine(joined, mask)
        return _Found(None, joined, bool(joined.any()))

    def _test(self, step: int, test: _Test) -> _Found:
        column = self._column(test.value)
        held = self._held(step, test, column)
        if not test.wanted:
            held = ~held
        if column.valid is not None and (isinstance(column, _Numbers) or not test.wanted) and not isinstance(test.atom, IsNull):
            held = held & column.valid
        return _Found(None if column.codes is None else test.value, held, bool(held.any()))

    def _held(self, step: int, test: _Test, column: _Texts | _Numbers | _Lists) -> Mask:
        """Where the comparison is true; of numbers perhaps also where they are NULL."""
        atom, table = test.atom, self._program.tables.get(step)
        if table is not None and isinstance(column, _Texts):
            return table[self._places_of(test.value, column)]
        if isinstance(column, _Lists):
            return column.holding(atom.text if isinstance(atom, Has) else "", self._batch.num_rows)
        if isinstance(atom, IsNull):
            length = len(column.words) if isinstance(column, _Texts) else len(column.numbers)
            return np.zeros(length, np.bool_) if column.valid is None else ~column.valid
        if isinstance(column, _Numbers):
            return kernels.holds_number(atom, column.numbers)
        return kernels.holds(atom, column.words)

    def _places_of(self, value: int, column: _Texts) -> npt.NDArray[np.int32]:
        """Which literal each word is."""
        if value not in self._places:
            literals = self._program.lookups[value].literals
            self._places[value] = pc.index_in(column.words, value_set=literals).fill_null(len(literals)).to_numpy()
        return self._places[value]

    def _column(self, value: int) -> _Texts | _Numbers | _Lists:
        if value not in self._columns:
            values = self._values(self._program.values[value])
            kind: Any = _Lists if pa.types.is_list(values.type) else _Texts if pa.types.is_string(values.type) else _Numbers
            self._columns[value] = kind.of(values)
        return self._columns[value]

    def _values(self, value: Value) -> Any:
        """An array; a scalar for a literal."""
        if isinstance(value, Field):
            return _plain(self._batch.column(value.name), kinds()[value.name])
        if isinstance(value, Const):
            return pa.scalar(value.value, _TYPES[value.kind])
        if isinstance(value, Coalesce):
            return pc.coalesce(*map(self._values, value.items))
        found = pa.scalar(None, _TYPES[kind_of(value)]) if value.otherwise is None else self._values(value.otherwise)
        for condition, result in reversed(value.whens):
            mask = pa.array(self.rows(self._program.whens[condition]))
            found = pc.if_else(mask, self._values(result), found)
        return found


def _valid(values: pa.Array[Any]) -> Mask | None:
    return kernels.truth(pc.is_valid(values)) if values.null_count else None


def _plain(column: pa.Array[Any], kind: str) -> pa.Array[Any]:
    """Times as whole numbers, everything else as the processor has it."""
    if kind == "time":
        return column.cast(pa.timestamp("us", column.type.tz)).view(pa.int64())
    return column if kind == "texts" or column.type == _TYPES[kind] else column.cast(_TYPES[kind])

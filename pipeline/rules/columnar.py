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

    ``steps``: what is worked out, ``values``: what they compare, ``lookups``: of each value its equalities, ``whens``: the steps
    of the conditions inside of CASE.
    """

    def __init__(self, trees: Sequence[Tree]) -> None:
        self.steps: list[_Join | _Test] = []
        self.values: list[Value] = []
        self.whens: dict[Tree, int] = {}
        self._step_of: dict[_Join | _Test, int] = {}
        self._value_of: dict[Value, int] = {}
        self._results = [self._step(tree, True) for tree in trees]
        tests = [step for step in self.steps if isinstance(step, _Test)]
        self.lookups = [_Lookup.of([test for test in tests if test.value == n]) for n in range(len(self.values))]

    def masks(self, columns: pa.RecordBatch) -> list[Mask]:
        """The mask of each condition, in their order; do not write into them. ``columns``: at least those that they name."""
        run = _Run(self, columns)
        return [run.rows(step) for step in self._results]

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

    literals: list[str | int | float]
    tables: dict[Atom, Mask]

    @classmethod
    def of(cls, tests: Sequence[_Test]) -> _Lookup:
        found = {test.atom: taken for test in tests if (taken := kernels.equals(test.atom)) is not None}
        literals = sorted(frozenset[str | int | float]().union(*found.values()))
        tables = {atom: np.array([*(literal in taken for literal in literals), False]) for atom, taken in found.items()}
        return cls(literals, tables)


@dataclass(frozen=True)
class _Column:
    """The values of a field, COALESCE or CASE: row ``r`` has ``words[codes[r]]``, or ``words[r]`` where ``codes`` is None."""

    words: pa.Array[Any]
    codes: npt.NDArray[np.intp] | None

    @classmethod
    def of(cls, values: pa.Array[Any]) -> _Column:
        """By distinct values where these are texts that repeat themselves."""
        if not pa.types.is_string(values.type) or 4 * len(pc.unique(values.slice(0, SAMPLE))) > min(SAMPLE, len(values)):
            return cls(values, None)
        encoded: Any = values.dictionary_encode(null_encoding="encode")
        return cls(encoded.dictionary, encoded.indices.to_numpy().astype(np.intp))

    def rows(self, found: Mask) -> Mask:
        """What was found of the words, for the rows."""
        return found if self.codes is None else found[self.codes]


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
        self._columns: dict[int, _Column] = {}
        self._places: dict[int, npt.NDArray[np.int32]] = {}

    def rows(self, step: int) -> Mask:
        """The mask of a step over the rows."""
        if step not in self._rows:
            self._rows[step] = self._spread(self._found(step))
        return self._rows[step]

    def _spread(self, found: _Found) -> Mask:
        if not found.some:
            return self._nowhere.mask
        return found.mask if found.value is None else self._column(found.value).rows(found.mask)

    def _found(self, step: int) -> _Found:
        if step not in self._steps:
            what = self._program.steps[step]
            self._steps[step] = self._test(what) if isinstance(what, _Test) else self._join(what)
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

    def _test(self, test: _Test) -> _Found:
        column = self._column(test.value)
        lookup = self._program.lookups[test.value]
        if test.atom in lookup.tables and pa.types.is_string(column.words.type):
            held = lookup.tables[test.atom][self._places_of(test.value, lookup)]
        else:
            held = kernels.holds(test.atom, column.words)
        if not test.wanted:
            held = ~held
            if column.words.null_count:
                held &= kernels.truth(pc.is_valid(column.words))
        return _Found(None if column.codes is None else test.value, held, bool(held.any()))

    def _places_of(self, value: int, lookup: _Lookup) -> npt.NDArray[np.int32]:
        """Which literal each word is."""
        if value not in self._places:
            found = pc.index_in(self._column(value).words, value_set=pa.array(lookup.literals, pa.string()))
            self._places[value] = found.fill_null(len(lookup.literals)).to_numpy()
        return self._places[value]

    def _column(self, value: int) -> _Column:
        if value not in self._columns:
            self._columns[value] = _Column.of(self._values(self._program.values[value]))
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


def _plain(column: pa.Array[Any], kind: str) -> pa.Array[Any]:
    """Times as whole numbers, everything else as the processor has it."""
    if kind == "time":
        return column.cast(pa.timestamp("us", column.type.tz)).view(pa.int64())
    return column if kind == "texts" or column.type == _TYPES[kind] else column.cast(_TYPES[kind])

"""Single comparisons over texts in Arrow and numbers in numpy: the values that they are true for. `columnar` adds the logic."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rules.nodes import Atom, Between, Compare, Like, OneOf, Part

Mask = npt.NDArray[np.bool_]
_ORDERED = {"<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal}
_NUMBERS: dict[str, Callable[[Any, Any], Mask]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_PARTS = {"starts_with": pc.starts_with, "ends_with": pc.ends_with, "contains": pc.match_substring}


def equals(atom: Atom) -> frozenset[str | int | float] | None:
    """The literals of which the value must be one; None for other comparisons."""
    if isinstance(atom, Compare) and atom.op == "=":
        return frozenset({atom.const.value})
    if isinstance(atom, OneOf):
        return frozenset(const.value for const in atom.consts)
    if isinstance(atom, Like) and not atom.any_case and not set(atom.pattern) & set("%_"):
        return frozenset({atom.pattern})
    return None


def holds(atom: Atom, texts: pa.Array[Any]) -> Mask:
    """The texts for which it is true."""
    if isinstance(atom, Part):
        return truth(_PARTS[atom.how](texts, atom.text))
    if isinstance(atom, Like):
        return _like(atom, texts)
    if isinstance(atom, Compare) and atom.op in _ORDERED:
        return truth(_ORDERED[atom.op](texts, atom.const.value))
    if isinstance(atom, Between):
        return truth(pc.and_(pc.greater_equal(texts, atom.low.value), pc.less_equal(texts, atom.high.value)))
    found = equals(atom)
    if found is None:
        raise TypeError(f"{type(atom).__name__} is made of other comparisons; take it apart first")
    return truth(pc.is_in(texts, value_set=pa.array(sorted(found), pa.string())))


def holds_number(atom: Atom, numbers: npt.NDArray[Any]) -> Mask:
    """The numbers for which it is true; times are numbers."""
    if isinstance(atom, Compare) and atom.op in _NUMBERS:
        return _NUMBERS[atom.op](numbers, atom.const.value)
    if isinstance(atom, Between):
        found: Mask = (numbers >= atom.low.value) & (numbers <= atom.high.value)
        return found
    literals = equals(atom)
    if literals is None:
        raise TypeError(f"{type(atom).__name__} is nothing for numbers, or made of other comparisons")
    return np.isin(numbers, np.array(sorted(literals), numbers.dtype))


def truth(found: pa.Array[Any]) -> Mask:
    """A boolean array as a mask, NULL as false."""
    mask: Mask = (found.fill_null(False) if found.null_count else found).to_numpy(zero_copy_only=False)
    return mask


def _like(atom: Like, values: pa.Array[Any]) -> Mask:
    pattern = atom.pattern
    if atom.any_case:
        values, pattern = pc.ascii_lower(values), pattern.lower()
    inner = pattern.strip("%")
    if set(inner) & set("%_"):
        return truth(pc.match_like(values, pattern))
    opened, closed = pattern.startswith("%"), pattern.endswith("%")
    if not inner and pattern:
        return truth(pc.is_valid(values))
    if opened and closed:
        return truth(pc.match_substring(values, inner))
    if opened or closed:
        return truth((pc.ends_with if opened else pc.starts_with)(values, inner))
    return truth(pc.equal(values, inner))

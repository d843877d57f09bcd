"""Single comparisons over one Arrow array: the values that they are true for. NULL never is; `columnar` adds the logic."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rules.nodes import Atom, Between, Compare, Const, Has, IsNull, Like, OneOf, Part

FEW = 4
Mask = npt.NDArray[np.bool_]
_ORDERED = {"<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal}
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


def holds(atom: Atom, values: pa.Array[Any]) -> Mask:  # noqa: PLR0911
    """Where it is true."""
    if isinstance(atom, IsNull):
        return truth(pc.is_null(values))
    if isinstance(atom, Has):
        return _has(atom, values)
    if isinstance(atom, Part):
        return truth(_PARTS[atom.how](values, atom.text))
    if isinstance(atom, Like):
        return _like(atom, values)
    found = equals(atom)
    if found is not None:
        return _one_of(sorted(found), values)
    if isinstance(atom, Between):
        low, high = _scalar(atom.low, values), _scalar(atom.high, values)
        return truth(pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high)))
    if isinstance(atom, Compare) and atom.op in _ORDERED:
        return truth(_ORDERED[atom.op](values, _scalar(atom.const, values)))
    raise TypeError(f"{type(atom).__name__} is made of other comparisons; take it apart first")


def truth(found: pa.Array[Any]) -> Mask:
    """A boolean array as a mask, NULL as false."""
    mask: Mask = (found.fill_null(False) if found.null_count else found).to_numpy(zero_copy_only=False)
    return mask


def _one_of(literals: list[Any], values: pa.Array[Any]) -> Mask:
    if len(literals) > FEW and not pa.types.is_floating(values.type):  # a set does not hold 0.0 for -0.0
        return truth(pc.is_in(values, value_set=pa.array(literals, values.type)))
    found = truth(pc.equal(values, pa.scalar(literals[0], values.type)))
    for literal in literals[1:]:
        found = found | truth(pc.equal(values, pa.scalar(literal, values.type)))
    return found


def _scalar(const: Const, values: pa.Array[Any]) -> Any:
    return pa.scalar(const.value, values.type)


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


def _has(atom: Has, lists: pa.Array[Any]) -> Mask:
    found = np.zeros(len(lists), np.bool_)
    hits = truth(pc.equal(lists.flatten(), atom.text))
    if hits.any():
        found[pc.list_parent_indices(lists).to_numpy()[hits]] = True
    return found

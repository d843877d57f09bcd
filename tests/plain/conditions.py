"""Conditions the plain way: one row, one comparison at a time, None for what is unknown. Written from docs/rules.md."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from pipeline.rules.nodes import (
    And,
    Between,
    Case,
    Coalesce,
    Compare,
    Const,
    Distinct,
    Field,
    Has,
    IsNull,
    Like,
    Not,
    OneOf,
    Or,
    Part,
    Tree,
    Value,
)

OPS = {"=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
HOWS = {"starts_with": str.startswith, "ends_with": str.endswith, "contains": str.__contains__}
Row = Mapping[str, Any]


def matches(tree: Tree, row: Row) -> bool:
    """Whether a rule with this condition is for this event."""
    return truth(tree, row) is True


def truth(tree: Tree, row: Row) -> bool | None:
    """True, False, or None for unknown."""
    if isinstance(tree, Not):
        found = truth(tree.item, row)
        return None if found is None else not found
    if isinstance(tree, And | Or):
        decisive = isinstance(tree, Or)
        parts = [truth(item, row) for item in tree.items]
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    if isinstance(tree, Has):
        return tree.text in row[tree.field.name]
    value = value_of(tree.value, row)
    if isinstance(tree, IsNull):
        return value is None
    if isinstance(tree, Distinct):
        return value is None or _key(value) != _key(tree.const.value)
    return None if value is None else _compared(tree, value)


def _compared(tree: Compare | OneOf | Between | Like | Part, value: Any) -> bool:
    match tree:
        case Compare(op, _, const):
            return bool(OPS[op](_key(value), _key(const.value)))
        case OneOf(_, consts):
            return _key(value) in [_key(const.value) for const in consts]
        case Between(_, low, high):
            return bool(_key(low.value) <= _key(value) <= _key(high.value))
        case Like(_, pattern, any_case):
            return like(_ascii_lower(value), _ascii_lower(pattern)) if any_case else like(value, pattern)
        case Part(how, _, text):
            return bool(HOWS[how](value, text))


def value_of(value: Value, row: Row) -> Any:
    """The value for this row, None for NULL."""
    match value:
        case Field(name):
            return row[name]
        case Const(_, literal):
            return literal
        case Coalesce(items):
            return next((found for item in items if (found := value_of(item, row)) is not None), None)
        case Case(whens, otherwise):
            for condition, result in whens:
                if truth(condition, row) is True:
                    return value_of(result, row)
            return None if otherwise is None else value_of(otherwise, row)


def like(text: str, pattern: str) -> bool:
    """% for any characters, _ for one."""
    reach = {0}  # how much of the text the pattern so far can have taken
    for sign in pattern:
        if sign == "%":
            reach = set(range(min(reach), len(text) + 1)) if reach else set()
        else:
            reach = {n + 1 for n in reach if n < len(text) and sign in ("_", text[n])}
    return len(text) in reach


def _ascii_lower(text: str) -> str:
    return "".join(c.lower() if "A" <= c <= "Z" else c for c in text)


def _key(value: Any) -> Any:
    """Texts in the order of their bytes."""
    return value.encode() if isinstance(value, str) else value

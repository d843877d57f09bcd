"""A condition as plain JSON, which is how a revision of the rules holds it, and back. Needs no SQL parser."""

from __future__ import annotations

from typing import Any

from pipeline.rules import literals
from pipeline.rules.nodes import (
    HOWS,
    MAX_DEPTH,
    OPS,
    And,
    Atom,
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
    TreeError,
    Value,
    check_bounds,
    kind_of,
    pattern_of,
)

__all__ = ["Tree", "TreeError", "from_json", "to_json"]


def to_json(tree: Tree | Value) -> Any:  # noqa: PLR0911, PLR0912
    """Lists, texts, whole numbers and None only, so that it is the same after any JSON codec."""
    match tree:
        case Field(name):
            return ["field", name]
        case Const(kind, value):
            return [kind, repr(value) if kind == "double" else value]
        case Coalesce(items):
            return ["coalesce", *map(to_json, items)]
        case Case(whens, otherwise):
            pairs = [[to_json(condition), to_json(value)] for condition, value in whens]
            return ["case", pairs, None if otherwise is None else to_json(otherwise)]
        case Compare(op, value, const):
            return [op, to_json(value), to_json(const)]
        case Distinct(value, const):
            return ["distinct", to_json(value), to_json(const)]
        case OneOf(value, consts):
            return ["in", to_json(value), [to_json(const) for const in consts]]
        case Between(value, low, high):
            return ["between", to_json(value), to_json(low), to_json(high)]
        case IsNull(value):
            return ["null", to_json(value)]
        case Like(value, pattern, any_case):
            return ["ilike" if any_case else "like", to_json(value), pattern]
        case Part(how, value, text):
            return [how, to_json(value), text]
        case Has(field, text):
            return ["has", to_json(field), text]
        case And(items) | Or(items):
            return ["and" if isinstance(tree, And) else "or", *map(to_json, items)]
        case Not(item):
            return ["not", to_json(item)]


def from_json(obj: Any) -> Tree:
    """The tree of which `to_json` made this. Raises TreeError for anything else: other forms, unknown fields, mixed kinds."""
    try:
        tree = _tree(obj, MAX_DEPTH)
        check_bounds(tree)
    except TreeError:
        raise
    except (TypeError, ValueError, LookupError) as exc:
        raise TreeError(f"no condition in its canonical form ({exc}); publish it anew") from None
    return tree


def _tree(obj: Any, deeper: int) -> Tree:
    name, *rest = _listed(obj, deeper)
    if name in ("and", "or"):
        items = tuple(_tree(item, deeper - 1) for item in rest)
        made = And(items) if name == "and" else Or(items)
        if len(items) < 2 or any(type(item) is type(made) for item in items):
            raise TreeError(f"{name} stands for two parts or more, none of them {name} again")
        return made
    if name == "not":
        (item,) = rest
        return Not(_tree(item, deeper - 1))
    return _atom(name, rest, deeper - 1)


def _atom(name: str, rest: list[Any], deeper: int) -> Atom:  # noqa: PLR0911
    if name == "has":
        field, text = rest
        listed = _value(field, deeper)
        if not isinstance(listed, Field) or kind_of(listed) != "texts":
            raise TreeError("has() is for a field that is a list of texts")
        return Has(listed, _text(text))
    value = _value(rest[0], deeper)
    kind = kind_of(value)
    if isinstance(value, Const) or kind == "texts":
        raise TreeError(f"{name} compares a field with literals")
    if name == "null" and len(rest) == 1:
        return IsNull(value)
    if name == "between":
        low, high = rest[1:]
        return Between(value, _const(low, kind), _const(high, kind))
    (other,) = rest[1:]
    if name == "in":
        consts = tuple(_const(const, kind) for const in other)
        if type(other) is not list or not consts:
            raise TreeError("in needs a list of literals")
        return OneOf(value, consts)
    if name == "distinct":
        return Distinct(value, _const(other, kind))
    for op in OPS:
        if name == op:
            return Compare(op, value, _const(other, kind))
    return _search(name, value, other)


def _search(name: str, value: Value, other: Any) -> Atom:
    text = _text(other)
    if kind_of(value) != "text":
        raise TreeError(f"{name} is for texts, not for {kind_of(value)}")
    if name in ("like", "ilike"):
        return Like(value, pattern_of(text, any_case=name == "ilike"), name == "ilike")
    if name in HOWS:
        return Part(name, value, text)
    raise TreeError(f"{name!r} is no part of a condition")


def _value(obj: Any, deeper: int) -> Value:
    name, *rest = _listed(obj, deeper)
    value: Value
    if name == "field":
        (column,) = rest
        value = Field(_text(column))
    elif name == "coalesce":
        value = Coalesce(tuple(_value(item, deeper - 1) for item in rest))
        if len(value.items) < 2 or any(isinstance(item, Const) for item in value.items[:-1]):
            raise TreeError("coalesce has two items or more, and only the last may be a literal")
    elif name == "case":
        pairs, otherwise = rest
        whens = tuple((_tree(condition, deeper - 1), _value(result, deeper - 1)) for condition, result in pairs)
        if type(pairs) is not list or any(type(pair) is not list for pair in pairs) or not whens:
            raise TreeError("case needs a list of conditions with their values")
        value = Case(whens, None if otherwise is None else _value(otherwise, deeper - 1))
    else:
        return _const(obj)
    kind_of(value)
    return value


def _const(obj: Any, kind: str | None = None) -> Const:
    if type(obj) is not list or len(obj) != 2 or obj[0] not in ("text", "long", "double", "time"):
        raise TreeError("a literal is a pair of its kind and its value")
    if kind is not None and obj[0] != kind:
        raise TreeError(f"a {obj[0]} stands where a {kind} must stand")
    if obj[0] == "text":
        return Const("text", _text(obj[1]))
    if obj[0] == "double":
        number = literals.double_of(_text(obj[1]))
        if repr(number) != obj[1]:
            raise TreeError("a double stands in its shortest form")
        return Const("double", number)
    if type(obj[1]) is not int:
        raise TreeError(f"a {obj[0]} is a whole number")
    if obj[0] == "time" and not 0 <= obj[1] < literals.END_US:
        raise TreeError("a time lies outside the years that clean events can have")
    return Const(obj[0], literals.long_of(str(obj[1])))


def _listed(obj: Any, deeper: int) -> list[Any]:
    if type(obj) is not list or not obj or type(obj[0]) is not str:
        raise TreeError("every part is a list that begins with its name")
    if deeper < 0:
        raise TreeError(f"a condition nested deeper than {MAX_DEPTH}; split the rule")
    return obj


def _text(obj: Any) -> str:
    if type(obj) is not str:
        raise TreeError("a text stands where something else is")
    return literals.text_of(obj)

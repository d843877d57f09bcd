"""What a condition consists of: comparisons of values with literals, and their AND, OR, NOT.

Three-valued logic as in SQL: a comparison with NULL is unknown, and what is unknown does not match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pipeline.rules.facts import Kind, kinds, nullable, why_not

MAX_NODES = 1_000
MAX_DEPTH = 32
Op = Literal["=", "<>", "<", "<=", ">", ">="]
How = Literal["starts_with", "ends_with", "contains"]
OPS: tuple[Op, ...] = ("=", "<>", "<", "<=", ">", ">=")
HOWS: tuple[How, ...] = ("starts_with", "ends_with", "contains")


class TreeError(ValueError):
    """An object is no condition in its canonical JSON form. Keep the rules in use and look at what wrote these."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the event."""

    name: str


@dataclass(frozen=True, slots=True)
class Const:
    """A literal: str for text, int for long, float for double, microseconds since 1970 (UTC) for time."""

    kind: Kind
    value: str | int | float


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The first of them that is not NULL. Only the last may be a literal."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """The value beside the first condition that is true; else ``otherwise``, None for NULL."""

    whens: tuple[tuple[Tree, Value], ...]
    otherwise: Value | None


@dataclass(frozen=True, slots=True)
class Compare:
    """``value op const``."""

    op: Op
    value: Value
    const: Const


@dataclass(frozen=True, slots=True)
class Distinct:
    """``value IS DISTINCT FROM const``; never unknown."""

    value: Value
    const: Const


@dataclass(frozen=True, slots=True)
class OneOf:
    """``value IN (consts)``."""

    value: Value
    consts: tuple[Const, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """``value BETWEEN low AND high``, both included."""

    value: Value
    low: Const
    high: Const


@dataclass(frozen=True, slots=True)
class IsNull:
    """``value IS NULL``; never unknown."""

    value: Value


@dataclass(frozen=True, slots=True)
class Like:
    """``value LIKE pattern`` over characters; ``any_case``: ILIKE, whose letters are A to Z."""

    value: Value
    pattern: str
    any_case: bool


@dataclass(frozen=True, slots=True)
class Part:
    """``starts_with(value, text)``, ``ends_with`` or ``contains``."""

    how: How
    value: Value
    text: str


@dataclass(frozen=True, slots=True)
class Has:
    """``has(field, text)``: one of the texts of the list is this one."""

    field: Field
    text: str


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary; of what is unknown, unknown."""

    item: Tree


Value: TypeAlias = Field | Const | Coalesce | Case
Atom: TypeAlias = Compare | Distinct | OneOf | Between | IsNull | Like | Part | Has
Tree: TypeAlias = Atom | And | Or | Not


def kind_of(value: Value) -> Kind:
    """What a value holds. Raises TreeError where it mixes kinds or names what cannot be named."""
    if isinstance(value, Field):
        if value.name not in kinds():
            raise TreeError(why_not(value.name))
        return kinds()[value.name]
    if isinstance(value, Const):
        return value.kind
    inside = value.items if isinstance(value, Coalesce) else results(value)
    found = {kind_of(item) for item in inside}
    if len(found) != 1 or found == {"texts"}:
        raise TreeError(f"CASE and COALESCE give values of one kind, not {' and '.join(sorted(found))}")
    return found.pop()


def may_be_null(value: Value) -> bool:
    """Whether a clean event can make it NULL."""
    if isinstance(value, Field):
        return value.name in nullable()
    if isinstance(value, Coalesce):
        return all(map(may_be_null, value.items))
    return isinstance(value, Case) and (value.otherwise is None or any(map(may_be_null, results(value))))


def results(case: Case) -> tuple[Value, ...]:
    """What a CASE can give, besides NULL."""
    return (*(value for _, value in case.whens), *(() if case.otherwise is None else (case.otherwise,)))


def fields_of(tree: Tree | Value) -> frozenset[str]:
    """The names of the columns that it reads."""
    if isinstance(tree, Field):
        return frozenset({tree.name})
    return frozenset().union(*map(fields_of, children(tree)))


def children(tree: Tree | Value) -> tuple[Tree | Value, ...]:  # noqa: PLR0911
    """What a node consists of, in order."""
    if isinstance(tree, And | Or | Coalesce):
        return tree.items
    if isinstance(tree, Not):
        return (tree.item,)
    if isinstance(tree, Case):
        return (*(condition for condition, _ in tree.whens), *results(tree))
    if isinstance(tree, Has):
        return (tree.field,)
    if isinstance(tree, Field | Const):
        return ()
    if isinstance(tree, OneOf):
        return (tree.value, *tree.consts)
    return (tree.value,)


def check_bounds(tree: Tree) -> None:
    """Raise TreeError for more than 1,000 nodes or a depth over 32."""
    nodes, level = 0, 0
    layer: list[Tree | Value] = [tree]
    while layer:
        nodes += len(layer)
        level += 1
        if nodes > MAX_NODES:
            raise TreeError(f"a condition of more than {MAX_NODES:,} parts; split the rule")
        if level > MAX_DEPTH:
            raise TreeError(f"a condition nested deeper than {MAX_DEPTH}; split the rule")
        layer = [child for node in layer for child in children(node)]


def pattern_of(pattern: str, any_case: bool) -> str:
    """The pattern, where engines agree on it. Raises TreeError for a backslash, and in ILIKE for what is not ASCII."""
    if "\\" in pattern:
        raise TreeError("a LIKE pattern with a backslash means something else in each engine; use contains(), starts_with() …")
    if any_case and not pattern.isascii():
        raise TreeError("ILIKE is for ASCII, since engines disagree on other letters; use LIKE, once for each case")
    return pattern

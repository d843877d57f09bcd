"""Conditions as SQL for ClickHouse's `events` and for DuckDB over the archive's view: the rows that `columnar` gives.

Text and literals of people never reach the SQL but as literals of this module's own quoting; names are columns of the schema.
NOT is carried down to the comparisons, so nothing depends on how an engine negates NULL, and no expression is NULL itself.
"""

from __future__ import annotations

from typing import Protocol

from pipeline.rules.facts import Kind
from pipeline.rules.literals import time_text
from pipeline.rules.nodes import (
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
    Op,
    Or,
    Part,
    Tree,
    Value,
    kind_of,
    may_be_null,
)

_OPPOSITE: dict[Op, Op] = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"


def clickhouse(tree: Tree) -> str:
    """A ClickHouse expression that is 1 where the condition is true, else 0. Texts may hold ``%`` and ``{``: never format it."""
    return _true(tree, True, _ClickHouse())


def duckdb(tree: Tree) -> str:
    """A DuckDB expression that is true where the condition is, else false; NULL in a column that is never NULL is no match."""
    return f"coalesce({_true(tree, True, _DuckDB())}, false)"


def text(value: str) -> str:
    """A text as a literal of ClickHouse."""
    return _ClickHouse().literal(Const("text", value))


class _Engine(Protocol):
    """What engines say differently."""

    def literal(self, const: Const, as_value: bool = False) -> str:
        """A literal, exactly. ``as_value``: with its type, for CASE and COALESCE."""

    def sure(self, test: str, value: Value) -> str:
        """The test, false where ``value`` is NULL."""

    def ascii_lower(self, value: str) -> str:
        """A to Z as a to z, everything else as it is."""

    def member(self, value: str, kind: Kind) -> str:
        """The value as IN must see it."""

    def part(self, how: str, value: str, text: str) -> str:
        """starts_with, ends_with, contains."""

    def has(self, field: str, text: str) -> str:
        """Whether the list holds the text."""


class _ClickHouse:
    def literal(self, const: Const, as_value: bool = False) -> str:
        if const.kind == "text":
            return "'" + str(const.value).replace("\\", "\\\\").replace("'", "\\'") + "'"
        if const.kind == "time":
            return f"fromUnixTimestamp64Micro({const.value}, 'UTC')"
        if const.kind == "long":
            return f"toInt64({const.value})" if as_value else str(const.value)
        return repr(const.value)

    def sure(self, test: str, value: Value) -> str:
        return f"ifNull({test}, false)" if may_be_null(value) else test

    def ascii_lower(self, value: str) -> str:
        return f"lower({value})"

    def member(self, value: str, kind: Kind) -> str:
        return f"({value} + 0.0)" if kind == "double" else value  # its sets do not hold 0.0 for -0.0

    def part(self, how: str, value: str, text: str) -> str:
        if how == "contains":
            return f"position({value}, {text}) > 0"
        return f"{'startsWith' if how == 'starts_with' else 'endsWith'}({value}, {text})"

    def has(self, field: str, text: str) -> str:
        return f"has({field}, {text})"


class _DuckDB:
    def literal(self, const: Const, as_value: bool = False) -> str:
        if const.kind == "text":
            return "'" + str(const.value).replace("'", "''") + "'"
        if const.kind == "time":
            return f"TIMESTAMPTZ '{time_text(int(const.value))}+00'"
        return f"CAST('{const.value!r}' AS {'BIGINT' if const.kind == 'long' else 'DOUBLE'})"

    def sure(self, test: str, value: Value) -> str:
        return test  # without NOT above it NULL counts as false

    def ascii_lower(self, value: str) -> str:
        return f"translate({value}, '{_UPPER}', '{_LOWER}')"

    def member(self, value: str, kind: Kind) -> str:
        return value

    def part(self, how: str, value: str, text: str) -> str:
        return f"{how}({value}, {text})"

    def has(self, field: str, text: str) -> str:
        return f"list_contains({field}, {text})"


def _true(tree: Tree, wanted: bool, engine: _Engine) -> str:
    """Where the tree is true, or with ``wanted`` False where it is false."""
    if isinstance(tree, Not):
        return _true(tree.item, not wanted, engine)
    if isinstance(tree, And | Or):
        word = " AND " if isinstance(tree, And) == wanted else " OR "
        return f"({word.join(_true(item, wanted, engine) for item in tree.items)})"
    if isinstance(tree, Has):
        found = engine.has(_name(tree.field.name), engine.literal(Const("text", tree.text)))
        return found if wanted else f"(NOT {found})"
    return _atom(tree, wanted, engine)


def _atom(atom: Atom, wanted: bool, engine: _Engine) -> str:
    if isinstance(atom, Has):
        raise TypeError("has() is compared by itself")
    value = _value(atom.value, engine)
    if isinstance(atom, IsNull):
        return f"({value} IS {'' if wanted else 'NOT '}NULL)"
    if isinstance(atom, Distinct):
        if not wanted:
            return _atom(Compare("=", atom.value, atom.const), True, engine)
        return f"({value} IS DISTINCT FROM {engine.literal(atom.const)})"
    test = _test(atom, value, wanted, engine)
    return f"({engine.sure(test, atom.value)})"


def _test(atom: Compare | OneOf | Between | Like | Part, value: str, wanted: bool, engine: _Engine) -> str:
    """A comparison that may be NULL where the value is."""
    negated = "" if wanted else "NOT "
    if isinstance(atom, Compare):
        return f"{value} {atom.op if wanted else _OPPOSITE[atom.op]} {engine.literal(atom.const)}"
    if isinstance(atom, OneOf):
        literals = [engine.literal(const) for const in atom.consts]
        return f"{engine.member(value, kind_of(atom.value))} {negated}IN ({', '.join(literals)})"
    if isinstance(atom, Between):
        return f"{value} {negated}BETWEEN {engine.literal(atom.low)} AND {engine.literal(atom.high)}"
    if isinstance(atom, Like):
        pattern = engine.literal(Const("text", atom.pattern.lower() if atom.any_case else atom.pattern))
        return f"{engine.ascii_lower(value) if atom.any_case else value} {negated}LIKE {pattern}"
    found = engine.part(atom.how, value, engine.literal(Const("text", atom.text)))
    return found if wanted else f"NOT ({found})"


def _value(value: Value, engine: _Engine) -> str:
    if isinstance(value, Field):
        return _name(value.name)
    if isinstance(value, Const):
        return engine.literal(value, as_value=True)
    if isinstance(value, Coalesce):
        return f"coalesce({', '.join(_value(item, engine) for item in value.items)})"
    return _case(value, engine)


def _case(case: Case, engine: _Engine) -> str:
    whens = " ".join(f"WHEN {_true(condition, True, engine)} THEN {_value(value, engine)}" for condition, value in case.whens)
    return f"CASE {whens} ELSE {'NULL' if case.otherwise is None else _value(case.otherwise, engine)} END"


def _name(name: str) -> str:
    return f'"{name}"'

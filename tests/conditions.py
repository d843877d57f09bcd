"""Rows and conditions drawn at random, out of values on which engines are known to differ; and a long comparison by hand.

``python -m tests.conditions 700`` draws 700 tables of rows with conditions, and stops where the engines differ.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Any, get_args

import pyarrow as pa

from connectors import avro
from pipeline.rules.facts import Kind, kinds, nullable
from pipeline.rules.literals import END_US, LONG_MAX, LONG_MIN, time_text
from pipeline.rules.nodes import (
    HOWS,
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
)

FIELDS = (
    "tenant_id",
    "tool_name",
    "entity_path",
    "input_tokens",
    "sequence",
    "cost_usd",
    "duration_ms",
    "occurred_at",
    "observed_at",
)
LISTS = ("tools_offered", "processed_owners")
TEXTS = (
    *("", "a", "A", "b", "ab", "aB", "AB", "abc", "a%b", "a_b", "%", "_", "__", "a\\b", "\\", "\\n", "\n", "a\nb", "a b", " "),
    *(
        "it's",
        "''",
        '"',
        "é",
        "É",
        "e\u0301",
        "ß",
        "ẞ",
        "\u212a",
        "k",
        "K",
        "ſ",
        "s",
        "S",
        "İ",
        "i",
        "I",
        "ı",
        "😀",
        "a😀b",
        "a😀",
        "\U0010ffff",
    ),
    *(
        "{x}",
        "{x:String}",
        "%(x)s",
        "$1",
        "?",
        ":x",
        "x'; DROP TABLE events; --",
        "/*",
        "\t",
        "\x7f",
        "\x01",
        "[a]",
        ".*",
        "(",
        "^a$",
    ),
)
LONGS = (
    LONG_MIN,
    LONG_MIN + 1,
    -(2**53) - 1,
    -129,
    -1,
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**31,
    2**53,
    2**53 + 1,
    LONG_MAX - 1,
    LONG_MAX,
)
DOUBLES = (
    -0.0,
    0.0,
    0.1,
    0.30000000000000004,
    0.3,
    -1.5,
    1.0,
    1e16,
    2.0**53,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -1e300,
)
TIMES = (0, 1, 999_999, 1_767_225_600_000_000, 1_767_225_600_000_001, 1_774_746_000_000_000, END_US - 1)
POOLS: dict[str, tuple[Any, ...]] = {"text": TEXTS, "long": LONGS, "double": DOUBLES, "time": TIMES}
OPS = get_args(Op)
NULLS = 0.25


class Draw:
    """Random rows and conditions; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def rows(self, count: int) -> list[dict[str, Any]]:
        """Rows of the columns in FIELDS and LISTS; times as microseconds."""
        return [{name: self._cell(name) for name in FIELDS} | {name: self._texts() for name in LISTS} for _ in range(count)]

    def tree(self, depth: int = 3) -> Tree:
        """A condition, nested up to ``depth``."""
        kind = self._random.random()
        if depth and kind < 0.45:
            items = [self.tree(depth - 1) for _ in range(self._random.randint(2, 3))]
            joined = self._random.choice((And, Or))
            flat = [
                part
                for item in items
                for part in (item.items if isinstance(item, And | Or) and type(item) is joined else (item,))
            ]
            return joined(tuple(flat))
        if depth and kind < 0.65:
            return Not(self.tree(depth - 1))
        return self.atom(depth)

    def atom(self, depth: int = 0) -> Atom:
        """One comparison."""
        if self._random.random() < 0.1:
            return Has(Field(self._random.choice(LISTS)), self._text())
        field = self._random.choice(FIELDS)
        kind = kinds()[field]
        value = self._value(field, kind, depth)
        made = self._random.randrange(5 + 4 * (kind == "text"))
        if made == 0:
            return Distinct(value, self._const(kind))
        if made == 1:
            return OneOf(value, tuple(self._const(kind) for _ in range(self._random.randint(1, 7))))
        if made == 2:
            return Between(value, self._const(kind), self._const(kind))
        if made == 3:
            return IsNull(value)
        if made in (5, 6):
            any_case = made == 6
            return Like(value, self._pattern(any_case), any_case)
        if made > 6:
            return Part(self._random.choice(HOWS), value, self._text())
        return Compare(self._random.choice(OPS), value, self._const(kind))

    def _value(self, field: str, kind: Kind, depth: int) -> Value:
        made = self._random.random()
        if not depth or made < 0.7:
            return Field(field)
        if made < 0.85:
            others: list[Value] = [Field(name) for name in FIELDS if kinds()[name] == kind and name != field]
            last = self._random.choice([*others, self._const(kind)])
            return Coalesce((self._value(field, kind, depth - 1), last))
        whens = [(self.tree(depth - 1), self._result(field, kind, depth)) for _ in range(self._random.randint(1, 2))]
        return Case(tuple(whens), None if self._random.random() < 0.4 else self._result(field, kind, depth))

    def _result(self, field: str, kind: Kind, depth: int) -> Value:
        return self._const(kind) if self._random.random() < 0.4 else self._value(field, kind, depth - 1)

    def _const(self, kind: Kind) -> Const:
        if kind == "text":
            return Const(kind, self._text())
        return Const(kind, self._random.choice(POOLS[kind]) + (0.0 if kind == "double" else 0))

    def _pattern(self, any_case: bool) -> str:
        parts = ["%", "_", *(text for text in TEXTS if "\\" not in text and (text.isascii() or not any_case))]
        return "".join(self._random.choices(parts, k=self._random.randint(0, 4)))

    def _text(self) -> str:
        return "".join(self._random.choices(TEXTS, k=self._random.choice((0, 1, 1, 1, 2))))

    def _texts(self) -> list[str]:
        return [self._text() for _ in range(self._random.randint(0, 3))]

    def _cell(self, name: str) -> Any:
        kind = kinds()[name]
        if name in nullable() and self._random.random() < NULLS:
            return None
        return self._text() if kind == "text" else self._random.choice(POOLS[kind])


def text_of(tree: Tree, inside: int = 0) -> str:
    """The condition as people write it, without a parenthesis too many. ``inside``: how tightly what stands around it binds."""
    match tree:
        case Or(items) | And(items):
            level = 2 if isinstance(tree, And) else 1
            text = f" {'AND' if level == 2 else 'OR'} ".join(text_of(item, level) for item in items)
            return f"({text})" if inside > level else text
        case Not(item):
            return f"NOT {text_of(item, 3)}"
        case Compare(op, value, const):
            return f"{_said(value)} {op} {_said(const)}"
        case Distinct(value, const):
            return f"{_said(value)} IS DISTINCT FROM {_said(const)}"
        case OneOf(value, consts):
            return f"{_said(value)} IN ({', '.join(map(_said, consts))})"
        case Between(value, low, high):
            return f"{_said(value)} BETWEEN {_said(low)} AND {_said(high)}"
        case IsNull(value):
            return f"{_said(value)} IS NULL"
        case Like(value, pattern, any_case):
            return f"{_said(value)} {'ILIKE' if any_case else 'LIKE'} {_quoted(pattern)}"
        case Part(how, value, text):
            return f"{how}({_said(value)}, {_quoted(text)})"
        case Has(field, text):
            return f"has({field.name}, {_quoted(text)})"


def _said(value: Value) -> str:
    match value:
        case Field(name):
            return name
        case Const("text", text):
            return _quoted(str(text))
        case Const("time", microseconds):
            return f"TIMESTAMP '{time_text(int(microseconds)).replace(' ', 'T')}Z'"
        case Const(_, number):
            return repr(number)
        case Coalesce(items):
            return f"COALESCE({', '.join(map(_said, items))})"
        case Case(whens, otherwise):
            pairs = " ".join(f"WHEN {text_of(condition)} THEN {_said(result)}" for condition, result in whens)
            return f"CASE {pairs}{'' if otherwise is None else f' ELSE {_said(otherwise)}'} END"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """The rows in the processor's types."""
    schema = pa.schema([avro.event_arrow_schema().field(name) for name in (*FIELDS, *LISTS)])
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def main(tables: int) -> int:
    """Compare the engines over that many tables. Exit code 1: they differ, and the condition with its rows is printed."""
    from tests import condition_engines as engines

    started, pairs, matched = time.monotonic(), 0, 0
    with engines.ClickHouse() as clickhouse:
        for seed in range(tables):
            draw = Draw(seed)
            rows, trees = draw.rows(40), [draw.tree() for _ in range(25)]
            expected = engines.plain(trees, rows)
            for name, found in engines.answers(trees, rows, clickhouse).items():
                if found != expected:
                    sys.stdout.write(f"seed {seed}, {name}: {engines.difference(trees, rows, expected, found)}\n")
                    return 1
            pairs += len(rows) * len(trees)
            matched += sum(map(sum, expected))
    share = 100 * matched / pairs
    seconds = time.monotonic() - started
    sys.stdout.write(f"{pairs:,} pairs of row and condition, {share:.0f} % of them matches, no difference, {seconds:.0f} s\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 700))

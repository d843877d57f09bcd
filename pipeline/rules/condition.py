"""Conditions as people write them: SQL text → typed tree. Only this module and `tokens` need the SQL parser."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from pipeline.rules import literals, tokens
from pipeline.rules.facts import kinds, why_not
from pipeline.rules.nodes import (
    And,
    Between,
    Compare,
    Const,
    Distinct,
    Field,
    Has,
    How,
    IsNull,
    Like,
    Not,
    OneOf,
    Op,
    Or,
    Part,
    Tree,
    TreeError,
    Value,
    check_bounds,
    pattern_of,
)
from pipeline.rules.operands import Choice, Draft, Named, Raw, leaves, settle
from pipeline.rules.refused import Refused

_OPS: dict[type[Any], Op] = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_MIRRORED: dict[Op, Op] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_HOWS: dict[type[Any], How] = {exp.StartsWith: "starts_with", exp.EndsWith: "ends_with", exp.Contains: "contains"}
_SHAPES: dict[type[Any], tuple[str, ...]] = {
    exp.Column: ("this",),
    exp.In: ("this", "expressions"),
    exp.Between: ("this", "low", "high"),
    exp.Cast: ("this", "to"),
    exp.Coalesce: ("this", "expressions"),
    **dict.fromkeys((exp.Like, exp.ILike), ("this", "expression", "negate")),
    **dict.fromkeys((*_OPS, *_HOWS, exp.NullSafeEQ, exp.NullSafeNEQ, exp.And, exp.Or), ("this", "expression")),
}
_PREDICATES = (exp.Predicate, exp.Connector, exp.Not, exp.StartsWith, exp.EndsWith, exp.Contains)
_LANGUAGE = "docs/rules.md lists what a condition may consist of"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it was written, and what it means."""

    text: str
    tree: Tree


@lru_cache(maxsize=1024)  # a folder's conditions are read to be checked, and again to be stored
def parse(text: str) -> Condition:
    """The condition that ``text`` says. Raises `Refused`, with place and way out, for everything that the language lacks."""
    tokens.check(text)
    try:
        tree = _Parser(text).tree(sqlglot.parse_one(text))
    except ParseError as exc:
        raise _unreadable(text, exc) from None
    except RecursionError:
        raise Refused(text, 0, "nested too deep to be read here; split the rule") from None
    try:
        check_bounds(tree)
    except TreeError as exc:
        raise Refused(text, 0, str(exc)) from None
    return Condition(text, tree)


class _Parser:
    """Reads the parser's nodes; whatever a node holds beyond what is named here is refused."""

    def __init__(self, text: str) -> None:
        self._text = text

    def tree(self, node: Any) -> Tree:
        node = self._whole(node)
        if isinstance(node, exp.And | exp.Or):
            joined = And if isinstance(node, exp.And) else Or
            return joined(tuple(self.tree(part) for part in _flat(node, type(node))))
        if isinstance(node, exp.Not):
            return Not(self.tree(node.this))
        found = self._predicate(node)
        return Not(found) if node.args.get("negate") else found

    def _predicate(self, node: Any) -> Tree:  # noqa: PLR0911
        if type(node) in _OPS:
            return self._compare(node, _OPS[type(node)])
        if isinstance(node, exp.NullSafeEQ | exp.NullSafeNEQ):
            value, const = self._sides(node)
            return Distinct(value, const) if isinstance(node, exp.NullSafeNEQ) else Not(Distinct(value, const))
        if isinstance(node, exp.In):
            return OneOf(*self._against(node, node.expressions))
        if isinstance(node, exp.Between):
            value, (low, high) = self._against(node, [node.args["low"], node.args["high"]])
            return Between(value, low, high)
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return IsNull(settle(self._text, self._operand(node.this))[0])
        if type(node) in (exp.Like, exp.ILike):
            value, pattern = self._text_and(node, node.this, node.expression)
            return Like(value, self._pattern(node.expression, pattern, isinstance(node, exp.ILike)), isinstance(node, exp.ILike))
        if type(node) in _HOWS:
            return Part(_HOWS[type(node)], *self._text_and(node, node.this, node.expression))
        if isinstance(node, exp.Anonymous) and str(node.this).upper() == "HAS":
            return self._has(node)
        raise self._no_predicate(node)

    def _no_predicate(self, node: Any) -> Refused:
        if isinstance(node, exp.Column | exp.Case | exp.Coalesce | exp.Literal | exp.Neg | exp.Null):
            return self._refused(
                node, "is no condition by itself; compare it with a literal: = <> < <= > >= IN BETWEEN LIKE IS NULL"
            )
        return self._other(node)

    def _compare(self, node: Any, op: Op) -> Tree:
        turned = _is_literal(node.this) and not _is_literal(node.expression)
        value, const = self._sides(node)
        return Compare(_MIRRORED[op] if turned else op, value, const)

    def _sides(self, node: Any) -> tuple[Value, Const]:
        left, right = node.this, node.expression
        if _is_literal(left) and not _is_literal(right):
            left, right = right, left
        value, (const,) = self._against(node, [right], left)
        return value, const

    def _against(self, node: Any, others: list[Any], value: Any = None) -> tuple[Value, tuple[Const, ...]]:
        """The value of a comparison and the literals that it is compared with, all of one type."""
        if not others:
            raise self._refused(node, "nothing to compare with; write at least one literal in the list")
        drafts = [self._operand(node.this if value is None else value), *(self._operand(other) for other in others)]
        if isinstance(drafts[0], Raw):
            raise Refused(self._text, drafts[0].at, "a literal compared with literals; one side must be a field")
        for draft in drafts[1:]:
            if not isinstance(draft, Raw):
                raise Refused(self._text, draft.at, "comparisons are with literals only; write the value that is meant")
        settled = settle(self._text, *drafts)
        return settled[0], tuple(const for const in settled[1:] if isinstance(const, Const))

    def _text_and(self, node: Any, value: Any, text: Any) -> tuple[Value, str]:
        literal = _bare(text)
        if not (isinstance(literal, exp.Literal) and literal.is_string):
            raise self._refused(text, "write a text in single quotes here")
        operand = self._operand(value)
        if isinstance(operand, Raw):
            raise Refused(self._text, operand.at, "a literal compared with a literal; name a field")
        named = next((leaf for leaf in leaves(operand) if isinstance(leaf, Named)), None)
        if named is not None and named.kind not in ("text", "texts"):
            raise Refused(self._text, named.at, f"{named.field.name} is no text; compare it with < and >")
        settled, const = settle(self._text, operand, Raw(self._at(text), "text", literal.this))
        if not isinstance(const, Const) or const.kind != "text":
            raise self._refused(node, "only texts can be searched; compare numbers and times with < and >")
        return settled, str(const.value)

    def _pattern(self, node: Any, pattern: str, any_case: bool) -> str:
        try:
            return pattern_of(pattern, any_case)
        except TreeError as exc:
            raise self._refused(node, str(exc)) from None

    def _has(self, node: Any) -> Tree:
        if len(node.expressions) != 2:
            raise self._refused(node, "has() takes a field and a text: has(tools_offered, 'shell')")
        listed, item = self._operand(node.expressions[0]), self._operand(node.expressions[1])
        if not isinstance(listed, Named) or listed.kind != "texts":
            raise Refused(self._text, listed.at, "has() is for a field that is a list of texts; for a text write contains() or =")
        if not isinstance(item, Raw) or item.form != "text":
            raise Refused(self._text, item.at, "has() looks for a text; write it in single quotes")
        try:
            return Has(listed.field, literals.text_of(item.text))
        except ValueError as exc:
            raise Refused(self._text, item.at, str(exc)) from None

    def _operand(self, node: Any) -> Draft:
        node, at = self._whole(node), self._at(node)
        if isinstance(node, exp.Column):
            name = str(node.this.this)
            if name not in kinds():
                raise Refused(self._text, at, why_not(name))
            return Named(at, Field(name), kinds()[name])
        if isinstance(node, exp.Literal):
            return Raw(at, "text" if node.is_string else "number", str(node.this))
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
            return Raw(at, "number", f"-{node.this.this}")
        if isinstance(node, exp.Cast) and _is_time(node):
            return Raw(at, "time", str(node.this.this))
        if isinstance(node, exp.Coalesce):
            return self._coalesce(node, at)
        if isinstance(node, exp.Case):
            return self._case(node, at)
        if isinstance(node, exp.Null):
            raise Refused(
                self._text,
                tokens.null_at(self._text),
                "a comparison with NULL is never true; write IS NULL or IS NOT NULL, and leave it out elsewhere",
            )
        if isinstance(node, _PREDICATES):
            raise self._refused(node, "a condition stands where a field or a literal must; join conditions by AND, OR, NOT")
        raise self._other(node)

    def _coalesce(self, node: Any, at: int) -> Choice:
        items = tuple(map(self._operand, (node.this, *node.expressions)))
        if len(items) < 2:
            raise self._refused(node, "COALESCE takes two values or more: COALESCE(input_tokens, 0)")
        for item in items[:-1]:
            if isinstance(item, Raw):
                raise Refused(self._text, item.at, "what follows a literal in COALESCE never counts; put it last")
        return Choice(at, items, None)

    def _case(self, node: Any, at: int) -> Choice:
        whens = tuple(self._when(node.this, branch) for branch in node.args["ifs"])
        items = [self._operand(branch.args["true"]) for branch in node.args["ifs"]]
        if node.args.get("default") is not None:
            items.append(self._operand(node.args["default"]))
        return Choice(at, tuple(items), whens)

    def _when(self, subject: Any, branch: Any) -> Tree:
        if subject is None:
            return self.tree(branch.this)
        if not isinstance(_bare(subject), exp.Column):
            raise self._refused(subject, "CASE compares a field with each WHEN; for other things write CASE WHEN … = …")
        return self._compare(exp.EQ(this=subject, expression=branch.this), "=")

    def _other(self, node: Any) -> Refused:
        if isinstance(node, exp.Alias):
            return self._refused(node.args["alias"], f"an operator is missing before this; {_LANGUAGE}")
        if isinstance(node, exp.Anonymous):
            return self._refused(node, f"there is no function {node.this}(); {_LANGUAGE}")
        if isinstance(node, exp.Func):
            return self._refused(
                node, f"{node.key}() is calculated differently by each engine, so conditions lack it; {_LANGUAGE}"
            )
        if isinstance(node, exp.Binary | exp.Unary):
            return self._refused(node, f"engines calculate differently; compare the field itself; {_LANGUAGE}")
        return self._refused(node, f"this is no part of a condition; {_LANGUAGE}")

    def _whole(self, node: Any) -> Any:
        """The node without its parentheses; refused where it holds more than this module looks at."""
        node = _bare(node)
        allowed = _SHAPES.get(type(node), node.args)
        for name, value in node.args.items():
            if value and name not in allowed:
                raise self._refused(node, f"there is more here than a condition may say; {_LANGUAGE}")
        return node

    def _refused(self, node: Any, why: str) -> Refused:
        return Refused(self._text, self._at(node), why)

    def _at(self, node: Any) -> int:
        found = [part.meta["start"] for part in node.walk() if "start" in part.meta]
        return min(found, default=0)


def _bare(node: Any) -> Any:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _flat(node: Any, kind: type[Any]) -> list[Any]:
    """The parts of a chain in order, without recursion: chains may be as long as the text."""
    found, todo = [], [node]
    while todo:
        part = _bare(todo.pop())
        if type(part) is kind:
            todo += [part.expression, part.this]
        else:
            found.append(part)
    return found


def _is_literal(node: Any) -> bool:
    node = _bare(node)
    negative = isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal)
    return isinstance(node, exp.Literal | exp.Null) or negative or (isinstance(node, exp.Cast) and _is_time(node))


def _is_time(node: Any) -> bool:
    to = node.args["to"]
    plain = to.this == exp.DType.TIMESTAMP and not to.expressions
    return plain and isinstance(node.this, exp.Literal) and bool(node.this.is_string)


def _unreadable(text: str, exc: ParseError) -> Refused:
    """The parser counts columns to the end of a word, in a line."""
    first = exc.errors[0] if exc.errors else {}
    lines = text.split("\n")
    line, column, word = first.get("line") or 1, first.get("col") or 0, first.get("highlight") or ""
    at = sum(len(before) + 1 for before in lines[: line - 1]) + max(0, column - len(word))
    return Refused(
        text, at, f"this cannot be read as a condition; look for a missing operator, quote or parenthesis here; {_LANGUAGE}"
    )

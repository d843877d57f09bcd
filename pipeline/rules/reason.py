"""Whether a condition can match at all, and whether others match wherever it does. Says so only where it is certain.

A search over what each part asks of the fields, NULL included. Bounded: where it would take longer than `STEPS` the answer is no.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from pipeline.rules import kernels, sets
from pipeline.rules.facts import kinds, nullable
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
    Or,
    Part,
    Tree,
    Value,
    kind_of,
)
from pipeline.rules.sets import Spans

STEPS = 20_000
Wanted = Literal["true", "false", "not true", "not false"]
_CONTRARY: dict[Wanted, Wanted] = {"true": "false", "false": "true", "not true": "not false", "not false": "not true"}


def never(tree: Tree) -> bool:
    """Whether no clean event can match. False where that is not certain."""
    return not _possible([_Goal(tree, "true")])


def covered(tree: Tree | None, earlier: Sequence[Tree | None]) -> bool:
    """Whether each event that ``tree`` matches is matched by one of ``earlier``. None: a rule without a condition.

    False where that is not certain.
    """
    if None in earlier:
        return True
    goals = [_Goal(other, "not true") for other in earlier if other is not None]
    return not _possible([*([] if tree is None else [_Goal(tree, "true")]), *goals])


@dataclass(frozen=True, slots=True)
class _Goal:
    """A condition that shall come out so."""

    tree: Tree
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class _Need:
    """A value that shall be one of ``spans``, or NULL if ``null``; and ``search``, if any, shall be ``found`` in it."""

    value: Value
    spans: Spans
    null: bool
    search: Like | Part | Has | None = None
    found: bool = True


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple[_Wish, ...]


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple[_Wish, ...]


_Wish: TypeAlias = _Goal | _Need | _All | _Any


@dataclass(frozen=True, slots=True)
class _Known:
    """What is left of a field."""

    spans: Spans
    null: bool
    searches: tuple[tuple[Like | Part | Has, bool], ...] = ()


class _State:
    """What is left of every field that was asked about, and the choices that are still open."""

    def __init__(self, known: dict[str, _Known], choices: list[_Any]) -> None:
        self.known, self.choices = known, choices

    def with_(self, wishes: Sequence[_Wish]) -> tuple[_State | None, int]:
        """The state in which they hold as well, None where it is none; and the steps that it took."""
        state = _State(dict(self.known), list(self.choices))
        todo, steps = list(wishes), len(self.choices) // 16
        while todo:
            wish = todo.pop()
            steps += 1
            if isinstance(wish, _Goal):
                todo.append(_taken_apart(wish))
            elif isinstance(wish, _All):
                todo += wish.parts
            elif isinstance(wish, _Any):
                state.choices.append(wish)
            elif isinstance(wish.value, Field):
                steps += len(wish.spans.spans)
                if not state._narrow(wish.value.name, wish):
                    return None, steps
            else:
                todo.append(_inside(wish.value, wish))
        return state, steps

    def _narrow(self, name: str, need: _Need) -> bool:
        """Whether anything is left of the field."""
        before = self.known.get(name) or _Known(sets.everything(kinds()[name]), name in nullable())
        searches = before.searches
        if need.search is not None and (need.search, need.found) not in searches:
            if any(_excludes(other, need.search, need.found) for other in searches):
                return False
            searches = (*searches, (need.search, need.found))
        spans = before.spans & need.spans
        if searches and spans.kind == "text" and (values := spans.values()) is not None:
            spans = sets.one_of("text", frozenset(_fitting(values, searches)))
        self.known[name] = _Known(spans, before.null and need.null, searches)
        return bool(spans.spans) or self.known[name].null


def _possible(wishes: Sequence[_Wish]) -> bool:
    """Whether the wishes can all hold; True also where the search is given up."""
    first, steps = _State({}, []).with_(wishes)
    stack = [] if first is None else [first]
    while stack:
        state = stack.pop()
        if not state.choices:
            return True
        options: list[_State] = []
        for place, choice in enumerate(state.choices):
            rest = _State(state.known, state.choices[:place] + state.choices[place + 1 :])
            mine = []
            for part in choice.parts:
                following, cost = rest.with_([part])
                steps += cost
                if following is not None:
                    mine.append(following)
            if steps > STEPS:
                return True
            if place == 0 or len(mine) < len(options):
                options = mine
            if len(options) < 2:
                break
        stack += reversed(options)
    return False


def _taken_apart(goal: _Goal) -> _Wish:
    tree, wanted = goal.tree, goal.wanted
    if isinstance(tree, Not):
        return _Goal(tree.item, _CONTRARY[wanted])
    if isinstance(tree, And | Or):
        together = isinstance(tree, And) == (wanted in ("true", "not false"))
        parts = tuple(_Goal(item, wanted) for item in tree.items)
        return _All(parts) if together else _Any(parts)
    return _need(tree, wanted)


def _need(atom: Atom, wanted: Wanted) -> _Wish:
    if isinstance(atom, Has):
        return _Need(atom.field, sets.everything("texts"), False, atom, wanted in ("true", "not false"))
    kind = kind_of(atom.value)
    if isinstance(atom, IsNull | Distinct):  # never unknown
        yes = wanted in ("true", "not false")
        if isinstance(atom, IsNull):
            return _Need(atom.value, sets.nothing(kind) if yes else sets.everything(kind), yes)
        equal = sets.one_of(kind, frozenset({atom.const.value}))
        return _Need(atom.value, ~equal if yes else equal, yes)
    held, unknown_too = wanted in ("true", "not false"), wanted.startswith("not")
    search, spans = _searched(atom), _spans(atom)
    if search is None:
        return _Need(atom.value, spans if held else ~spans, unknown_too)
    known = _Need(atom.value, spans if held else sets.everything(kind), False, search, held)
    return _Any((_Need(atom.value, sets.nothing(kind), True), known)) if unknown_too else known


def _spans(atom: Atom) -> Spans:
    """The values for which it is true; of a search that spans cannot say, those for which it may be."""
    if isinstance(atom, Like | Part):
        return _begun(atom)
    if isinstance(atom, OneOf):
        return sets.one_of(kind_of(atom.value), frozenset(const.value for const in atom.consts))
    if isinstance(atom, Between):
        return sets.between(atom.low.kind, atom.low.value, atom.high.value)
    if isinstance(atom, Compare):
        return _compared(atom)
    raise TypeError(type(atom).__name__)


def _begun(atom: Like | Part) -> Spans:
    if isinstance(atom, Part):
        return sets.beginning(atom.text if atom.how == "starts_with" else "")
    literal = _literal_like(atom)
    if isinstance(literal, str):
        return sets.one_of("text", frozenset({literal}))
    if isinstance(literal, Part):
        return _begun(literal)
    return sets.beginning("" if atom.any_case else re.split("[%_]", atom.pattern)[0])


def _compared(atom: Compare) -> Spans:
    kind, value = atom.const.kind, atom.const.value
    equal = sets.one_of(kind, frozenset({value}))
    return {
        "=": lambda: equal,
        "<>": lambda: ~equal,
        "<=": lambda: sets.between(kind, None, value),
        ">=": lambda: sets.between(kind, value, None),
        "<": lambda: ~sets.between(kind, value, None),
        ">": lambda: ~sets.between(kind, None, value),
    }[atom.op]()


def _searched(atom: Atom) -> Like | Part | None:
    """The search that spans cannot say; one form for what is the same."""
    if isinstance(atom, Part):
        return None if atom.how == "starts_with" else atom
    if isinstance(atom, Like):
        literal = _literal_like(atom)
        return atom if literal is None else _searched(literal) if isinstance(literal, Part) else None
    return None


def _literal_like(atom: Like) -> Part | str | None:
    """A pattern with nothing but % at its ends, as what it says: a part, or the whole text."""
    inner = atom.pattern.strip("%")
    if atom.any_case or set(inner) & set("%_"):
        return None
    opened, closed = atom.pattern.startswith("%"), atom.pattern.endswith("%")
    if opened and closed:
        return Part("contains", atom.value, inner)
    if opened or closed:
        return Part("ends_with" if opened else "starts_with", atom.value, inner)
    return inner


def _inside(value: Value, need: _Need) -> _Wish:
    """What a need of a literal, a COALESCE or a CASE asks of what it is made of."""
    if isinstance(value, Const):
        return _All(()) if _meets(value, need) else _Any(())
    return _Any(tuple(_All(tuple(parts)) for parts in _ways(value, need)))


def _ways(value: Value, need: _Need) -> Iterator[list[_Wish]]:
    if isinstance(value, Coalesce):
        before: list[_Wish] = []
        for item in value.items[:-1]:
            yield [*before, _of(need, item, null=False)]
            before = [*before, _Goal(IsNull(item), "true")]
        yield [*before, _of(need, value.items[-1], null=need.null)]
    elif isinstance(value, Case):
        before = []
        for condition, result in value.whens:
            yield [*before, _Goal(condition, "true"), _of(need, result, null=need.null)]
            before = [*before, _Goal(condition, "not true")]
        if value.otherwise is not None:
            yield [*before, _of(need, value.otherwise, null=need.null)]
        elif need.null:
            yield before


def _of(need: _Need, value: Value, null: bool) -> _Need:
    """The same of another value."""
    search = need.search if need.search is None or isinstance(need.search, Has) else replace(need.search, value=value)
    return replace(need, value=value, null=null, search=search)


def _meets(const: Const, need: _Need) -> bool:
    fits = need.search is None or isinstance(need.search, Has) or bool(_fitting([const.value], [(need.search, need.found)]))
    return fits and bool((need.spans & sets.one_of(const.kind, frozenset({const.value}))).spans)


def _fitting(values: list[Any], searches: Sequence[tuple[Like | Part | Has, bool]]) -> list[Any]:
    """The texts for which all the searches come out so, by the processor's own comparison."""
    array = pa.array(values, pa.string())
    masks = [kernels.holds(search, array) == found for search, found in searches]
    return [value for value, *fits in zip(values, *masks, strict=True) if all(fits)]


def _excludes(known: tuple[Like | Part | Has, bool], search: Like | Part | Has, found: bool) -> bool:
    """Whether the one search coming out so keeps the other from it."""
    (other, was) = known
    if was == found:
        return False
    there, missing = (other, search) if was else (search, other)
    if there == missing:
        return True
    if not isinstance(there, Part) or not isinstance(missing, Part):
        return False
    return (
        missing.text in there.text
        if missing.how == "contains"
        else there.how == "ends_with" and there.text.endswith(missing.text)
    )

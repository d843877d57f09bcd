"""Whether a condition can match at all, and whether others match wherever it does. Says so only where it is certain.

A search over what each part asks of the fields, NULL included. Bounded: where it would take longer than `STEPS` the answer is no.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Literal, TypeAlias

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
    How,
    IsNull,
    Like,
    Not,
    OneOf,
    Or,
    Part,
    Tree,
    Value,
    kind_of,
    may_be_null,
)
from pipeline.rules.sets import Values

STEPS = 20_000
Wanted = Literal["true", "false", "not true", "not false"]
_CONTRARY: dict[Wanted, Wanted] = {"true": "false", "false": "true", "not true": "not false", "not false": "not true"}
_Search: TypeAlias = Like | Part | Has


class Meaning:
    """What a condition asks of the fields of an event, worked out once for many questions. None: a rule without a condition."""

    def __init__(self, tree: Tree | None) -> None:
        self._tree = tree

    @cached_property
    def _holds(self) -> _Wish:
        return _All(()) if self._tree is None else _wish(self._tree, "true")

    @cached_property
    def _fails(self) -> _Wish:
        return _Any(()) if self._tree is None else _wish(self._tree, "not true")

    def never(self) -> bool:
        """Whether no clean event can match. False where that is not certain."""
        return not _possible([self._holds])

    def covered(self, earlier: Sequence[Meaning]) -> bool:
        """Whether each event that it matches is matched by one of ``earlier``. False where that is not certain."""
        return not _possible([self._holds, *(other._fails for other in earlier)])


@dataclass(frozen=True)
class _Need:
    """A value that shall be one of ``values``, or NULL if ``null``; and ``search``, if any, shall be ``found`` in it."""

    value: Value
    values: Values
    null: bool
    search: _Search | None = None
    found: bool = True

    @cached_property
    def inside(self) -> _Wish:
        """What it asks of what the value is made of."""
        return _inside(self.value, self)


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple[_Wish, ...]


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple[_Wish, ...]


_Wish: TypeAlias = _Need | _All | _Any
_Verdict = Literal["met", "open", "impossible"]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is left of a field: ``values`` and perhaps NULL, in which these searches find something, those nothing."""

    values: Values
    null: bool
    there: frozenset[_Search] = frozenset()
    missing: frozenset[_Search] = frozenset()

    def narrowed(self, need: _Need) -> _Known | None:
        """With the need as well: itself where that says nothing new, None where nothing is left."""
        values = self.values if self.values <= need.values else self.values & need.values
        there, missing = self.there, self.missing
        if need.search is not None and values and not self._says(need.search, need.found):
            if self._says(need.search, not need.found):
                values = sets.nothing(values.kind)
            elif need.found:
                there = there | {need.search}
            else:
                missing = missing | {need.search}
        if values.only is not None and (there or missing):
            values = _fitting(values, [*((one, True) for one in there), *((one, False) for one in missing)])
            there = missing = frozenset()
        null = self.null and need.null
        if (values, null, there, missing) == (self.values, self.null, self.there, self.missing):
            return self
        return _Known(values, null, there, missing) if values or null else None

    def _says(self, search: _Search, found: bool) -> bool:
        """Whether the search comes out so by what is known of others."""
        if search in (self.there if found else self.missing):
            return True
        if not isinstance(search, Part):
            return False
        others = self.there if found else self.missing
        parts = (other for other in others if isinstance(other, Part))
        return any(_holds(other, search) if found else _holds(search, other) for other in parts)


class _TooLong(Exception):  # noqa: N818
    """The search takes more than `STEPS`."""


class _Steps:
    """What is left of them."""

    def __init__(self) -> None:
        self._left = STEPS

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _TooLong


class _State:
    """What is left of every field that was asked about, and the choices that are still open."""

    def __init__(self, steps: _Steps, known: Mapping[str, _Known], choices: Sequence[_Any]) -> None:
        self._steps, self._known, self.choices = steps, dict(known), list(choices)

    def with_(self, wish: _Wish) -> _State | None:
        """The state in which that holds as well; None where it is none."""
        state = _State(self._steps, self._known, self.choices)
        return state if state.take(wish) else None

    def take(self, wish: _Wish) -> bool:
        """Let it hold from here on; False where it cannot."""
        self._steps.take(1)
        if isinstance(wish, _Any):
            self.choices.append(wish)
            return True
        if isinstance(wish, _All):
            return all(map(self.take, wish.parts))
        if not isinstance(wish.value, Field):
            return self.take(wish.inside)
        self._steps.take(wish.values.size // 16)
        found = self._field(wish.value.name).narrowed(wish)
        if found is not None:
            self._known[wish.value.name] = found
        return found is not None

    def settle(self) -> bool:
        """Drop choices that are met and take those that have one way left; False where one has none."""
        settled = False
        while not settled:
            settled, pending, self.choices = True, self.choices, []
            for choice in pending:
                ways = self._ways(choice)
                if ways is None:
                    continue
                if len(ways) > 1:
                    self.choices.append(choice if len(ways) == len(choice.parts) else _Any(tuple(ways)))
                    continue
                settled = False
                if not ways or not self.take(ways[0]):
                    return False
        return True

    def has_example(self) -> bool:
        """Whether the first way that is open of each choice, one after the other, leads to an event."""
        state: _State | None = _State(self._steps, self._known, self.choices)
        while state is not None and state.choices:
            ways = state._ways(state.choices.pop())
            if ways is not None:
                state = next((found for way in ways if (found := state.with_(way)) is not None), None)
        return state is not None

    def _ways(self, choice: _Any) -> list[_Wish] | None:
        """Its parts that are possible here; None where one holds already."""
        ways = []
        for part in choice.parts:
            verdict = self._verdict(part)
            if verdict == "met":
                return None
            if verdict == "open":
                ways.append(part)
        return ways

    def _verdict(self, wish: _Wish) -> _Verdict:
        """Whether it holds in every event that is left, in some perhaps, or in none."""
        self._steps.take(1)
        if isinstance(wish, _Need):
            if not isinstance(wish.value, Field):
                return self._verdict(wish.inside)
            self._steps.take(wish.values.size // 16)
            before = self._field(wish.value.name)
            after = before.narrowed(wish)
            return "impossible" if after is None else "met" if after is before else "open"
        decides: _Verdict = "impossible" if isinstance(wish, _All) else "met"
        found: _Verdict = "met" if isinstance(wish, _All) else "impossible"
        for part in wish.parts:
            verdict = self._verdict(part)
            if verdict == decides:
                return decides
            found = found if verdict == found else "open"
        return found

    def _field(self, name: str) -> _Known:
        return self._known.get(name) or _untouched(name)


@cache
def _untouched(name: str) -> _Known:
    return _Known(sets.everything(kinds()[name]), name in nullable())


def _possible(wishes: Sequence[_Wish]) -> bool:
    """Whether the wishes can all hold; True also where the search is given up."""
    first = _State(_Steps(), {}, [])
    stack = [first]
    try:
        if not all(map(first.take, wishes)):
            return False
        while stack:
            state = stack.pop()
            if not state.settle():
                continue
            if state.has_example():
                return True
            choice = min(state.choices, key=lambda one: len(one.parts))
            state.choices.remove(choice)
            stack += [found for part in reversed(choice.parts) if (found := state.with_(part)) is not None]
    except _TooLong:
        return True
    return False


def _wish(tree: Tree, wanted: Wanted) -> _Wish:
    """What must hold where the condition is to come out so."""
    if isinstance(tree, Not):
        return _wish(tree.item, _CONTRARY[wanted])
    if isinstance(tree, And | Or):
        together = isinstance(tree, And) == (wanted in ("true", "not false"))
        parts = tuple(_wish(item, wanted) for item in tree.items)
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
    search, values = _searched(atom), _values(atom)
    if search is None:
        return _Need(atom.value, values if held else ~values, unknown_too)
    known = _Need(atom.value, values if held else sets.everything(kind), False, search, held)
    return _Any((_Need(atom.value, sets.nothing(kind), True), known)) if unknown_too and may_be_null(atom.value) else known


def _values(atom: Atom) -> Values:
    """The values for which it is true; of a search that they cannot say, those for which it may be."""
    if isinstance(atom, Like | Part):
        return _begun(atom)
    if isinstance(atom, OneOf):
        return sets.one_of(kind_of(atom.value), frozenset(const.value for const in atom.consts))
    if isinstance(atom, Between):
        return sets.between(atom.low.kind, atom.low.value, atom.high.value)
    if isinstance(atom, Compare):
        return _compared(atom)
    raise TypeError(type(atom).__name__)


def _begun(atom: Like | Part) -> Values:
    if isinstance(atom, Part):
        return sets.beginning(atom.text if atom.how == "starts_with" else "")
    literal = _literal_like(atom)
    if isinstance(literal, str):
        return sets.one_of("text", frozenset({literal}))
    if isinstance(literal, Part):
        return _begun(literal)
    return sets.beginning("" if atom.any_case else re.split("[%_]", atom.pattern)[0])


def _compared(atom: Compare) -> Values:
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
    """The search that values cannot say; one form for what is the same."""
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
            before = [*before, _wish(IsNull(item), "true")]
        yield [*before, _of(need, value.items[-1], null=need.null)]
    elif isinstance(value, Case):
        before = []
        for condition, result in value.whens:
            yield [*before, _wish(condition, "true"), _of(need, result, null=need.null)]
            before = [*before, _wish(condition, "not true")]
        if value.otherwise is not None:
            yield [*before, _of(need, value.otherwise, null=need.null)]
        elif need.null:
            yield before


def _of(need: _Need, value: Value, null: bool) -> _Need:
    """The same of another value."""
    search = need.search if need.search is None or isinstance(need.search, Has) else replace(need.search, value=value)
    return replace(need, value=value, null=null, search=search)


def _meets(const: Const, need: _Need) -> bool:
    value = sets.one_of(const.kind, frozenset({const.value})) & need.values
    return bool(value if need.search is None else _fitting(value, [(need.search, need.found)]))


def _fitting(values: Values, searches: Sequence[tuple[_Search, bool]]) -> Values:
    """The texts, out of a list, for which all the searches come out so."""
    left = list(values.only or ())
    for search, found in searches:
        left = [text for text, held in zip(left, _in_each(search, left), strict=True) if held == found]
    return values if len(left) == values.size else Values(values.kind, only=frozenset(left))


def _in_each(search: _Search, texts: list[str]) -> list[bool]:
    """Whether it finds something in each, by the processor's own comparison where that is more than one of texts."""
    if isinstance(search, Part):
        return [_finds(search.how, text, search.text) for text in texts]
    return list(kernels.holds(search, pa.array(texts, pa.string()))) if texts else []


def _finds(how: How, text: str, part: str) -> bool:
    return part in text if how == "contains" else text.endswith(part) if how == "ends_with" else text.startswith(part)


def _holds(there: Part, other: Part) -> bool:
    """Whether a text that has the one has the other."""
    return _finds(other.how, there.text, other.text) if other.how in ("contains", there.how) else False

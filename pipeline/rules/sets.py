"""Sets of values of one kind: what comparisons leave of a field. Listed where they can be, else spans between cuts."""

from __future__ import annotations

import sys
from bisect import bisect
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.rules.facts import Kind
from pipeline.rules.literals import END_US, LONG_MAX, LONG_MIN

Cut = tuple[Any, ...]
"""A place between values: (1, v, 0) is just before v, (1, v, 1) just after it; (0,) is before and (2,) behind all."""

Span = tuple[Cut, Cut]
_LAST_CHARACTER = 0x10FFFF
_TEXTS: Span = ((1, "", 0), (2,))
_ENDS: dict[str, Span] = {
    "long": ((1, LONG_MIN, 0), (1, LONG_MAX + 1, 0)),
    "time": ((1, 0, 0), (1, END_US, 0)),
    "double": ((1, -sys.float_info.max, 0), (1, sys.float_info.max, 1)),
}


@dataclass(frozen=True, eq=False)
class Values:
    """Values of a kind: ``only`` these, or all ``but`` these, or, where both are None, those of ``between``, all from the one cut
    of a span to the other, in order and apart. NULL is in none.
    """

    kind: Kind
    only: frozenset[Any] | None = None
    but: frozenset[Any] | None = None
    between: tuple[Span, ...] = ()

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The same as spans."""
        if self.only is not None:
            return tuple(((1, value, 0), _after(self.kind, value)) for value in sorted(self.only))
        if self.but is not None:
            return _rest(self.kind, Values(self.kind, only=self.but).spans)
        return self.between

    @property
    def size(self) -> int:
        """How much there is to look at."""
        return len(self.between if self.only is None and self.but is None else self.only or self.but or ())

    def __bool__(self) -> bool:
        return bool(self.but is not None or self.only or self.between)

    def __contains__(self, value: Any) -> bool:
        if self.only is not None:
            return value in self.only
        if self.but is not None:
            return value not in self.but
        place = bisect(self.between, ((1, value, 0), (3,))) - 1
        return place >= 0 and (1, value, 0) < self.between[place][1]

    def __and__(self, other: Values) -> Values:
        if self.only is not None:
            return Values(self.kind, only=_common(self.only, other))
        if other.only is not None:
            return Values(self.kind, only=_common(other.only, self))
        if self.but is not None and other.but is not None:
            return Values(self.kind, but=self.but | other.but)
        found: list[Span] = []
        mine, theirs = 0, 0
        while mine < len(self.spans) and theirs < len(other.spans):
            (low, high), (below, above) = self.spans[mine], other.spans[theirs]
            if max(low, below) < min(high, above):
                found.append((max(low, below), min(high, above)))
            mine, theirs = (mine + 1, theirs) if high <= above else (mine, theirs + 1)
        return _made(self.kind, tuple(found))

    def __invert__(self) -> Values:
        if self.only is not None:
            return Values(self.kind, but=self.only)
        if self.but is not None:
            return Values(self.kind, only=self.but)
        return _made(self.kind, _rest(self.kind, self.between))

    def __le__(self, other: Values) -> bool:
        """Whether the other has them all. False also where that takes longer to see."""
        if self.only is not None:
            return len(_common(self.only, other)) == len(self.only)
        if other.but is not None:
            return other.but <= self.but if self.but is not None else not any(value in self for value in other.but)
        return other.only is None and (self & other).spans == self.spans


def everything(kind: Kind) -> Values:
    """All values that a clean event can hold."""
    return Values(kind, but=frozenset())


def nothing(kind: Kind) -> Values:
    """No value."""
    return Values(kind, only=frozenset())


def one_of(kind: Kind, values: frozenset[Any]) -> Values:
    """These values."""
    low, high = _ENDS.get(kind, _TEXTS)
    return Values(kind, only=frozenset(value for value in values if low <= (1, value, 0) < high))


def between(kind: Kind, low: Any, high: Any) -> Values:
    """From ``low`` to ``high``, both included; None for no end on that side."""
    start, end = (0,) if low is None else (1, low, 0), (2,) if high is None else _after(kind, high)
    return Values(kind, between=((start, end),)) & everything(kind) if start < end else nothing(kind)


def beginning(prefix: str) -> Values:
    """The texts that begin so."""
    stem = prefix.rstrip(chr(_LAST_CHARACTER))
    if not stem:
        return between("text", prefix, None)
    following = ord(stem[-1]) + 1
    end = (1, stem[:-1] + chr(0xE000 if following == 0xD800 else following), 0)  # surrogates are no characters
    return Values("text", between=(((1, prefix, 0), end),))


def _made(kind: Kind, spans: tuple[Span, ...]) -> Values:
    """Listed, where they are single values or all there are."""
    if spans == (_ENDS.get(kind, _TEXTS),):
        return everything(kind)
    single = all(len(low) == 3 and low[2] == 0 and high == _after(kind, low[1]) for low, high in spans)
    return Values(kind, only=frozenset(low[1] for low, _ in spans)) if single else Values(kind, between=spans)


def _common(values: frozenset[Any], others: Values) -> frozenset[Any]:
    if others.only is not None:
        return values & others.only
    return values - others.but if others.but is not None else frozenset(value for value in values if value in others)


def _rest(kind: Kind, spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """All that is not in these."""
    cuts = [cut for span in spans for cut in span]
    (low, high) = _ENDS.get(kind, _TEXTS)
    pairs = zip([low, *cuts[1::2]], [*cuts[0::2], high], strict=True)
    return tuple((start, end) for start, end in pairs if start < end)


def _after(kind: Kind, value: Any) -> Cut:
    return (1, value + 1, 0) if kind in ("long", "time") else (1, value, 1)

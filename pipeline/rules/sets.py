"""Sets of values of one kind, as spans between cuts: what comparisons with literals leave of a field."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from pipeline.rules.facts import Kind
from pipeline.rules.literals import END_US, LONG_MAX, LONG_MIN

Cut = tuple[Any, ...]
"""A place between values: (1, v, 0) is just before v, (1, v, 1) just after it; (0,) is before and (2,) behind all."""

Span = tuple[Cut, Cut]
_LAST_CHARACTER = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Spans:
    """Values of a kind: all between the two cuts of a span, in order and apart. NULL is in none."""

    kind: Kind
    spans: tuple[Span, ...]

    def __and__(self, other: Spans) -> Spans:
        found: list[Span] = []
        mine, theirs = 0, 0
        while mine < len(self.spans) and theirs < len(other.spans):
            (low, high), (below, above) = self.spans[mine], other.spans[theirs]
            if max(low, below) < min(high, above):
                found.append((max(low, below), min(high, above)))
            mine, theirs = (mine + 1, theirs) if high <= above else (mine, theirs + 1)
        return Spans(self.kind, tuple(found))

    def __invert__(self) -> Spans:
        cuts = [cut for span in self.spans for cut in span]
        (low, high) = everything(self.kind).spans[0]
        pairs = zip([low, *cuts[1::2]], [*cuts[0::2], high], strict=True)
        return Spans(self.kind, tuple((start, end) for start, end in pairs if start < end))

    def values(self) -> list[Any] | None:
        """The values, where they can be counted one by one; else None."""
        single = all(len(low) == 3 and low[2] == 0 and high == _after(self.kind, low[1]) for low, high in self.spans)
        return [low[1] for low, _ in self.spans] if single else None


def everything(kind: Kind) -> Spans:
    """All values that a clean event can hold."""
    ends: dict[str, Span] = {
        "long": ((1, LONG_MIN, 0), (1, LONG_MAX + 1, 0)),
        "time": ((1, 0, 0), (1, END_US, 0)),
        "double": ((1, -sys.float_info.max, 0), (1, sys.float_info.max, 1)),
    }
    return Spans(kind, (ends.get(kind, ((1, "", 0), (2,))),))


def nothing(kind: Kind) -> Spans:
    """No value."""
    return Spans(kind, ())


def one_of(kind: Kind, values: frozenset[Any]) -> Spans:
    """These values."""
    return Spans(kind, tuple(((1, value, 0), _after(kind, value)) for value in sorted(values))) & everything(kind)


def between(kind: Kind, low: Any, high: Any) -> Spans:
    """From ``low`` to ``high``, both included; None for no end on that side."""
    start, end = (0,) if low is None else (1, low, 0), (2,) if high is None else _after(kind, high)
    return (Spans(kind, ((start, end),)) if start < end else nothing(kind)) & everything(kind)


def beginning(prefix: str) -> Spans:
    """The texts that begin so."""
    stem = prefix.rstrip(chr(_LAST_CHARACTER))
    if not stem:
        return between("text", prefix, None)
    following = ord(stem[-1]) + 1
    end = (1, stem[:-1] + chr(0xE000 if following == 0xD800 else following), 0)  # surrogates are no characters
    return Spans("text", (((1, prefix, 0), end),))


def _after(kind: Kind, value: Any) -> Cut:
    return (1, value + 1, 0) if kind in ("long", "time") else (1, value, 1)

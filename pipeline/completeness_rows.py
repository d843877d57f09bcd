"""Rows of the stores as what `pipeline.completeness` judges. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline.completeness import BEGINNING, Gap, Key, Seen
from pipeline.numbers import Range, swept


@dataclass
class Gathered:
    """Edges of intervals as `Seen`, one a producer epoch."""

    edges: dict[Key, dict[str, list[Range]]] = field(default_factory=dict)

    def add(self, producer: str, epoch: int, kind: str, number: int, step: int) -> None:
        """``step``: how many more intervals begin at ``number`` than end right before it; only sums that are not 0 matter.

        ``kind``: as in the table, or ``late`` for what is stored after the pipeline's moment.
        """
        self.edges.setdefault((producer, epoch), {}).setdefault(kind, []).append((number, step))

    def seen(self, others: Iterable[Key] = ()) -> list[Seen]:
        """In order; ``others``: producers that are known from elsewhere."""
        return [_seen(key, self.edges.get(key, {})) for key in sorted({*self.edges, *others})]


def _seen(key: Key, kinds: Mapping[str, list[Range]]) -> Seen:
    def of(kind: str) -> list[Range]:
        return swept(kinds.get(kind, ()))

    return Seen(*key, of("stored"), of("late"), of("quarantined"), of("duplicate"), of("conflict"))


@dataclass(frozen=True)
class Count:
    """Heartbeats that said the same number of dropped events: the first and the last of them, and times between which they lie.

    ``earliest``: of the last one, by the clock that is behind; ``latest``: of the first one, by the clock that is ahead.
    """

    dropped: int
    first: int
    last: int
    earliest: int
    latest: int


def drops(counts: Sequence[Count]) -> list[Gap]:
    """Of one producer epoch, ordered by ``dropped``: a gap wherever the number rose. A number that fell is dated by nobody."""
    begin = Count(0, -1, -1, BEGINNING, BEGINNING)
    found = []
    for one, other in pairwise([begin, *counts]):
        count = other.dropped - one.dropped
        if count > 0 and one.last < other.first:
            found.append(Gap("dropped", one.last + 1, other.first, one.earliest, other.latest, dropped=count))
        elif count > 0:
            found.append(Gap("dropped", 0, max(one.last, other.last), dropped=count))
    return found

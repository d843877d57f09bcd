"""The events just before and just behind a stretch of a partition: the transactions between theirs lie wholly inside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt

from connectors import positions
from pipeline.fsck.sources import Pieces

Source = Callable[[int, int], Pieces]
"""Pieces of one place between two offsets."""
Neighbours = tuple[int | None, int | None]
"""Raw offsets of the events just before and just behind a stretch; None: there is none."""
STEP = 500


def neighbours(topic: Source, stores: Sequence[Source], stretch: tuple[int, int], log: tuple[int, int]) -> Neighbours:
    """``stretch``: positions, the second not in it; ``log``: where the topic begins and ends. What it has no longer the stores
    are asked for; of two answers the one that leaves less inside counts, so that a store which has lost events accuses nobody
    wrongly.
    """
    (since, until), (low, end) = stretch, log
    before = last_before(topic, low, min(since, end)) if since > low else None
    if before is None:
        found = [last_before(store, 0, min(since, low)) for store in stores]
        before = max((raw for raw in found if raw is not None), default=None)
    found = [first_behind(store, until, low) for store in stores]
    behind = min((raw for raw in found if raw is not None), default=None)
    return before, first_behind(topic, max(until, low), end) if behind is None else behind


def last_before(source: Source, low: int, since: int) -> int | None:
    """Raw offset of the last event at ``low <= offset < since``; None: there is none."""
    end, step = since, STEP
    while end > low:
        start = max(low, end - step)
        if len(raw := _raw(source, start, end)):
            return int(raw[-1])
        end, step = start, step * 8
    return None


def first_behind(source: Source, until: int, end: int) -> int | None:
    """Raw offset of the first event at ``until <= offset < end``; None: there is none."""
    start, step = until, STEP
    while start < end:
        stop = min(end, start + step)
        if len(raw := _raw(source, start, stop)):
            return int(raw[0])
        start, step = stop, step * 8
    return None


def _raw(source: Source, start: int, end: int) -> npt.NDArray[np.int64]:
    """Raw offsets of the events there, in order; events that name none are nobody's neighbours."""
    with closing(source(start, end)) as pieces:
        found: npt.NDArray[np.int64] = positions.joined([piece for _, piece in pieces])["raw"]
    return found[found >= 0]

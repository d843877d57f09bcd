"""What was stored before: the state of one partition, and which events of a batch are duplicates, conflicts or new.

- The same identity (tenant, event id) with the same content inside the window: a duplicate, suppressed and counted.
- The same identity with other content: a conflict, stored and flagged.
- An identity outside the window whose producer sequence was stored before the window: a duplicate, for ever.
- An unknown identity whose sequence was stored inside the window: somebody else's clone, a conflict, stored and flagged.

`State.judge` changes nothing. `State.remember` takes a committed ledger record, live and in a rebuild alike, so the state is
always that of the ledger. The window counts steps of five minutes of the broker's append time: entries leave it between W hours
and five minutes more, or earlier, oldest steps first, where more identities would be held than allowed.
A loss by colliding hashes needs both 64-bit hashes of an event to collide.
"""

from __future__ import annotations

import mmap
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.prints import Hashes, Mask, Prints, Producer, interval, repeated, repeated_sequences

HOUR_US = 3_600_000_000
STEP_US = 300_000_000
STEPS = HOUR_US // STEP_US  # an hour
NEVER = -(2**40)
OWN_PAGES = 1 << 18  # bytes from which a column is mapped apart


@dataclass(frozen=True)
class Verdict:
    """Masks over the rows. ``kept`` is stored (conflicts included), the rest are duplicates."""

    kept: Mask
    conflicts: Mask


class Intervals:
    """Disjoint, merged intervals of integers, ends included."""

    __slots__ = ("ends", "starts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        for first, last in pairs:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add ``first … last``, merging what touches."""
        low = bisect_left(self.ends, first - 1)
        high = bisect_right(self.starts, last + 1)
        if low < high:
            first, last = min(first, self.starts[low]), max(last, self.ends[high - 1])
        self.starts[low:high] = [first]
        self.ends[low:high] = [last]

    def holds(self, values: npt.NDArray[np.int64]) -> Mask:
        """Which of the values lie in an interval."""
        if not self.starts:
            return np.zeros(len(values), np.bool_)
        at = np.searchsorted(np.array(self.starts, np.int64), values, "right") - 1
        return (at >= 0) & (values <= np.array(self.ends, np.int64)[np.maximum(at, 0)])

    def pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.starts, self.ends, strict=True))


@dataclass
class _History:
    """Sequences of one producer epoch: before the window, and inside it; ``top`` is the highest seen.

    ``recent``: step, first, last, step, first, last … in the order of the ledger; a producer is heard in hundreds of steps a day.
    """

    old: Intervals = field(default_factory=Intervals)
    recent: array[int] = field(default_factory=lambda: array("q"))
    top: int = -(2**63)

    def add(self, step: int, first: int, last: int) -> None:
        recent = self.recent
        if recent and recent[-3] == step and recent[-2] <= first <= recent[-1] + 1:
            recent[-1] = max(last, recent[-1])
        else:
            recent.extend((step, first, last))
        self.top = max(self.top, last)

    def steps(self) -> npt.NDArray[np.int64]:
        """The recent ones as rows of step, first, last."""
        return np.array(self.recent, np.int64).reshape(-1, 3)

    def expire(self, horizon: int) -> None:
        """What is before the step ``horizon`` is old from now on."""
        if not self.recent or self.recent[0] >= horizon:
            return
        gone = int(np.searchsorted(self.steps()[:, 0], horizon))
        for first, last in _merged(self.steps()[:gone, 1:]):
            self.old.add(first, last)
        self.recent = self.recent[3 * gone :]


@dataclass(frozen=True)
class _Segment:
    """Identities in hash order with their contents and steps (20 bytes each)."""

    ids: Hashes
    contents: Hashes
    steps: npt.NDArray[np.int32]

    def since(self, step: int) -> _Segment:
        """Without what is older."""
        kept = np.flatnonzero(self.steps >= step)
        if len(kept) == len(self.steps):
            return self
        return _Segment(_taken(self.ids, kept), _taken(self.contents, kept), _taken(self.steps, kept))


class State:
    """What one partition has stored, up to input offset ``next``. Not thread-safe: one lane at a time.

    ``most``: identities held at most, but never less than those of the current five minutes.
    """

    def __init__(self, window_hours: int, most: int | None = None) -> None:
        self.window_hours, self.most = window_hours, most
        self._now = -(2**31)
        self.next: int | None = None
        self.resolved: set[int] = set()
        self._floor = NEVER  # steps before it were dropped for want of room
        self._of_step: dict[int, int] = {}  # identities, by step of the window
        self._segments: list[_Segment] = []
        self._histories: dict[Producer, _History] = defaultdict(_History)

    def _horizon(self, step: int) -> int:
        """The first step of the window that ends with ``step``."""
        return max(step - self.window_hours * STEPS, self._floor)

    @property
    def reach(self) -> float:
        """Hours that the window reaches back now: ``window_hours``, or less for want of room."""
        return (self._now - self._horizon(self._now)) / STEPS

    # judging

    def judge(self, seen: Prints, at_us: int) -> Verdict:
        """What the rows are, in their order, at append time ``at_us`` (µs since 1970, UTC)."""
        horizon = self._horizon(max(self._now, step_of(at_us)))
        found, exact = self._lookup(seen, horizon)
        old, recent = self._known_sequences(seen, horizon)
        duplicates = exact | (~found & old)
        conflicts = ~duplicates & (found | recent)
        for row, duplicate, conflict in _within(seen, found, exact, old, recent):
            duplicates[row], conflicts[row] = duplicate, conflict
        return Verdict(~duplicates, conflicts)

    def _lookup(self, seen: Prints, horizon: int) -> tuple[Mask, Mask]:
        found = np.zeros(len(seen), np.bool_)
        exact = np.zeros(len(seen), np.bool_)
        order = np.argsort(seen.ids)
        ids, contents = seen.ids[order], seen.contents[order]
        for segment in self._segments:
            at = np.searchsorted(segment.ids, ids)
            rows = np.arange(len(ids))
            while len(rows):
                inside = at < len(segment.ids)
                rows, at = rows[inside], at[inside]
                same = segment.ids[at] == ids[rows]
                rows, at = rows[same], at[same]
                fresh = segment.steps[at] >= horizon
                found[order[rows[fresh]]] = True
                exact[order[rows[fresh & (segment.contents[at] == contents[rows])]]] = True
                at = at + 1
        return found, exact

    def _known_sequences(self, seen: Prints, horizon: int) -> tuple[Mask, Mask]:
        old = np.zeros(len(seen), np.bool_)
        recent = np.zeros(len(seen), np.bool_)
        for producer, rows in seen.by_producer():
            history = self._histories.get(producer)
            values = seen.sequences[rows]
            if history is None or values.min() > history.top:
                continue  # the rule: sequences only grow
            steps = history.steps()
            inside = steps[:, 0] >= horizon
            recent[rows] |= _covered(steps[inside, 1:], values)
            old[rows] |= history.old.holds(values) | _covered(steps[~inside, 1:], values)
        return old, recent

    # remembering

    def remember(self, record: dict[str, Any]) -> None:
        """Take in one committed ledger record; records must come in order. A snapshot in it is not needed and not read."""
        before, self._now = self._now, max(self._now, step_of(record["max_timestamp"]))
        self.resolved.update(record["resolved"])
        pairs = np.frombuffer(record["identities"], "<u8").reshape(-1, 2)
        if len(pairs):
            self._append(pairs[:, 0], pairs[:, 1], self._now)
            self._of_step[self._now] = self._of_step.get(self._now, 0) + len(pairs)
        for item in record["sequences"]:
            self._histories[_producer(item)].add(self._now, item["first"], item["last"])
        if self._make_room() or self._now > before:
            self._expire()
        self.next = record["end_offset"]  # last: where memory runs out before, the state no longer fits the offset and is rebuilt

    def _make_room(self) -> bool:
        """Shorten the window where it holds too many; by the ledger's counts alone, so that a rebuild does the same."""
        before = self._floor
        self._of_step = {step: count for step, count in self._of_step.items() if step >= self._horizon(self._now)}
        while self.most is not None and len(self._of_step) > 1 and sum(self._of_step.values()) > self.most:
            self._floor = min(self._of_step) + 1
            del self._of_step[self._floor - 1]
        return self._floor > before

    def restart_from(self, record: dict[str, Any]) -> None:
        """Begin at a record with a snapshot that is older than the window: all it lists is before the window."""
        self._now = max(self._now, step_of(record["max_timestamp"]))
        self.next = record["end_offset"]
        self.resolved.update(record["resolved_before"])
        for item in record["snapshot"]:
            history = self._histories[_producer(item)]
            history.old.add(item["first"], item["last"])
            history.top = max(history.top, item["last"])

    def _append(self, ids: Hashes, contents: Hashes, step: int) -> None:
        order = np.argsort(ids)
        segments = [*self._segments, _Segment(ids[order], contents[order], np.full(len(ids), step, np.int32))]
        while len(segments) > 1 and len(segments[-2].ids) < 2 * len(segments[-1].ids):
            last, before = segments.pop(), segments.pop()
            segments.append(self._merged(before, last))
        self._segments = segments

    def _merged(self, one: _Segment, other: _Segment) -> _Segment:
        """Both, without what has left the window. Column by column: all at once would take four times what is held."""
        order = np.argsort(_joined(one.ids, other.ids), kind="stable")
        inside = _joined(one.steps, other.steps) >= self._horizon(self._now)
        if not inside.all():
            order = order[inside[order]]
        return _Segment(
            _taken(_joined(one.ids, other.ids), order),
            _taken(_joined(one.contents, other.contents), order),
            _taken(_joined(one.steps, other.steps), order),
        )

    def _expire(self) -> None:
        horizon = self._horizon(self._now)
        self._segments = [s for s in self._segments if len(s.steps) and s.steps.max() >= horizon]
        if self._floor == horizon:  # there is no room: do not wait for the next merge
            self._segments = [s.since(horizon) for s in self._segments]
        for history in self._histories.values():
            history.expire(horizon)

    # looking

    def snapshot(self) -> list[dict[str, Any]]:
        """Every sequence interval stored so far, as the ledger writes it."""
        listed = []
        for producer, history in sorted(self._histories.items()):
            everything = np.concatenate([np.array(history.old.pairs(), np.int64).reshape(-1, 2), history.steps()[:, 1:]])
            listed += [interval(producer, first, last) for first, last in _merged(everything)]
        return listed

    def content(self) -> tuple[Any, ...]:
        """All that matters of the state, in a form that compares: equal contents judge equally."""
        horizon = self._horizon(self._now)
        rows = sorted(
            (int(i), int(c), int(h))
            for s in self._segments
            for i, c, h in zip(s.ids, s.contents, s.steps, strict=True)
            if h >= horizon
        )
        histories = {
            producer: (history.old.pairs(), {step: _merged(steps[steps[:, 0] == step, 1:]) for step in set(steps[:, 0].tolist())})
            for producer, history in sorted(self._histories.items())
            for steps in [history.steps()]
        }
        return self._now, self.next, sorted(self.resolved), rows, histories

    def nbytes(self) -> int:
        """Bytes of the identities held."""
        return sum(s.ids.nbytes + s.contents.nbytes + s.steps.nbytes for s in self._segments)

    def __len__(self) -> int:
        """Identities held."""
        return sum(len(s.ids) for s in self._segments)


def _covered(pairs: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> Mask:
    """Which of the values lie in an interval; the intervals may overlap, ends included."""
    if not len(pairs):
        return np.zeros(len(values), np.bool_)
    ordered = pairs[np.argsort(pairs[:, 0])]
    at = np.searchsorted(ordered[:, 0], values, "right") - 1
    return (at >= 0) & (values <= np.maximum.accumulate(ordered[:, 1])[np.maximum(at, 0)])


def _merged(pairs: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """The intervals in order, with those that overlap or touch made one."""
    if not len(pairs):
        return []
    ordered = pairs[np.argsort(pairs[:, 0])]
    firsts, lasts = ordered[:, 0], np.maximum.accumulate(ordered[:, 1])
    apart = (firsts[1:] > lasts[:-1]) & (firsts[1:] - lasts[:-1] != 1)  # a difference over 2^63 wraps, to anything but 1
    begins, ends = np.flatnonzero(np.append(True, apart)), np.flatnonzero(np.append(apart, True))
    return list(zip(firsts[begins].tolist(), lasts[ends].tolist(), strict=True))


def _column(length: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Room for a column. A large one has pages of its own, which go back when it goes: in the heap it would leave a hole."""
    size = length * dtype.itemsize
    return (
        np.empty(length, dtype)
        if size < OWN_PAGES
        else np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype)
    )


def _joined(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([one, other], out=_column(len(one) + len(other), one.dtype))


def _taken(values: npt.NDArray[Any], order: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    # numpy copies ``out`` once more unless told what to do with an index that is too large; there is none
    return np.take(values, order, out=_column(len(order), values.dtype), mode="clip")


def _within(seen: Prints, found: Mask, exact: Mask, old: Mask, recent: Mask) -> Iterable[tuple[int, bool, bool]]:
    """Rows that share an identity or a sequence with another row of the batch, judged in order: (row, duplicate, conflict)."""
    suspects = np.union1d(repeated(seen.ids, np.arange(len(seen))), repeated_sequences(seen))
    contents: dict[int, set[int]] = {}
    numbers: set[tuple[int, int]] = set()
    for row in suspects.tolist():
        identity, content = int(seen.ids[row]), int(seen.contents[row])
        number = (int(seen.groups[row]), int(seen.sequences[row]))
        known = bool(found[row]) or identity in contents
        duplicate = bool(exact[row]) or content in contents.get(identity, ()) or (not known and bool(old[row]))
        conflict = not duplicate and (known or bool(recent[row]) or (number[0] >= 0 and number in numbers))
        if not duplicate:
            contents.setdefault(identity, set()).add(content)
            numbers.add(number)
        yield row, duplicate, conflict


def _producer(item: dict[str, Any]) -> Producer:
    return item["tenant_id"], item["producer_id"], item["producer_epoch"]


def step_of(microseconds: int) -> int:
    """Whole steps of five minutes since 1970."""
    return microseconds // STEP_US

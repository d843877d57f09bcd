"""What was stored before: the state of one partition, and which events of a batch are duplicates, conflicts or new.

- The same identity (tenant, event id) with the same content inside the window: a duplicate, suppressed and counted.
- The same identity with other content: a conflict, stored and flagged.
- An identity outside the window whose producer sequence was stored before the window: a duplicate, for ever.
- An unknown identity whose sequence was stored inside the window: somebody else's clone, a conflict, stored and flagged.

`State.judge` changes nothing. `State.remember` takes a committed ledger record, live and in a rebuild alike, so the state is
always that of the ledger. The window counts whole hours of the broker's append time: entries leave it between W and W + 1 hours,
or earlier, oldest hours first, where more identities would be held than allowed.
A loss by colliding hashes needs both 64-bit hashes of an event to collide.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.prints import Hashes, Mask, Prints, Producer, interval, repeated, repeated_sequences

HOUR_US = 3_600_000_000
NEVER = -(2**40)


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
    """Sequences of one producer epoch: before the window, and inside it by hour; ``top`` is the highest seen."""

    old: Intervals = field(default_factory=Intervals)
    recent: dict[int, Intervals] = field(default_factory=dict)
    top: int = -(2**63)


@dataclass(frozen=True)
class _Segment:
    """Identities in hash order with their contents and hours (20 bytes each)."""

    ids: Hashes
    contents: Hashes
    hours: npt.NDArray[np.int32]

    def since(self, hour: int) -> _Segment:
        """Without what is older."""
        kept = self.hours >= hour
        return self if kept.all() else _Segment(self.ids[kept], self.contents[kept], self.hours[kept])


class State:
    """What one partition has stored, up to input offset ``next``. Not thread-safe: one lane at a time.

    ``most``: identities held at most, but never less than those of the current hour.
    """

    def __init__(self, window_hours: int, most: int | None = None) -> None:
        self.window, self.most = window_hours, most
        self.hour = -(2**31)
        self.next: int | None = None
        self.resolved: set[int] = set()
        self._floor = NEVER  # hours before it were dropped for want of room
        self._of_hour: dict[int, int] = {}  # identities, by hour of the window
        self._segments: list[_Segment] = []
        self._histories: dict[Producer, _History] = defaultdict(_History)

    def _horizon(self, hour: int) -> int:
        """The first hour of the window that ends with ``hour``."""
        return max(hour - self.window, self._floor)

    @property
    def reach(self) -> int:
        """Hours that the window reaches back now: ``window_hours``, or less for want of room."""
        return self.hour - self._horizon(self.hour)

    # judging

    def judge(self, seen: Prints, at_us: int) -> Verdict:
        """What the rows are, in their order, at append time ``at_us`` (µs since 1970, UTC)."""
        horizon = self._horizon(max(self.hour, hour_of(at_us)))
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
                fresh = segment.hours[at] >= horizon
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
            old[rows] |= history.old.holds(values)
            for hour, intervals in history.recent.items():
                target = recent if hour >= horizon else old
                target[rows] |= intervals.holds(values)
        return old, recent

    # remembering

    def remember(self, record: dict[str, Any]) -> None:
        """Take in one committed ledger record; records must come in order. A snapshot in it is not needed and not read."""
        before, self.hour = self.hour, max(self.hour, hour_of(record["max_timestamp"]))
        self.next = record["end_offset"]
        self.resolved.update(record["resolved"])
        pairs = np.frombuffer(record["identities"], "<u8").reshape(-1, 2)
        if len(pairs):
            self._append(pairs[:, 0], pairs[:, 1], self.hour)
            self._of_hour[self.hour] = self._of_hour.get(self.hour, 0) + len(pairs)
        for item in record["sequences"]:
            history = self._histories[_producer(item)]
            history.recent.setdefault(self.hour, Intervals()).add(item["first"], item["last"])
            history.top = max(history.top, item["last"])
        if self._make_room() or self.hour > before:
            self._expire()

    def _make_room(self) -> bool:
        """Shorten the window where it holds too many; by the ledger's counts alone, so that a rebuild does the same."""
        before = self._floor
        self._of_hour = {hour: count for hour, count in self._of_hour.items() if hour >= self._horizon(self.hour)}
        while self.most is not None and len(self._of_hour) > 1 and sum(self._of_hour.values()) > self.most:
            self._floor = min(self._of_hour) + 1
            del self._of_hour[self._floor - 1]
        return self._floor > before

    def restart_from(self, record: dict[str, Any]) -> None:
        """Begin at a record with a snapshot that is older than the window: all it lists is before the window."""
        self.hour = max(self.hour, hour_of(record["max_timestamp"]))
        self.next = record["end_offset"]
        self.resolved.update(record["resolved_before"])
        for item in record["snapshot"]:
            history = self._histories[_producer(item)]
            history.old.add(item["first"], item["last"])
            history.top = max(history.top, item["last"])

    def _append(self, ids: Hashes, contents: Hashes, hour: int) -> None:
        order = np.argsort(ids)
        segments = [*self._segments, _Segment(ids[order], contents[order], np.full(len(ids), hour, np.int32))]
        while len(segments) > 1 and len(segments[-2].ids) < 2 * len(segments[-1].ids):
            last, before = segments.pop(), segments.pop()
            segments.append(self._merged(before, last))
        self._segments = segments

    def _merged(self, one: _Segment, other: _Segment) -> _Segment:
        """Both, without what has left the window. Column by column: all at once would take four times what is held."""
        order = np.argsort(np.concatenate([one.ids, other.ids]), kind="stable")
        order = order[np.concatenate([one.hours, other.hours])[order] >= self._horizon(self.hour)]
        return _Segment(
            np.concatenate([one.ids, other.ids])[order],
            np.concatenate([one.contents, other.contents])[order],
            np.concatenate([one.hours, other.hours])[order],
        )

    def _expire(self) -> None:
        horizon = self._horizon(self.hour)
        self._segments = [s for s in self._segments if len(s.hours) and s.hours.max() >= horizon]
        if self._floor == horizon:  # there is no room: do not wait for the next merge
            self._segments = [s.since(horizon) for s in self._segments]
        for history in self._histories.values():
            if history.recent and min(history.recent) < horizon:
                for hour in [h for h in history.recent if h < horizon]:
                    for first, last in history.recent.pop(hour).pairs():
                        history.old.add(first, last)

    # looking

    def snapshot(self) -> list[dict[str, Any]]:
        """Every sequence interval stored so far, as the ledger writes it."""
        listed = []
        for producer, history in sorted(self._histories.items()):
            everything = Intervals(history.old.pairs())
            for intervals in history.recent.values():
                for first, last in intervals.pairs():
                    everything.add(first, last)
            listed += [interval(producer, first, last) for first, last in everything.pairs()]
        return listed

    def content(self) -> tuple[Any, ...]:
        """All that matters of the state, in a form that compares: equal contents judge equally."""
        horizon = self._horizon(self.hour)
        rows = sorted(
            (int(i), int(c), int(h))
            for s in self._segments
            for i, c, h in zip(s.ids, s.contents, s.hours, strict=True)
            if h >= horizon
        )
        histories = {
            producer: (history.old.pairs(), {hour: i.pairs() for hour, i in sorted(history.recent.items())})
            for producer, history in sorted(self._histories.items())
        }
        return self.hour, self.next, sorted(self.resolved), rows, histories

    def nbytes(self) -> int:
        """Bytes of the identities held."""
        return sum(s.ids.nbytes + s.contents.nbytes + s.hours.nbytes for s in self._segments)

    def __len__(self) -> int:
        """Identities held."""
        return sum(len(s.ids) for s in self._segments)


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


def hour_of(microseconds: int) -> int:
    """Whole hours since 1970."""
    return microseconds // HOUR_US

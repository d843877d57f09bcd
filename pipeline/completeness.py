"""What of a tenant's events is known to be missing, and up to when nothing is. Pure: no I/O, no clock.

A producer numbers its events from 0 in each epoch, without gaps, and says with a heartbeat how many it has handed over. So a hole
in the numbers is a loss (or a reject), and a heartbeat with number s and time t says that what is to come was observed at t or
later, less the time that an event may wait for its number. Times are microseconds since 1970, UTC; ``observed_at`` is the
producer's clock. docs/completeness.md.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pipeline.numbers import Range, merged, without

State = Literal["complete", "incomplete", "unknown"]
Standing = Literal["live", "silent", "closed", "dead", "unknown"]
GapKind = Literal["missing", "quarantined", "conflict", "dropped"]
Key = tuple[str, int]  # producer, epoch
SILENT_INTERVALS = 3
BEGINNING = 0
WAITING = 30_000_000
INTERVAL = 60.0


@dataclass(frozen=True)
class Safety:
    """What is looked at, all on. Tests switch one off to see that it is needed; nothing else may.

    ``waiting``: how long after its ``observed_at`` an event may get its number, more than the SDK's deadline. ``lapse``: a
    statement no longer counts where the producer is heard again. ``counted``: the stores' rows are held against the ledger's.
    """

    holes: bool = True
    tails: bool = True
    waiting: int = WAITING
    lapse: bool = True
    counted: bool = True


@dataclass(frozen=True)
class Heartbeat:
    """The last that a producer said of itself: ``sequence`` is the event's own number, ``received`` the broker's time of it.

    ``interval``: seconds between heartbeats; ``dropped``: events that never got a number; ``closed``: it was its last word.
    """

    sequence: int
    observed: int
    received: int
    interval: float = INTERVAL
    dropped: int = 0
    closed: bool = False

    @property
    def period(self) -> float:
        """Seconds; a producer that says nonsense has the default."""
        return self.interval if math.isfinite(self.interval) and self.interval > 0 else INTERVAL

    @property
    def least(self) -> int:
        """When it was said at the latest, whichever clock is ahead."""
        return min(self.observed, self.received)


@dataclass(frozen=True)
class Statement:
    """An operator's word that a producer is dead and what it did not send is lost; ``at`` in microseconds."""

    by: str
    at: int
    reason: str


@dataclass(frozen=True)
class Seen:
    """What the ledger knows of a producer epoch, as ranges in order that do not touch.

    ``stored``: in every store. ``late``: stored, or about to be.
    """

    producer: str
    epoch: int
    stored: Sequence[Range] = ()
    late: Sequence[Range] = ()
    quarantined: Sequence[Range] = ()
    duplicates: Sequence[Range] = ()
    conflicts: Sequence[Range] = ()

    @property
    def key(self) -> Key:
        return self.producer, self.epoch

    @property
    def top(self) -> int:
        """The highest number seen; -1 where there is none."""
        return max((last for ranges in (self.stored, self.late, self.quarantined) for _, last in ranges), default=-1)

    @property
    def last_stored(self) -> int:
        """The highest number that is in every store; -1 where there is none."""
        return self.stored[-1][1] if self.stored else -1


@dataclass(frozen=True)
class Times:
    """Of an event: when it was observed, and when it was received."""

    observed: int
    received: int

    @property
    def least(self) -> int:
        """A producer's clock that is ahead must not say more than the broker's."""
        return min(self.observed, self.received)


@dataclass(frozen=True)
class Gap:
    """Numbers whose events no store has for sure, observed between ``after`` and ``before`` (None: nobody knows).

    ``dropped``: events that the producer gave up and counted; they never had a number and lie between ``first`` and ``last``.
    """

    kind: GapKind
    first: int
    last: int
    after: int = BEGINNING
    before: int | None = None
    dropped: int = 0


@dataclass(frozen=True)
class Producer:
    """A producer epoch, judged. ``tail``: what is still to come of it was observed then or later; None: nothing is to come.

    ``last_heard``: the time of its last heartbeat; without one the begin of its epoch.
    """

    seen: Seen
    standing: Standing
    gaps: tuple[Gap, ...]
    heartbeat: Heartbeat | None
    tail: int | None
    statement: Statement | None = None
    last_heard: int = BEGINNING

    @property
    def bound(self) -> int | None:
        """Before it nothing of this producer is missing; None where nothing ever will be, or an operator said so."""
        if self.standing == "dead":
            return None
        limits = [gap.after for gap in self.gaps] + ([] if self.tail is None else [self.tail])
        return min(limits, default=None)


@dataclass(frozen=True)
class Loss:
    """Raw records that Kafka deleted before they were read: anybody's. Received between the two times."""

    partition: int
    records: int
    after: int
    before: int


@dataclass(frozen=True)
class Completeness:
    """A tenant's. ``ledger_until``: the ledger's tables have everything received before it; None: everything that is stored.

    ``problems``: why the rest is not to be relied on, each with what to do; with one nothing is called complete.
    """

    producers: tuple[Producer, ...] = ()
    losses: tuple[Loss, ...] = ()
    ledger_until: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Of the whole: gaps and silence are worse than not knowing."""
        judged = [p for p in self.producers if p.standing != "dead"]
        if self.losses or any(p.gaps or p.standing == "silent" for p in judged):
            return "incomplete"
        return "unknown" if self.problems or any(p.standing == "unknown" for p in judged) else "complete"

    def until(self, pipeline: int) -> int:
        """Everything observed and received before it is stored; ``pipeline``: the pipeline's own moment, of receipt."""
        bounds = [p.bound for p in self.producers] + [loss.after for loss in self.losses] + [self.ledger_until]
        bounds += [BEGINNING] if self.problems else []
        return min([pipeline, *(bound for bound in bounds if bound is not None)])

    def within(self, start: int, end: int) -> Completeness:
        """What touches the range: its gaps and losses, and the producers that have such or may still send something of it."""
        touching = [_within(p, start, end) for p in self.producers]
        losses = tuple(loss for loss in self.losses if loss.after < end and loss.before >= start)
        late = self.ledger_until is not None and self.ledger_until < end
        return Completeness(
            tuple(p for p in touching if p is not None), losses, self.ledger_until if late else None, self.problems
        )

    @property
    def holds(self) -> bool:
        """Of what `within` gave: nothing of the range is missing, nothing of it is to come but what an operator has given up."""
        given_up = all(p.standing == "dead" and not p.gaps for p in self.producers)
        return not self.losses and not self.problems and self.ledger_until is None and given_up


def _within(producer: Producer, start: int, end: int) -> Producer | None:
    gaps = tuple(g for g in producer.gaps if g.after < end and (g.before is None or g.before >= start))
    tail = producer.tail if producer.tail is not None and producer.tail < end else None
    said = producer.statement
    given_up = producer.standing == "dead" and said is not None and said.at >= start and producer.last_heard < end
    return replace(producer, gaps=gaps, tail=tail) if gaps or tail is not None or given_up else None


@dataclass(frozen=True)
class Facts:
    """What is known of a producer epoch beside its ranges. ``times``: of the events that `edges` names, where they are stored;
    ``drops``: gaps of kind ``dropped``; ``received``: when anything of it was last received, 0 where nobody asked.
    """

    heartbeat: Heartbeat | None = None
    statement: Statement | None = None
    times: Mapping[int, Times] = field(default_factory=dict)
    drops: Sequence[Gap] = ()
    received: int = BEGINNING


def judge(seen: Seen, facts: Facts, pipeline: int, safety: Safety | None = None) -> Producer:
    """``pipeline``: its moment, which is the present here. A statement holds until anything of the producer is received again."""
    on, heartbeat, statement = safety or Safety(), facts.heartbeat, facts.statement
    begun, numbers = _begun(seen, facts), sorted(facts.times)
    gaps = [_dated(gap, begun, numbers, facts.times, on.waiting) for gap in gaps_of(seen, heartbeat)]
    gaps += [replace(gap, after=max(begun, gap.after - on.waiting)) for gap in _dropped(facts)]
    last = facts.times.get(seen.last_stored)
    heard = heartbeat.least if heartbeat is not None else begun if last is None else last.least
    tail: int | None = max(begun, heard - on.waiting)
    standing: Standing = "unknown" if heartbeat is None else "live"
    if heartbeat is not None and heartbeat.closed and heartbeat.sequence >= seen.top:
        standing, tail = "closed", None
    elif heartbeat is not None and pipeline - heartbeat.received > SILENT_INTERVALS * heartbeat.period * 1_000_000:
        standing = "silent"
    if statement is not None and (not on.lapse or _last_received(facts) <= statement.at):
        standing, tail = "dead", None
    known = begun if heartbeat is None else heartbeat.least
    shown, tail = tuple(gaps) if on.holes else (), tail if on.tails else None
    return Producer(seen, standing, shown, heartbeat, tail, statement, known)


def _last_received(facts: Facts) -> int:
    beat = BEGINNING if facts.heartbeat is None else facts.heartbeat.received
    return max([facts.received, beat, *(at.received for at in facts.times.values())])


def _dropped(facts: Facts) -> list[Gap]:
    """The gaps that are known, and one for events that the producer counts beyond them."""
    beat, named = facts.heartbeat, sum(gap.dropped for gap in facts.drops)
    if beat is None or beat.dropped <= named:
        return list(facts.drops)
    rest = Gap("dropped", 0, beat.sequence, before=max(beat.observed, beat.received), dropped=beat.dropped - named)
    return [*facts.drops, rest]


def gaps_of(seen: Seen, heartbeat: Heartbeat | None) -> list[Gap]:
    """Holes from 0 to the highest number known, what is in quarantine and not stored since, and what two claim, in order."""
    top = max(seen.top, -1 if heartbeat is None else heartbeat.sequence)
    known = merged([*seen.stored, *seen.late, *seen.quarantined])
    gaps = [Gap("missing", first, last) for first, last in without([(0, top)] if top >= 0 else [], known)]
    gaps += [Gap("quarantined", first, last) for first, last in without(merged(seen.quarantined), seen.stored)]
    gaps += [Gap("conflict", first, last) for first, last in merged(seen.conflicts)]
    return sorted(gaps, key=lambda gap: (gap.first, gap.last, gap.kind))


def edges(seen: Seen, heartbeat: Heartbeat | None) -> set[int]:
    """The numbers whose times `judge` wants to know: beside each gap, and of a producer that says nothing the last one that is
    stored, or else its first.
    """
    alone = set() if heartbeat is not None else {seen.last_stored} if seen.stored else {first for first, _ in seen.late[:1]}
    beside = {n for gap in gaps_of(seen, heartbeat) for n in (gap.first - 1, gap.last + 1)}
    return {n for n in beside | alone if n >= 0}


def _dated(gap: Gap, begun: int, numbers: Sequence[int], times: Mapping[int, Times], waiting: int) -> Gap:
    """Between the nearest events that are stored, of the ``numbers`` in order; before the first from the begin of the epoch."""
    before, behind = bisect_left(numbers, gap.first), bisect_right(numbers, gap.last)
    after = begun if before == 0 else max(begun, times[numbers[before - 1]].least - waiting)
    upper = None if behind == len(numbers) else times[numbers[behind]]
    return Gap(gap.kind, gap.first, gap.last, after, None if upper is None else max(upper.observed, upper.received))


def _begun(seen: Seen, facts: Facts) -> int:
    """An epoch is the time of the producer's start, where nothing that is known of it was earlier; else nobody knows."""
    known = [at.least for at in facts.times.values()] + ([] if facts.heartbeat is None else [facts.heartbeat.least])
    return seen.epoch if known and BEGINNING <= seen.epoch <= min(known) else BEGINNING

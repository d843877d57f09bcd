"""Completeness of a tenant against a naive model: the moment never passes an event that is not stored."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.completeness import (
    Completeness,
    Facts,
    Gap,
    Gathered,
    Heartbeat,
    Loss,
    Producer,
    Safety,
    Seen,
    Statement,
    Times,
    edges,
    judge,
)
from pipeline.numbers import Range, merged, without

FAR, WAITED = 10**15, 3
EXACT = Safety(waiting=0)
SECOND = 1_000_000


@dataclass
class World:
    """One producer epoch as it really was: event n was observed at ``observed[n]``; ``fates`` says what became of it."""

    epoch: int
    observed: list[int]
    fates: list[str]  # stored, late, quarantined, lost, conflict, future (still on the producer's side)
    beats: dict[int, str] = field(default_factory=dict)  # number → heartbeat, closed
    waiting: int = 0  # how long after it was observed an event got its number, at most

    def times(self, wanted: set[int]) -> dict[int, Times]:
        return {n: Times(self.observed[n], self.observed[n] + 3) for n in wanted if n < len(self.fates) and self.there(n)}

    def there(self, number: int) -> bool:
        return self.fates[number] in ("stored", "conflict")

    def ranges(self, *fates: str) -> list[Range]:
        return merged((n, n) for n, fate in enumerate(self.fates) if fate in fates)

    def seen(self) -> Seen:
        return Seen(
            "p",
            self.epoch,
            self.ranges("stored", "conflict"),
            self.ranges("late"),
            self.ranges("quarantined"),
            conflicts=self.ranges("conflict"),
        )

    def heartbeat(self) -> Heartbeat | None:
        """The last that a store has; what comes in order of numbers is in the store by the same moment."""
        known = [n for n in self.beats if self.fates[n] == "stored"]
        if not known:
            return None
        n = max(known)
        return Heartbeat(n, self.observed[n], self.observed[n] + 3, 60.0, closed=self.beats[n] == "closed")

    def judged(self, statement: Statement | None = None, safety: Safety | None = None) -> Producer:
        seen, heartbeat = self.seen(), self.heartbeat()
        facts = Facts(heartbeat, statement, self.times(edges(seen, heartbeat)))
        return judge(seen, facts, FAR, safety or Safety(waiting=self.waiting))

    def not_stored(self) -> list[int]:
        """When those events were observed that a reader of the stores does not find."""
        return [at for at, fate in zip(self.observed, self.fates, strict=True) if fate not in ("stored", "late", "conflict")]


FATES = st.lists(st.sampled_from(["stored"] * 6 + ["late", "quarantined", "lost", "conflict"]), min_size=1, max_size=14)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    fates = draw(FATES) + ["future"] * draw(st.integers(0, 3))
    epoch = draw(st.integers(0, 50))
    steps = draw(st.lists(st.integers(0, 4), min_size=len(fates), max_size=len(fates)))
    waits = draw(st.lists(st.integers(0, WAITED), min_size=len(fates), max_size=len(fates)))
    observed = [max(epoch, epoch + sum(steps[: n + 1]) - waits[n]) for n in range(len(fates))]
    handed_over = len(fates) - fates.count("future")
    beats: dict[int, str] = dict.fromkeys(draw(st.sets(st.integers(0, handed_over - 1), max_size=4)), "heartbeat")
    if handed_over == len(fates) and draw(st.booleans()):
        beats[handed_over - 1] = "closed"
    return World(epoch, observed, fates, beats, WAITED)


@settings(max_examples=500)
@given(st.lists(worlds(), max_size=3), st.integers(0, 100))
def test_the_moment_never_passes_an_event_that_is_not_stored(producers: list[World], pipeline: int) -> None:
    whole = Completeness(tuple(world.judged() for world in producers))
    until = whole.until(pipeline)
    assert until <= pipeline
    assert [at for world in producers for at in world.not_stored() if at < until] == []


@settings(max_examples=500)
@given(worlds(), st.integers(0, 60), st.integers(0, 60))
def test_a_range_that_holds_has_every_event_of_it(world: World, start: int, length: int) -> None:
    end = start + length
    part = Completeness((world.judged(),)).within(start, end)
    if part.holds:
        assert [at for at in world.not_stored() if start <= at < end] == []


@given(worlds())
def test_the_gaps_name_exactly_what_is_not_stored(world: World) -> None:
    producer, named = world.judged(), dict[str, set[int]]()
    for gap in producer.gaps:
        named.setdefault(gap.kind, set()).update(range(gap.first, gap.last + 1))
    top = max((n for n, fate in enumerate(world.fates) if fate not in ("lost", "future")), default=-1)
    of = {fate: {n for n, f in enumerate(world.fates) if f == fate and n <= top} for fate in ("lost", "quarantined", "conflict")}
    wanted = {"missing": of["lost"], "quarantined": of["quarantined"], "conflict": of["conflict"]}
    assert named == {kind: numbers for kind, numbers in wanted.items() if numbers}


LOST = World(10, [10, 20, 30, 40, 50], ["stored", "stored", "lost", "stored", "stored"], {4: "heartbeat"})


def test_a_lost_number_is_named_and_stops_the_moment_before_it() -> None:
    producer = LOST.judged()
    assert producer.gaps == (Gap("missing", 2, 2, 20, 43),)
    whole = Completeness((producer,))
    assert (whole.state, whole.until(FAR)) == ("incomplete", 20)
    assert not whole.within(0, 21).holds and not whole.within(43, 50).holds
    assert whole.within(0, 20).holds and whole.within(44, 50).holds


@pytest.mark.parametrize(("safety", "until"), [(Safety(False, waiting=0), 50), (Safety(tails=False, waiting=0), 20)])
def test_without_a_check_the_moment_passes_it(safety: Safety, until: int) -> None:
    """Negative control."""
    assert Completeness((LOST.judged(safety=safety),)).until(FAR) == until
    living = World(10, [10, 20, 30], ["stored", "stored", "future"], {1: "heartbeat"})
    assert living.not_stored() == [30]
    passes = Completeness((living.judged(safety=safety),)).until(FAR) > 30
    assert passes == (not safety.tails)


def test_an_event_that_waited_for_its_number_is_not_passed() -> None:
    """It was observed before the heartbeat and handed over after it. The last assertion is the negative control."""
    world = World(0, [10, 20, 18], ["stored", "stored", "future"], {1: "heartbeat"}, waiting=3)
    assert world.not_stored() == [18]
    assert Completeness((world.judged(),)).until(FAR) == 17
    assert Completeness((world.judged(safety=Safety(waiting=0)),)).until(FAR) > 18


def test_a_live_producer_bounds_by_its_heartbeat_a_closed_one_not_at_all() -> None:
    live = World(0, [5, 7], ["stored", "stored"], {1: "heartbeat"})
    assert Completeness((live.judged(),)).until(FAR) == 7
    closed = World(0, [5, 7], ["stored", "stored"], {1: "closed"}).judged()
    assert (closed.standing, Completeness((closed,)).until(FAR), Completeness((closed,)).state) == ("closed", FAR, "complete")


@pytest.mark.parametrize(("age", "standing"), [(180, "live"), (181, "silent")])
def test_silent_is_who_has_said_nothing_for_three_intervals(age: int, standing: str) -> None:
    beat = Heartbeat(1, 7, 10, 60.0)
    judged = judge(Seen("p", 0, [(0, 1)]), Facts(beat), 10 + age * SECOND, EXACT)
    assert judged.standing == standing
    assert Completeness((judged,)).state == ("complete" if standing == "live" else "incomplete")
    assert judged.bound == 7, "silent or not, no more is known than its last word"


def test_who_never_said_anything_is_unknown_and_bounds_by_its_last_event() -> None:
    judged = World(1, [5, 7, 9], ["stored", "stored", "stored"]).judged()
    assert (judged.standing, judged.bound, Completeness((judged,)).state) == ("unknown", 9, "unknown")


def test_a_first_number_that_is_missing_bounds_by_the_begin_of_the_epoch() -> None:
    judged = World(30, [31, 32, 33], ["lost", "stored", "stored"], {2: "closed"}).judged()
    assert judged.bound == 30
    counted = World(3, [31, 32, 33], ["lost", "stored", "stored"], {2: "closed"}).judged()
    assert counted.bound == 3, "an epoch that is a small number is a time long ago"


def test_a_statement_takes_the_bound_away_until_the_producer_is_heard_again() -> None:
    dead = LOST.judged(Statement("olga@example.com", 100, "its host is gone"))
    assert (dead.standing, dead.bound, Completeness((dead,)).state) == ("dead", None, "complete")
    part = Completeness((dead,)).within(0, 60)
    assert part.producers[0].statement is not None and not part.holds, "what is known to be missing is not complete by a word"
    assert Completeness((dead,)).within(101, 200).producers == ()
    again = LOST.judged(Statement("olga@example.com", 52, "its host is gone"))
    assert (again.standing, again.bound) == ("silent", 20)


def test_a_statement_about_a_tail_is_listed_where_it_matters_and_holds() -> None:
    seen, statement = Seen("p", 0, [(0, 3)]), Statement("olga@example.com", 100, "its host is gone")
    whole = Completeness((judge(seen, Facts(Heartbeat(3, 50, 53), statement), FAR, EXACT),))
    assert [p.statement for p in whole.within(40, 200).producers] == [statement] and whole.within(40, 200).holds
    assert whole.within(0, 50).producers == ()


def test_what_is_stored_too_late_for_the_readers_does_not_end_a_quarantine() -> None:
    """A replay is in the ledger before it is in every store."""
    beat = Heartbeat(2, 30, 33)
    late = judge(Seen("p", 0, [(0, 0), (2, 2)], [(1, 1)], [(1, 1)]), Facts(beat, None, {0: Times(10, 13)}), FAR, EXACT)
    assert [(g.kind, g.first) for g in late.gaps] == [("quarantined", 1)] and late.bound == 10
    assert judge(Seen("p", 0, [(0, 2)], [], [(1, 1)]), Facts(beat), FAR).gaps == ()


def test_events_that_were_dropped_are_a_gap_without_numbers() -> None:
    drop = Gap("dropped", 3, 7, 20, 30, dropped=5)
    whole = Completeness((judge(Seen("p", 0, [(0, 7)]), Facts(Heartbeat(7, 30, 33, dropped=5), drops=[drop]), 40, EXACT),))
    assert (whole.state, whole.until(FAR)) == ("incomplete", 20)
    assert whole.within(31, 32).producers[0].gaps == ()


def test_a_loss_of_raw_records_is_everybodys() -> None:
    whole = Completeness((), (Loss(0, 17, 100, 200),))
    assert (whole.state, whole.until(FAR)) == ("incomplete", 100)
    assert not whole.within(150, 160).holds and whole.within(0, 100).holds and whole.within(201, 300).holds


def test_a_ledger_that_is_behind_bounds_and_makes_no_range_beyond_it_hold() -> None:
    whole = Completeness(ledger_until=100)
    assert whole.until(FAR) == 100 and whole.within(0, 100).holds and not whole.within(0, 101).holds


def test_no_producers_and_no_losses_are_complete_as_far_as_the_pipeline_is() -> None:
    assert (Completeness().state, Completeness().until(77)) == ("complete", 77)


RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)).map(lambda r: (r[0], r[0] + r[1])), max_size=8)


@given(RANGES, RANGES)
def test_ranges_are_sets_of_numbers(some: list[Range], others: list[Range]) -> None:
    def numbers(ranges: list[Range]) -> set[int]:
        return {n for first, last in ranges for n in range(first, last + 1)}

    one, other = merged(some), merged(others)
    assert numbers(one) == numbers(some)
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(one))
    assert numbers(without(one, other)) == numbers(some) - numbers(others)


def test_rows_become_ranges_whatever_their_order_and_number() -> None:
    gathered = Gathered()
    for first, last in ((4, 6), (0, 3), (4, 6), (9, 9)):
        gathered.add("p", 1, "stored", first, last)
    gathered.add("p", 1, "duplicate", 3, 3)
    assert gathered.seen([("q", 2)]) == [
        Seen("p", 1, [(0, 6), (9, 9)], [], [], [(3, 3)], []),
        replace(Seen("q", 2, [], [], [], [], [])),
    ]

"""Completeness of a tenant against a naive model: the moment never passes an event that is not stored."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.completeness import (
    Completeness,
    Facts,
    Gap,
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
from pipeline.completeness_rows import Count, Gathered, drops
from pipeline.completeness_shown import answer, moment, not_known, producer
from pipeline.export.counted import difference
from pipeline.numbers import Range, merged, swept, without

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
    ahead: int = -3  # of the producer's clock before the broker's, less the way
    says: int | None = None  # the epoch that it gives; None: when it began

    def times(self, wanted: set[int]) -> dict[int, Times]:
        return {
            n: Times(self.observed[n], self.observed[n] - self.ahead) for n in wanted if n < len(self.fates) and self.there(n)
        }

    def there(self, number: int) -> bool:
        return self.fates[number] in ("stored", "late", "conflict")

    def ranges(self, *fates: str) -> list[Range]:
        return merged((n, n) for n, fate in enumerate(self.fates) if fate in fates)

    def seen(self) -> Seen:
        return Seen(
            "p",
            self.epoch if self.says is None else self.says,
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
        return Heartbeat(n, self.observed[n], self.observed[n] - self.ahead, 60.0, closed=self.beats[n] == "closed")

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
    says = draw(st.sampled_from([None, None, -(2**62), -1, 0, 60, 10**18, 2**62]))
    if says is not None and 0 <= says <= epoch + 100:
        says = None  # a time that may be the producer's start is believed
    return World(epoch, observed, fates, beats, WAITED, draw(st.sampled_from([-3, -3, 5])), says)


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


def test_what_is_stored_after_the_pipelines_moment_is_shown_as_one_with_what_was_stored_before() -> None:
    shown = producer(judge(Seen("p", 0, [(0, 6), (9, 9)], [(7, 8)]), Facts(), FAR, EXACT))
    assert shown["stored"] == [[0, 9]]


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


@given(RANGES)
def test_what_is_known_of_the_edges_of_ranges_is_enough(some: list[Range]) -> None:
    steps: dict[int, int] = {}
    for first, last in some:
        steps[first], steps[last + 1] = steps.get(first, 0) + 1, steps.get(last + 1, 0) - 1
    assert swept((number, step) for number, step in steps.items() if step) == merged(some)


def test_rows_become_ranges_whatever_their_order_and_number() -> None:
    gathered = Gathered()
    for first, last in ((4, 6), (0, 3), (4, 6), (9, 9)):
        gathered.add("p", 1, "stored", first, 1)
        gathered.add("p", 1, "stored", last + 1, -1)
    gathered.add("p", 1, "duplicate", 3, 1)
    gathered.add("p", 1, "duplicate", 4, -1)
    assert gathered.seen([("q", 2)]) == [
        Seen("p", 1, [(0, 6), (9, 9)], [], [], [(3, 3)], []),
        replace(Seen("q", 2, [], [], [], [], [])),
    ]


DEAD = Statement("olga@example.com", 600 * SECOND, "its host is gone")


@pytest.mark.parametrize("facts", [Facts(None, DEAD, received=601 * SECOND), Facts(None, DEAD, {9: Times(0, 601 * SECOND)})])
def test_a_producer_without_heartbeats_that_sends_again_is_not_dead(facts: Facts) -> None:
    """The second half is the negative control."""
    seen = Seen("p", 0, [(0, 4), (9, 9)])
    whole = Completeness((judge(seen, facts, FAR, EXACT),))
    assert (whole.producers[0].standing, whole.until(FAR) <= 0, whole.state) == ("unknown", True, "incomplete")
    deaf = judge(seen, facts, FAR, replace(EXACT, lapse=False))
    assert (deaf.standing, deaf.bound) == ("dead", None)
    quiet = judge(seen, Facts(None, DEAD, {9: Times(0, 600 * SECOND)}, received=600 * SECOND), FAR, EXACT)
    assert quiet.standing == "dead"


@pytest.mark.parametrize("epoch", [10**15 + 7_200 * SECOND, 10**18, 2**62, -1, -(2**63)])
@pytest.mark.parametrize("known", [True, False])
def test_an_epoch_that_is_no_time_of_a_start_bounds_nothing(epoch: int, known: bool) -> None:
    at = 10**15 - 60 * SECOND
    beat = Heartbeat(1, at, at, closed=True) if known else None
    seen = Seen("p", epoch, [(1, 1)]) if known else Seen("p", epoch, [], [], [(0, 7)])
    whole = Completeness((judge(seen, Facts(beat), FAR),))
    assert whole.until(FAR) == 0 and not whole.within(at - 3_600 * SECOND, at).holds
    assert answer("demo", FAR, whole)["complete_until"] == "1970-01-01T00:00:00.000000Z"


def test_a_producer_that_has_just_begun_bounds_by_its_epoch() -> None:
    """What it sent so far is not yet in every store."""
    seen = Seen("p", 50, late=[(0, 3)])
    assert edges(seen, None) == {0}
    assert judge(seen, Facts(None, None, {0: Times(60, 63)}), FAR, EXACT).bound == 50


def test_a_clock_that_is_ahead_says_no_more_than_the_brokers() -> None:
    beat = Heartbeat(3, 5_000, 1_000)
    assert judge(Seen("p", 10, [(0, 3)]), Facts(beat), FAR, EXACT).bound == 1_000
    hole = judge(Seen("p", 10, [(0, 1), (3, 3)]), Facts(beat, None, {1: Times(4_000, 900), 3: Times(5_000, 1_000)}), FAR, EXACT)
    assert hole.gaps == (Gap("missing", 2, 2, 900, 5_000),)


@pytest.mark.parametrize("interval", [math.inf, math.nan, 0.0, -5.0, -math.inf])
def test_an_interval_that_is_none_counts_as_the_default(interval: float) -> None:
    def standing(age: int) -> str:
        return judge(Seen("p", 0, [(0, 1)]), Facts(Heartbeat(1, 7, 10, interval)), 10 + age * SECOND, EXACT).standing

    assert (standing(180), standing(181)) == ("live", "silent")


@pytest.mark.parametrize("micros", [2**63 - 1, 2**62, -(2**63), 10**18])
def test_a_moment_that_no_calendar_has_is_shown_as_the_nearest(micros: int) -> None:
    shown = moment(micros)
    assert shown == ("9999-12-31T23:59:59.999999Z" if micros > 0 else "0001-01-01T00:00:00.000000Z")


def test_events_that_a_producer_dropped_and_nobody_dated_are_a_gap_all_the_same() -> None:
    whole = Completeness((judge(Seen("p", 5, [(0, 0)]), Facts(Heartbeat(0, 20, 23, dropped=5, closed=True)), FAR, EXACT),))
    assert whole.producers[0].gaps == (Gap("dropped", 0, 0, 5, 23, dropped=5),)
    assert (whole.state, whole.within(0, 30).holds) == ("incomplete", False)


def test_drops_lie_between_the_heartbeats_whose_numbers_differ() -> None:
    rising = [Count(0, 1, 4, 40, 13), Count(2, 5, 8, 80, 53), Count(7, 9, 9, 90, 93)]
    assert drops(rising) == [Gap("dropped", 5, 5, 40, 53, dropped=2), Gap("dropped", 9, 9, 80, 93, dropped=5)]
    assert drops([Count(3, 2, 2, 20, 23)]) == [Gap("dropped", 0, 2, 0, 23, dropped=3)]
    assert drops([Count(0, 3, 3, 30, 33), Count(4, 2, 5, 50, 23)]) == [Gap("dropped", 0, 5, dropped=4)], "it fell in between"


def test_with_a_problem_nothing_is_called_complete() -> None:
    whole = Completeness(problems=("run `auditwired fsck`",))
    assert (whole.state, whole.until(FAR), whole.within(0, 5).holds) == ("unknown", 0, False)
    assert not_known("ask again")["complete"] is False and not_known("ask again")["problems"] == ["ask again"]


@pytest.mark.parametrize(("held", "said"), [({0: 5, 1: 7}, None), ({0: 5}, "0 of 7"), ({0: 6, 1: 8}, "14 of 12")])
def test_events_are_counted_against_the_ledger(held: dict[int, int], said: str | None, caplog: pytest.LogCaptureFixture) -> None:
    found = difference({0: 5, 1: 7}, held)
    assert (found is None) == (said is None)
    if found is not None:
        assert f"holds {said} events" in caplog.text and "auditwired fsck" in found
        assert not any(letter.isdigit() for letter in found), "the numbers are of all tenants: none of a tenant's business"


@pytest.mark.timeout(30)
def test_a_hundred_thousand_gaps_are_dated_without_a_scan_for_each() -> None:
    seen = Seen("p", 0, [(2 * n, 2 * n) for n in range(100_000)], quarantined=[(2 * n, 2 * n) for n in range(100_000)])
    facts = Facts(Heartbeat(200_000, FAR, FAR), None, {10 * n: Times(n, n) for n in range(20_000)})
    assert len(judge(seen, facts, FAR).gaps) == 100_000  # 2 · 10⁹ steps with a scan for each, which takes minutes

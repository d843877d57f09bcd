"""Deduplication against a naive model, and the state rebuilt from its ledger records against the live one."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import ledger
from pipeline.batch import Batch
from pipeline.dedupe import HOUR_US, Intervals, State, Verdict
from pipeline.prints import Prints, prints, stored_sequences
from tests.processing import batch, bodies, rows

WINDOW = 2


@dataclass(frozen=True)
class Event:
    """One event of the model: few distinct values, so that everything collides."""

    identity: int
    content: int
    producer: int  # -1: a receiver's event without a sequence
    sequence: int


@dataclass
class Naive:
    """The same rules with plain sets and no cleverness."""

    most: int | None = None
    hour: int = -(10**9)
    floor: int = -(10**9)
    stored: list[tuple[int, Event]] = field(default_factory=list)

    def judge(self, batch: list[Event], hour: int) -> list[str]:
        self.hour = max(self.hour, hour)
        horizon = max(self.hour - WINDOW, self.floor)
        window = [event for at, event in self.stored if at >= horizon]
        before = {(e.producer, e.sequence) for at, e in self.stored if at < horizon and e.producer >= 0}
        answers, fresh = [], list[Event]()
        for event in batch:
            answer = self._one(event, window + fresh, before)
            answers.append(answer)
            if answer != "duplicate":
                fresh.append(event)
        self.stored += [(self.hour, event) for event in fresh]
        while self.most is not None and len(self._held()) > self.most and min(self._held()) < max(self._held()):
            self.floor = min(self._held()) + 1
        return answers

    def _held(self) -> list[int]:
        return [at for at, _ in self.stored if at >= max(self.hour - WINDOW, self.floor)]

    @staticmethod
    def _one(event: Event, window: list[Event], before: set[tuple[int, int]]) -> str:
        same = [e for e in window if e.identity == event.identity]
        if any(e.content == event.content for e in same):
            return "duplicate"
        if same:
            return "conflict"
        if event.producer < 0:
            return "new"
        if (event.producer, event.sequence) in before:
            return "duplicate"
        return "conflict" if any((e.producer, e.sequence) == (event.producer, event.sequence) for e in window) else "new"


def seen(events: list[Event]) -> Prints:
    return Prints(
        np.array([e.identity for e in events], np.uint64),
        np.array([e.content for e in events], np.uint64),
        np.array([e.producer for e in events], np.int64),
        np.array([e.sequence for e in events], np.int64),
        [("t", f"p{n}", 1) for n in range(3)],
    )


def step(state: State, events: list[Event], hour: int, start: int) -> tuple[list[str], dict[str, Any]]:
    """Judge and remember one batch as the processor does; the answers and the ledger record."""
    looked = seen(events)
    before = state.content()
    verdict = state.judge(looked, hour * HOUR_US)
    assert state.content() == before, "judging must change nothing"
    answers = [
        "duplicate" if not kept else "conflict" if conflict else "new"
        for kept, conflict in zip(verdict.kept, verdict.conflicts, strict=True)
    ]
    entry = ledger.record(
        "raw",
        0,
        start=start,
        end=start + len(events),
        read=len(events),
        seen=looked,
        verdict=verdict,
        rejects=[],
        digests=np.zeros(0, np.uint64),
        resolved=[start],
        max_timestamp=hour * HOUR_US,
        versions=("r", "v"),
    )
    if start % 3 == 0:
        entry = ledger.with_snapshot(entry, state)
    state.remember(entry)
    return answers, entry


EVENTS = st.builds(Event, st.integers(0, 12), st.integers(0, 2), st.integers(-1, 2), st.integers(0, 15))
BATCHES = st.lists(st.tuples(st.lists(EVENTS, min_size=1, max_size=8), st.integers(0, 2)), min_size=1, max_size=14)


@settings(max_examples=300)
@given(BATCHES, st.sampled_from([None, 1, 5, 12]))
def test_every_answer_is_that_of_the_naive_model_and_a_rebuild_gives_the_same_state(
    history: list[tuple[list[Event], int]], most: int | None
) -> None:
    state, naive, entries, hour, start = State(WINDOW, most), Naive(most), list[dict[str, Any]](), 1000, 0
    for events, passed in history:
        hour += passed
        answers, entry = step(state, events, hour, start)
        assert answers == naive.judge(events, hour)
        entries.append(entry)
        start = entry["end_offset"]
    assert ledger.replayed(entries, WINDOW, None, most).content() == state.content()
    for number, base in enumerate(entries):
        if base["snapshot"] is not None and base["max_timestamp"] < (hour - WINDOW) * HOUR_US:
            assert ledger.replayed(entries[number + 1 :], WINDOW, base, most).content() == state.content()


def test_an_hour_that_goes_back_does_not_shrink_the_window() -> None:
    state = State(WINDOW)
    step(state, [Event(1, 1, -1, 0)], 1010, 0)
    answers, _ = step(state, [Event(1, 1, -1, 0)], 1005, 1)
    assert answers == ["duplicate"]


def test_no_more_is_held_than_there_is_room_for_and_the_current_hour_always() -> None:
    state, held, reach = State(24, 100), list[int](), list[int]()
    for number in range(30):
        hour = 1000 + number // 3
        step(state, [Event(20 * number + n, 1, -1, 0) for n in range(20)], hour, number)
        held.append(len(state))
        reach.append(state.reach)
    assert max(held) == 100 and reach[0] == 24 and reach[-1] == 0
    step(state, [Event(10_000 + n, 1, -1, 0) for n in range(150)], 1009, 30)
    assert len(state) == 210, "the hour itself is never cut"
    answers, _ = step(state, [Event(10_000, 1, -1, 0), Event(0, 1, -1, 0)], 1009, 31)
    assert answers == ["duplicate", "new"]


def test_outside_the_window_only_the_sequence_is_remembered() -> None:
    state = State(WINDOW)
    step(state, [Event(1, 1, 0, 7), Event(2, 1, -1, 0)], 1000, 0)
    answers, _ = step(state, [Event(1, 1, 0, 7), Event(2, 1, -1, 0)], 1000 + WINDOW + 1, 2)
    assert answers == ["duplicate", "new"]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6)), max_size=30))
def test_intervals_hold_what_was_added(pairs: list[tuple[int, int]]) -> None:
    intervals = Intervals()
    everything: set[int] = set()
    for first, length in pairs:
        intervals.add(first, first + length)
        everything.update(range(first, first + length + 1))
    asked = np.arange(-2, 80, dtype=np.int64)
    assert intervals.holds(asked).tolist() == [n in everything for n in asked.tolist()]
    starts, ends = intervals.starts, intervals.ends
    assert all(end + 1 < start for end, start in zip(ends, starts[1:], strict=False)), "merged where they touch"


@pytest.mark.parametrize("size", [200_000])
def test_memory_is_at_most_forty_bytes_an_identity(size: int) -> None:
    state = State(24)
    for start in range(0, size, 10_000):
        ids = np.random.default_rng(start).integers(0, 2**63, 10_000).astype(np.uint64)
        none = np.full(10_000, -1, np.int64)
        looked = Prints(ids, ids, none, none, [])
        entry = ledger.record(
            "raw",
            0,
            start=start,
            end=start + 10_000,
            read=10_000,
            seen=looked,
            verdict=Verdict(np.ones(10_000, np.bool_), np.zeros(10_000, np.bool_)),
            rejects=[],
            digests=ids,
            resolved=[],
            max_timestamp=HOUR_US,
            versions=("", ""),
        )
        state.remember(entry)
    assert len(state) == size
    assert state.nbytes() <= 40 * size


def test_a_merge_takes_little_more_than_three_times_what_is_held() -> None:
    state, worst = State(24), 0.0
    tracemalloc.start()
    try:
        for end in range(2000, 258_001, 2000):  # the last one merges everything
            identities = np.random.default_rng(end).bytes(16 * 2000)
            tracemalloc.reset_peak()
            entry = {"max_timestamp": HOUR_US, "end_offset": end, "resolved": [], "identities": identities, "sequences": []}
            state.remember(entry)
            worst = max(worst, tracemalloc.get_traced_memory()[1] / len(state)) if end > 200_000 else worst
    finally:
        tracemalloc.stop()
    assert state.nbytes() == 20 * len(state)
    assert 40 < worst < 70, f"{worst:.0f} bytes an identity"


def test_prints_are_keyed_and_tell_identity_from_content() -> None:
    events = rows(3)
    events[1]["event_id"] = events[0]["event_id"]
    events[2] |= {"event_id": events[0]["event_id"], "tenant_id": "other"}
    events[1]["tenant_id"] = events[0]["tenant_id"]
    found = prints(Batch.of(batch(events)), bodies(events), b"k" * 32)
    assert found.ids[0] == found.ids[1] != found.ids[2]
    assert len(set(found.contents.tolist())) == 3
    other = prints(Batch.of(batch(events)), bodies(events), b"K" * 32)
    assert not np.isin(found.ids, other.ids).any()


def test_prints_do_not_mix_up_tenant_and_event() -> None:
    first, second = rows(2)
    first |= {"tenant_id": "a", "event_id": "bc"}
    second |= {"tenant_id": "ab", "event_id": "c"}
    found = prints(Batch.of(batch([first, second])), bodies([first, second]), b"k" * 32)
    assert found.ids[0] != found.ids[1]


def test_a_ledger_record_names_the_sequences_in_intervals() -> None:
    looked = seen([Event(1, 1, 0, 5), Event(2, 1, 0, 3), Event(3, 1, 1, 9), Event(4, 1, 0, 4), Event(5, 1, -1, 0)])
    listed = [(i["producer_id"], i["first"], i["last"]) for i in stored_sequences(looked)]
    assert listed == [("p0", 3, 5), ("p1", 9, 9)]

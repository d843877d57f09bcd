"""Deduplication against a naive model, and the state rebuilt from its ledger records against the live one."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.stack.stack import CHECKOUT
from pipeline import dedupe, ledger
from pipeline.batch import Batch
from pipeline.dedupe import STEP_US, STEPS, Intervals, State, Verdict
from pipeline.prints import Prints, prints, stored_sequences
from tests.plain.memory import Event, Memory
from tests.processing import batch, bodies, rows

HOURS = 1
WINDOW = HOURS * STEPS


def seen(events: list[Event]) -> Prints:
    return Prints(
        np.array([e.identity for e in events], np.uint64),
        np.array([e.content for e in events], np.uint64),
        np.array([e.producer for e in events], np.int64),
        np.array([e.sequence for e in events], np.int64),
        [("t", f"p{n}", 1) for n in range(3)],
    )


def step(state: State, events: list[Event], at: int, start: int) -> tuple[list[str], dict[str, Any]]:
    """Judge and remember one batch as the processor does; the answers and the ledger record."""
    looked = seen(events)
    before = state.content()
    verdict = state.judge(looked, at * STEP_US)
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
        max_timestamp=at * STEP_US,
        versions=("r", "v"),
    )
    if start % 3 == 0:
        entry = ledger.with_snapshot(entry, state)
    state.remember(entry)
    return answers, entry


EVENTS = st.builds(Event, st.integers(0, 12), st.integers(0, 2), st.integers(-1, 2), st.integers(0, 15))
BATCHES = st.lists(st.tuples(st.lists(EVENTS, min_size=1, max_size=8), st.sampled_from([0, 1, 4, 13])), min_size=1, max_size=14)


@settings(max_examples=300)
@given(BATCHES, st.sampled_from([None, 1, 5, 12]))
def test_every_answer_is_that_of_the_naive_model_and_a_rebuild_gives_the_same_state(
    history: list[tuple[list[Event], int]], most: int | None
) -> None:
    state, naive, entries, at, start = State(HOURS, most), Memory(HOURS, most), list[dict[str, Any]](), 1000, 0
    for events, passed in history:
        at += passed
        answers, entry = step(state, events, at, start)
        assert answers == naive.judge(events, at)
        entries.append(entry)
        start = entry["end_offset"]
    assert ledger.replayed(entries, HOURS, None, most).content() == state.content()
    for number, base in enumerate(entries):
        if base["snapshot"] is not None and base["max_timestamp"] < (at - WINDOW) * STEP_US:
            assert ledger.replayed(entries[number + 1 :], HOURS, base, most).content() == state.content()


def test_a_time_that_goes_back_does_not_shrink_the_window() -> None:
    state = State(HOURS)
    step(state, [Event(1, 1, -1, 0)], 1010, 0)
    answers, _ = step(state, [Event(1, 1, -1, 0)], 1005, 1)
    assert answers == ["duplicate"]


def test_no_more_is_held_than_there_is_room_for_and_the_current_minutes_always() -> None:
    state, held, reach = State(24, 100), list[int](), list[float]()
    for number in range(30):
        at = 1000 + number // 3
        step(state, [Event(20 * number + n, 1, -1, 0) for n in range(20)], at, number)
        held.append(len(state))
        reach.append(state.reach)
    assert max(held) == 100 and reach[0] == 24 and reach[-1] == 0
    step(state, [Event(10_000 + n, 1, -1, 0) for n in range(150)], 1009, 30)
    assert len(state) == 210, "the current step is never cut"
    answers, _ = step(state, [Event(10_000, 1, -1, 0), Event(0, 1, -1, 0)], 1009, 31)
    assert answers == ["duplicate", "new"]


def test_where_memory_runs_out_the_state_does_not_claim_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(HOURS)
    _, first = step(state, [Event(1, 1, 0, 7)], 1000, 0)

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(dedupe, "_column", full)
    with pytest.raises(MemoryError):
        step(state, [Event(2, 1, 0, 8)], 1000, 1)
    assert state.next == first["end_offset"], "`open` rebuilds a state that is not that of the committed offset"


def test_a_producer_that_is_heard_all_day_takes_little() -> None:
    state, count = State(24), 50
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for at in range(24 * STEPS):
            for producer in range(count):
                item = {"tenant_id": "t", "producer_id": f"p{producer}", "producer_epoch": 1, "first": 2 * at, "last": 2 * at}
                entry = {"max_timestamp": at * STEP_US, "end_offset": at, "resolved": [], "identities": b"", "sequences": [item]}
                state.remember(entry)
        each = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    assert each < 12_000, f"{each:.0f} bytes a producer"
    assert len(state.snapshot()) == count * 24 * STEPS, "every second number is missing"


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 6)), max_size=8), st.integers(-(2**63), 2**63 - 1))
def test_overlapping_intervals_cover_what_one_of_them_holds(given: list[tuple[int, int]], asked: int) -> None:
    pairs = [(first, min(first + length, 2**63 - 1)) for first, length in given]
    values = [asked, *(edge for pair in pairs for edge in pair)]
    table, naive = np.array(pairs, np.int64).reshape(-1, 2), Intervals(pairs)
    assert dedupe._covered(table, np.array(values, np.int64)).tolist() == [any(a <= v <= b for a, b in pairs) for v in values]
    assert dedupe._merged(table) == naive.pairs()


def test_outside_the_window_only_the_sequence_is_remembered() -> None:
    state = State(HOURS)
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
            max_timestamp=STEP_US,
            versions=("", ""),
        )
        state.remember(entry)
    assert len(state) == size
    assert state.nbytes() <= 40 * size


def test_a_merge_takes_little_more_than_three_times_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedupe, "OWN_PAGES", 1 << 40)  # tracemalloc does not see mapped pages
    state, worst = State(24), 0.0
    tracemalloc.start()
    try:
        for end in range(2000, 258_001, 2000):  # the last one merges everything
            identities = np.random.default_rng(end).bytes(16 * 2000)
            tracemalloc.reset_peak()
            entry = {"max_timestamp": STEP_US, "end_offset": end, "resolved": [], "identities": identities, "sequences": []}
            state.remember(entry)
            worst = max(worst, tracemalloc.get_traced_memory()[1] / len(state)) if end > 200_000 else worst
    finally:
        tracemalloc.stop()
    assert state.nbytes() == 20 * len(state)
    assert 40 < worst < 70, f"{worst:.0f} bytes an identity"


FOUR_LANES = """
import re, sys, threading
import numpy as np
from pathlib import Path
from pipeline import dedupe

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def fill(state):
    for end in range(1, 501):
        if end % 50 == 0:
            together.wait()
        identities = np.random.default_rng(end).bytes(16 * 1000)
        state.remember({"max_timestamp": 0, "end_offset": end, "resolved": [], "identities": identities, "sequences": []})

dedupe.OWN_PAGES = int(sys.argv[1])
states, together, before = [dedupe.State(24) for _ in range(4)], threading.Barrier(4), resident()
threads = [threading.Thread(target=fill, args=(state,)) for state in states]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print((resident() - before) / sum(state.nbytes() for state in states))
"""


def test_what_merges_free_goes_back_to_the_system() -> None:
    def resident(own_pages: int) -> float:
        command = [sys.executable, "-c", FOUR_LANES, str(own_pages)]
        return float(subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=120).stdout)

    mapped, heap = resident(dedupe.OWN_PAGES), resident(1 << 40)
    assert mapped < 1.8 and mapped < 0.9 * heap, f"{mapped:.2f} times what is held, {heap:.2f} in the heap"


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


def test_intervals_do_not_close_over_numbers_that_lie_far_apart() -> None:
    numbers = [-(2**63), 0, 2**63 - 2, 2**63 - 1, -(2**63), 0]
    looked = seen([Event(n, 1, 0, number) for n, number in enumerate(numbers)])
    listed = [(i["first"], i["last"]) for i in stored_sequences(looked)]
    assert listed == [(-(2**63), -(2**63)), (0, 0), (2**63 - 2, 2**63 - 1)]
    assert stored_sequences(seen([Event(1, 1, -1, 0)])) == stored_sequences(seen([])) == []


PARTS = st.tuples(st.sampled_from("ab"), st.sampled_from(["", "p", "q"]), st.sampled_from([None, 0, 7]))


@given(st.lists(st.tuples(PARTS, st.sampled_from([None, 0, 1, 2**40])), min_size=1, max_size=12))
def test_a_row_has_a_sequence_where_producer_epoch_and_number_are_known(given: list[tuple[tuple[Any, ...], int | None]]) -> None:
    events = rows(len(given))
    for event, ((tenant, producer, epoch), number) in zip(events, given, strict=True):
        event |= {"tenant_id": tenant, "producer_id": producer, "producer_epoch": epoch, "sequence": number}
    found = prints(Batch.of(batch(events)), bodies(events), b"k" * 32)
    named = [found.producers[group] if group >= 0 else None for group in found.groups.tolist()]
    whole = [parts[1] != "" and parts[2] is not None and number is not None for parts, number in given]
    assert named == [parts if known else None for (parts, _), known in zip(given, whole, strict=True)]
    numbers = [number for (_, number), known in zip(given, whole, strict=True) if known]
    assert found.sequences[found.groups >= 0].tolist() == numbers
    assert list(found.producers) == list(dict.fromkeys(name for name in named if name is not None))

"""The sink under every order of failures that Hypothesis can think of: each record is stored once, whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.sink_weather import COMMIT_WEATHER, STORE_WEATHER, Rig

PARTITIONS = st.integers(0, 1)


class SinkMachine(RuleBasedStateMachine):
    """Records come, the weather changes, processes die; at the end the weather is fair."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig()

    @rule(partition=PARTITIONS, count=st.integers(1, 12), month=st.sampled_from((9, 10)))
    def records_come(self, partition: int, count: int, month: int) -> None:
        self.rig.append(partition, count, 1_790_000_000_000 + (month - 9) * 2_700_000_000)

    @rule(partition=PARTITIONS, count=st.integers(1, 3))
    def a_gap_comes(self, partition: int, count: int) -> None:
        self.rig.log.skip(partition, count)

    @rule(weather=st.lists(st.sampled_from(STORE_WEATHER), max_size=4))
    def the_store_will(self, weather: list[str]) -> None:
        self.rig.store.weather = weather

    @rule(weather=st.lists(st.sampled_from(COMMIT_WEATHER), max_size=4))
    def commits_will(self, weather: list[str]) -> None:
        self.rig.log.weather = weather

    @rule(times=st.integers(1, 6))
    def time_passes(self, times: int) -> None:
        self.rig.turn(times)

    @rule()
    def the_process_dies(self) -> None:
        self.rig.crash()

    @rule()
    def late_writes_arrive(self) -> None:
        self.rig.store.deliver()

    @invariant()
    def nothing_is_doubled_or_strange(self) -> None:
        assert [self.rig.wrong(p, finished=False) for p in (0, 1)] == [None, None]
        assert self.rig.halted() == []

    def teardown(self) -> None:
        self.rig.store.weather, self.rig.log.weather = [], []
        self.rig.turn(60)
        self.rig.store.deliver()
        assert [self.rig.wrong(p, finished=True) for p in (0, 1)] == [None, None]
        for p in (0, 1):
            assert self.rig.log.committed(p) == (self.rig.log.bounds(p)[1], "")


def test_each_record_is_stored_once_whatever_happens() -> None:
    quiet = [HealthCheck.too_slow]
    run_state_machine_as_test(
        SinkMachine, settings=settings(max_examples=60, stateful_step_count=25, suppress_health_check=quiet)
    )


STORIES = {
    "a write arrives after another process took over": (["late"], "doubled"),
    "the answer to a write is lost": (["lost"], "doubled"),
    "the store says yes and keeps nothing": (["eaten"], "missing"),
}


def tell(story: str, fence: bool, read_back: bool) -> str | None:
    """Play the story; returns what is wrong at its end."""
    rig = Rig(fence, read_back, partitions=1)
    rig.append(0, 4)
    rig.store.weather = list(STORIES[story][0])
    rig.turn(2)
    rig.crash()
    rig.turn(10)
    rig.store.deliver()
    return rig.wrong(0, finished=True)


@pytest.mark.parametrize("story", STORIES)
def test_stories(story: str) -> None:
    assert tell(story, fence=True, read_back=True) is None


@pytest.mark.parametrize(("story", "fence", "read_back"), [(s, "late" not in w, "late" in w) for s, (w, _) in STORIES.items()])
def test_without_its_safety_mechanism_the_story_ends_badly(story: str, fence: bool, read_back: bool) -> None:
    wrong = tell(story, fence, read_back)
    assert wrong is not None
    assert wrong.startswith(STORIES[story][1])

"""The spool against a model, on a disk that forgets what was not synced: nothing acknowledged is lost, nothing is invented."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from auditwire._errors import SpoolError, SpoolFullError
from auditwire._spool import Spool, SpoolControl
from tests.spool_disk import CrashDisk

KEY = bytes(range(32))
SEGMENT, ROOM = 700, 6000
STEPS = settings(
    max_examples=int(os.environ.get("SPOOL_LIVES", "40")),
    stateful_step_count=25,
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class Life(RuleBasedStateMachine):
    """What a spool may show after any sequence of appends, crashes, disk errors and ticks."""

    control: Callable[[CrashDisk], SpoolControl] = staticmethod(lambda disk: SpoolControl(disk=disk))

    @initialize()
    def first(self) -> None:
        self.home = tempfile.TemporaryDirectory()
        folder = Path(self.home.name) / "spool"
        self.disk = CrashDisk(folder)
        self.kept: dict[int, bytes] = {}  # acknowledged, or seen after a start: by position
        self.tried: set[bytes] = set()
        self.ticked, self.count = 0, 0
        self.open()

    def open(self) -> None:
        self.spool = Spool(self.disk.folder, KEY, max_bytes=ROOM, segment_bytes=SEGMENT, control=self.control(self.disk))

    def append(self, sizes: list[int]) -> None:
        values = [b"%d " % (self.count + index) + b"x" * size for index, size in enumerate(sizes)]
        self.count += len(values)
        self.tried |= set(values)
        before = self.spool.pending[0]
        try:
            end = self.spool.append([(b"key", value, "raw") for value in values])
        except SpoolFullError:
            assert self.spool.pending[0] == before
        except SpoolError:
            pass
        else:
            self.kept |= {end - len(values) + index: value for index, value in enumerate(values)}

    @rule(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=6))
    def append_some(self, sizes: list[int]) -> None:
        self.append(sizes)

    @rule(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=3), room=st.integers(0, 900))
    def append_to_a_full_disk(self, sizes: list[int], room: int) -> None:
        self.disk.room = room
        self.append(sizes)
        self.disk.room = None

    @rule(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=3), failures=st.integers(1, 3))
    def append_while_syncs_fail(self, sizes: list[int], failures: int) -> None:
        self.disk.fail_sync = failures
        self.append(sizes)
        self.disk.fail_sync = 0

    @rule(part=st.floats(0, 1))
    def tick_off(self, part: float) -> None:
        self.ticked = self.spool.done_position + int(part * (self.spool.position - self.spool.done_position))
        self.spool.done(self.ticked)

    @rule(seed=st.integers(0, 1 << 16))
    def lose_power(self, seed: int) -> None:
        self.spool._writer.forget()  # the process is gone, without a word to the disk
        self.disk.power_off(Random(seed))
        self.restart()

    @rule()
    def kill(self) -> None:
        self.spool._writer.forget()
        self.restart()

    @rule()
    def close(self) -> None:
        self.spool.close()
        self.restart()

    def restart(self) -> None:
        self.open()
        self.kept |= {end - 1: value for end, _, _, value in self.spool.read()}

    @invariant()
    def everything_acknowledged_is_read_in_order(self) -> None:
        found = [(end - 1, value) for end, _, _, value in self.spool.read()]
        assert [p for p, _ in found] == list(range(self.spool.done_position, self.spool.position)), "positions without a gap"
        assert all(value in self.tried for _, value in found), "nothing is invented"
        assert self.spool.done_position <= self.ticked, "nothing is passed over"
        wanted = [(position, value) for position, value in sorted(self.kept.items()) if position >= self.ticked]
        assert [item for item in found if item[0] >= self.ticked] == wanted, "nothing acknowledged is lost"

    @invariant()
    def a_crash_is_no_damage(self) -> None:
        assert (self.spool.lost, self.spool.damaged) == (0, [])
        assert self.spool.pending[0] == self.spool.position - self.spool.done_position
        assert sum(path.stat().st_size for path in self.disk.folder.glob("*.seg")) <= ROOM + 2 * SEGMENT, "bounded"

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            self.disk.close()
            self.home.cleanup()


def test_nothing_acknowledged_is_lost() -> None:
    run_state_machine_as_test(Life, settings=STEPS)


def test_control_without_fsync_a_crash_loses_what_was_acknowledged() -> None:
    class Careless(Life):
        control = staticmethod(lambda disk: SpoolControl(disk=disk, fsync=False))

    with pytest.raises((AssertionError, SpoolError)):
        run_state_machine_as_test(Careless, settings=settings(STEPS, database=None, print_blob=False, report_multiple_bugs=False))

"""A short run of the fault harness: the important ways to break, one after the other without a rest, then the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.harness.__main__ import main
from tests.faults.harness.controls import CONTROLS
from tests.faults.harness.kinds import KINDS, draw
from tests.faults.harness.report import tables

FAULTS = (
    "kill_processor_at_point",
    "lost_insert_answer",
    "kill_clickhouse",
    "late_put",
    "kill_s3",
    "second_receiver",
    "kill_producer",
    "kill_kafka",
    "aborted_input",
)


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_while_everything_breaks(tmp_path: Path) -> None:
    out = tmp_path / "faults.jsonl"
    argv = ["--seed", "1", "--runs", "1", "--faults", str(len(FAULTS)), "--only", *FAULTS]
    code = main([*argv, "--rate", "100", "--fast", "--hurry", "--out", str(out)])
    (record,) = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert code == 0, record
    assert {fault["kind"] for fault in record["faults"]} == set(FAULTS)
    assert record["verdict"]["acknowledged"] > 1000
    assert "0 lost, 0 stored twice, 0 that nobody sent, fsck clean after 1 runs, 0 runs red" in tables([record])


def test_every_kind_comes_up_before_one_comes_again() -> None:
    names = [kind.name for kind in KINDS.values() if not kind.last]
    runs = draw(names, 7, 60, 5)
    assert [len(run) for run in runs] == [5] * 60
    drawn = [kind.name for run in runs for kind in run]
    assert set(drawn[: len(names)]) == set(drawn[len(names) : 2 * len(names)]) == set(names)
    assert runs == draw(names, 7, 60, 5) != draw(names, 8, 60, 5)


def test_every_control_has_its_fault_and_a_test_of_its_own() -> None:
    for control in CONTROLS.values():
        path, _, name = control.test.partition("::")
        assert control.kind in KINDS
        assert f"def {name}" in (Path(__file__).parents[2] / path).read_text(encoding="utf-8"), control.test

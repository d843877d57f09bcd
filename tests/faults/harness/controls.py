"""The mechanisms that the harness can switch off, each with the fault that only it survives: with it off, that fault is red."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    """``parts``: switches by part (`tests.faults.harness.part`); ``kind``: the fault; ``shows``: what it does then; ``test``:
    the same fault in a small test of the suite, which has its control beside it.
    """

    what: str
    kind: str
    shows: str
    parts: Mapping[str, tuple[str, ...]]
    test: str


CONTROLS: dict[str, Control] = {
    "position_rule": Control(
        "a lane takes only what begins at its position",
        "faust_lies",
        "events lost or stored twice",
        {"processor": ("position_rule",)},
        "tests/faults/test_processor.py::test_without_the_position_rule_lies_reach_the_output",
    ),
    "state_swap": Control(
        "the memory of deduplication is that of the committed position",
        "failed_commit",
        "events lost as duplicates of themselves",
        {"processor": ("swap_after_commit", "rebuild_on_takeover")},
        "tests/faults/test_processor_holes.py::test_a_state_swapped_too_early_and_kept_loses_everything_in_silence",
    ),
    "dedupe": Control(
        "deduplication by content, sequence and id",
        "second_receiver",
        "events stored twice",
        {"processor": ("dedupe",)},
        "tests/unit/test_dedupe.py",
    ),
    "fence": Control(
        "a fence that ClickHouse checks in every insert",
        "late_insert",
        "rows stored twice",
        {"clickhouse-sink": ("fence",)},
        "tests/faults/test_clickhouse_sink.py::test_without_the_fence_a_late_write_doubles",
    ),
    "new_token": Control(
        "a new token for a repeated insert",
        "eaten_token",
        "a range that is never stored",
        {"clickhouse-sink": ("new_token",)},
        "tests/contracts/test_store_contract.py::test_another_attempt_does_not_hang_on_the_first_ones_token",
    ),
    "read_back": Control(
        "read-back before the end is committed",
        "lost_insert_answer",
        "rows stored twice",
        {"clickhouse-sink": ("read_back",)},
        "tests/faults/test_clickhouse_sink.py::test_without_reading_back_a_lost_answer_doubles",
    ),
    "create_only": Control(
        "objects are created, never overwritten",
        "late_put",
        "an object with two versions",
        {"archive-sink": ("create_only",)},
        "tests/faults/test_archive_sink.py::test_without_create_only_a_frozen_sink_leaves_second_versions",
    ),
}

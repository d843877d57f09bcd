"""Conditions of rules in ClickHouse, over the columns' types of the table of events, against the plain evaluator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.rules.nodes import Field, Like
from tests import condition_engines as engines
from tests.conditions import Draw

ROWS, CONDITIONS = 120, 60


def _answer(statement: str, folder: Path) -> str:
    """By a ClickHouse in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "chdb", statement, "TabSeparated"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


WRONG = {"none": ("", ""), "letters beyond ASCII": ("lower(", "lowerUTF8("), "-0.0 in a set": (" + 0.0)", ")")}
"""Mistakes that a compiler could make."""


@pytest.mark.parametrize("mistake", WRONG)
def test_clickhouse_gives_what_the_plain_evaluator_gives(mistake: str, tmp_path: Path) -> None:
    """And with a mistake in the compiler it does not: the test would see it."""
    draw = Draw(5)
    rows, trees = draw.rows(ROWS), [draw.tree() for _ in range(CONDITIONS)]
    trees += [Like(Field("tool_name"), f"%{letter}%", any_case=True) for letter in "kis"]
    statement = engines.clickhouse_sql(trees, engines.write(tmp_path, rows)).replace(*WRONG[mistake])
    found = engines.columns(_answer(statement, tmp_path))
    expected = engines.plain(trees, rows)
    assert (engines.difference(trees, rows, expected, found) == "no difference") == (mistake == "none")

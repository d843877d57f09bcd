"""docs/performance.md and its plots are what the committed figures say."""

from __future__ import annotations

import xml.dom.minidom

import pytest

from bench import report
from bench.targets import Target

DATA = report.load()
PAGE = report.PAGE.read_text(encoding="utf-8")
PICTURES = report.pictures(DATA)


def test_the_page_is_what_the_figures_render_to() -> None:
    assert report.page(PAGE, DATA) == PAGE, "run `python -m bench.report`"
    assert [name for name in report.BLOCKS if f"<!-- bench:{name} -->" not in PAGE] == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_plot_is_what_the_figures_render_to(name: str) -> None:
    assert (report.PLOTS / name).read_text(encoding="utf-8") == PICTURES[name], "run `python -m bench.report`"
    xml.dom.minidom.parseString(PICTURES[name])
    assert f"(plots/{name})" in PAGE


def test_no_plot_is_left_over() -> None:
    assert {path.name for path in report.PLOTS.glob("*.svg")} == set(PICTURES)


@pytest.mark.parametrize(
    ("seen", "least", "later", "verdict"),
    [
        (6.0, False, None, "met"),
        (15.0, False, None, "**missed**, 1.5 times"),
        (5.0, True, None, "**missed**, 2.0 times"),
        (8.0, False, 4.0, "met; 4 later: **missed**, 2.0 times"),
        (None, False, None, "not measured"),
    ],
)
def test_a_target_says_by_how_much_it_is_missed(seen: float | None, least: bool, later: float | None, verdict: str) -> None:
    assert Target("what", "s", 10.0, seen, least, later).verdict == verdict

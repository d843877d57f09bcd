"""The capacity model finds the costs that runs were made of, and docs/capacity.md shows what the generator prints."""

from __future__ import annotations

from typing import Any

import pytest

from bench import capacity_model as model
from bench.capacity_page import PAGE, page, written

COST = model.Cost(0.02, 0.001, 12.0, 6.0, 9.0)


def _run(kb: float, dirty: float, partitions: int = 4, rate: float = 0.0) -> dict[str, Any]:
    """What a run would have shown of a processor that costs exactly this."""
    shape = {"size": 0, "dirty": dirty, "tenants": 20, "partitions": partitions, "fill": "usual"}
    seconds, events = (10.0, int(rate * 10)) if rate else (2.0, 100_000)
    cpu = COST.cores(rate, kb, dirty, partitions / 0.1) * seconds if rate else COST.million(kb, dirty) * events / 1e6
    about = {"part": "processor", "shape": shape, "bytes_an_event": kb * 1000, "rate": rate}
    return {**about, "events": events, "seconds": seconds, "cpu": [cpu]}


def test_the_costs_that_runs_were_made_of_are_found() -> None:
    full = [_run(kb, dirty) for kb, dirty in ((0.7, 0.3), (0.7, 0.05), (0.7, 1.0), (2.0, 0.3), (2.0, 1.0))]
    slow = [_run(0.7, 0.3, partitions, rate) for partitions, rate in ((4, 100.0), (4, 1000.0), (16, 1000.0))]
    found = model._part([*full, *slow], 0.1)
    for name in ("idle", "turn", "event", "kb", "dirty"):
        assert getattr(found, name) == pytest.approx(getattr(COST, name), rel=1e-6), name


def test_no_cost_is_negative() -> None:
    found = model._part([_run(0.7, 0.3), _run(2.0, 0.3), _run(0.7, 0.3, 4, 1.0) | {"cpu": [0.0]}], 0.1)
    assert min(found.idle, found.turn, found.event, found.kb) >= 0


@pytest.mark.parametrize("rate", model.RATES)
def test_no_lane_and_no_process_is_planned_beyond_what_it_can(rate: int) -> None:
    made = model.fit(model.load())
    one = model.size(made, rate, 1.0)
    assert all(rate / one.partitions <= model.BUSY * lane for lane in made.lane.values())
    for part, number in one.processes.items():
        assert one.used[part] <= model.BUSY * number
        assert number * 2 <= one.partitions


def test_objects_are_of_age_at_a_low_rate_and_of_size_at_a_high_one() -> None:
    assert model.objects(1, 1.0, 4) == 4 * 96 * 4
    assert model.objects(100_000, 1.0, 4) > 10 * model.objects(1, 1.0, 4)


def test_the_page_shows_what_the_generator_prints() -> None:
    data, text = model.load(), PAGE.read_text(encoding="utf-8")
    assert written(text, page(data, model.fit(data))) == text, "run `python -m bench.capacity page --write`"

"""The declarations: every metric has a meaning, a unit and labels from closed lists; the tallies count like the originals."""

from __future__ import annotations

import re
import time

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics import MetricWrapperBase

from infra.stack.stack import CHECKOUT
from pipeline import chain, metrics
from pipeline.metric_labels import LABELS, unit_of
from pipeline.sink.latency import Ages
from pipeline.stages.validate import REASONS
from tests.scrape import declared, parsed, strange

METRICS = {value._name: value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_means_and_its_labels_are_bounded(name: str) -> None:
    metric = METRICS[name]
    assert name.startswith("auditwire_")
    assert metric._documentation.endswith("."), "the meaning is a sentence"
    assert not set(metric._labelnames) - set(LABELS), "give the label a closed list in pipeline/metric_labels.py"
    if metric._type == "histogram":
        assert unit_of(name) == "seconds" or name.endswith("_events"), "the name of a histogram ends with its unit"


def test_nothing_that_grows_with_the_world_is_a_label() -> None:
    assert not {"tenant", "tenant_id", "agent", "tool", "user", "principal", "id", "path", "key"} & set(LABELS)


def test_the_reasons_are_those_of_the_code() -> None:
    files = [*(CHECKOUT / "connectors" / "sources").glob("*.py"), *(CHECKOUT / "pipeline" / "ingest").glob("*.py")]
    said = {
        reason
        for path in files
        for reason in re.findall(r'(?:Unmappable|BadShape|Reject)\(\s*"([a-z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert said | set(chain.REASONS) | set(REASONS) <= set(LABELS["reason"].values)


def test_a_label_of_no_list_is_found() -> None:
    page = 'auditwire_sink_lag{sink="clickhouse",partition="3"} 1\nauditwire_sink_lag{sink="acme",partition="3"} 1\n'
    page += 'auditwire_sink_halted{sink="archive",partition="demo"} 1\nauditwire_unheard_of 1\n'
    assert strange(parsed(page)) == [
        "auditwire_sink_lag: sink='acme'",
        "auditwire_sink_halted: partition='demo'",
        "auditwire_unheard_of is not declared",
    ]


def test_retention_classes_that_come_and_go_with_revisions_end_in_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_classes", set())
    names = [f"class-{n}" for n in range(metrics.MOST_CLASSES + 1)]
    assert [metrics.class_label(name) for name in names] == [*names[:-1], "other"]
    assert metrics.class_label(names[0]) == names[0]


def test_the_series_of_a_part_begin_at_zero() -> None:
    metrics.begin("clickhouse-sink")
    metrics.begin("processor")
    known = declared()
    for name, labels in (
        ("auditwire_sink_retries_total", ("clickhouse", "fenced")),
        ("auditwire_processor_events_total", ("conflict",)),
        ("auditwire_processor_touched_fields_total", ("cut", "rule")),
    ):
        assert labels in known[name]._metrics


def test_many_equal_values_count_like_each_alone() -> None:
    one = Histogram("one", "x", registry=CollectorRegistry(), buckets=metrics.LATENCY)
    many = metrics.Tally("many", "x", registry=CollectorRegistry(), buckets=metrics.LATENCY)
    values, counts = [0.01, 0.05, 0.2, 4.0, 1e9], [3, 1, 5, 2, 4]
    for value, count in zip(values, counts, strict=True):
        for _ in range(count):
            one.observe(value)
    many.observe_many(values, counts)
    wanted = [
        (s.name.removeprefix("one"), s.labels, s.value) for m in one.collect() for s in m.samples if "created" not in s.name
    ]
    found = [
        (s.name.removeprefix("many"), s.labels, s.value) for m in many.collect() for s in m.samples if "created" not in s.name
    ]
    assert [f[:2] for f in found] == [w[:2] for w in wanted]
    assert [f[2] for f in found] == pytest.approx([w[2] for w in wanted])


def test_ages_are_right_to_a_tenth_and_grow_while_the_events_wait() -> None:
    now, dice = time.time(), np.random.default_rng(7)
    true = 10.0 ** dice.uniform(-2, 6, 5000)
    received = 10.0 ** dice.uniform(-2, 2, 5000)
    batch = columns(now - true, [None if i % 2 else now - age for i, age in enumerate(true)], now - received)
    ages = Ages()
    ages.add(batch.slice(0, 3000), now)
    ages.add(batch.slice(3000), now)
    for since, wanted in (("emitted", true), ("received", received)):
        values, counts = ages.at(now + 5.0)[since]
        assert sum(counts) == 5000
        assert np.sort(np.repeat(values, counts)) == pytest.approx(np.sort(wanted + 5.0), rel=0.06, abs=0.002)


def test_a_range_that_is_open_for_a_quarter_of_an_hour_takes_no_more_memory_for_its_ages() -> None:
    now, ages, dice = time.time(), Ages(), np.random.default_rng(7)
    true: list[float] = []
    for at in np.arange(0.0, 900.0, 0.3).tolist():
        delays = dice.uniform(0.05, 2.0, 4).tolist()
        ages.add(columns([now + at - d for d in delays], [None] * 4, [now + at] * 4), now + at)
        true += [900.0 - at + d for d in delays]
    values, counts = ages.at(now + 900.0)["emitted"]
    assert len(values) < 700
    assert np.sort(np.repeat(values, counts)) == pytest.approx(np.sort(true), rel=0.07, abs=0.01)


def test_a_clock_that_runs_ahead_is_age_zero_and_no_time_is_no_age() -> None:
    now = time.time()
    ages = Ages()
    ages.add(columns([now + 3600], [None], [None]), now)
    found = ages.at(now)
    assert list(found) == ["emitted"]
    assert found["emitted"][0][0] < 0.001


def columns(occurred: object, observed: object, received: object) -> pa.RecordBatch:
    times = [
        pa.array([None if t is None else int(t * 1e6) for t in column], pa.timestamp("us"))  # type: ignore[attr-defined]
        for column in (occurred, observed, received)
    ]
    return pa.RecordBatch.from_arrays(times, names=["occurred_at", "observed_at", "processed_ingested_at"])

"""The processor against the plain one, field by field; and that each way to break a stage is noticed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from auditwire.redaction import detectors_for
from connectors.kafka_lanes import ALL_SAFE
from connectors.kafka_read import Record
from pipeline.batch import Batch
from pipeline.chain import MAX_EVENT_BYTES, Stage
from pipeline.stages import Lookup, enrich, redact, validate
from pipeline.stages.detectors import DETECTORS
from tests.plain import bytes_of, comparison, records, soup
from tests.plain.rules import DEFAULTS
from tests.unit.findings import FINDINGS

KEY = comparison.SEALER.hash_key()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(records.stretches(KEY, 12))
def test_whatever_comes_becomes_what_the_plain_processor_makes_of_it(stretch: records.Stretch) -> None:
    assert comparison.run(stretch).differences == []


def stretch_of(made: list[Record]) -> records.Stretch:
    batch = records.Batch(made, made[0].offset, made[-1].offset + 1, records.REVISIONS[1])
    return records.Stretch([batch], MAX_EVENT_BYTES)


def some(kinds: tuple[str, ...] = records.KINDS, count: int = 150) -> records.Stretch:
    """The same records in each run."""
    maker, rng = records.Maker(KEY), random.Random(5)
    plans = [[(rng.choice(records.COLUMNS), rng.randrange(2**32)) for _ in range(4)] for _ in range(count)]
    made = [maker.record(rng.choice(kinds), rng.randrange(2**32), plan, records.START_MS) for plan in plans]
    return stretch_of(made)


def events(*given: dict[str, Any]) -> records.Stretch:
    maker = records.Maker(KEY)
    values = [
        bytes_of.frame(records.CURRENT)
        + bytes_of.body({**DEFAULTS, **maker.event("", random.Random(n)), **event}, records.SCHEMAS[1])
        for n, event in enumerate(given)
    ]
    return stretch_of([Record(records.PARTITION, n, records.START_MS, b"k", (), v) for n, v in enumerate(values)])


def test_the_records_that_the_broken_stages_get_are_no_difference_and_have_many_fates() -> None:
    seen = comparison.run(some())
    assert seen.differences == []
    assert {"new", "conflict", "duplicate", "bad_avro", "bad_frame", "bad_event_id"} <= set(seen.fates)


def with_all(batch: Batch, now_us: int) -> Any:
    return batch, []


def without_flags(batch: Batch, lookup: Lookup, retention_class: str) -> Batch:
    after = enrich(batch, lookup, retention_class)
    kind = after.columns.schema.field("processed_flags").type
    return after.replace({"processed_flags": pa.array([[]] * len(after), kind)})


def with_the_producers_owners(batch: Batch, lookup: Lookup, retention_class: str) -> Batch:
    return enrich(batch, lookup, retention_class).replace({"processed_owners": batch.column("processed_owners")})


def without_cuts(batch: Batch) -> Any:
    marks = batch.column("truncated_fields")
    after, changed = redact(batch.replace({"truncated_fields": pa.array([[]] * len(batch), marks.type)}))
    return after.replace({"truncated_fields": marks}), changed


def without_names(batch: Batch) -> Any:
    after, changed = redact(batch)
    return after, pa.array([[]] * len(batch), changed.type)


def with_another_reason(batch: Batch, now_us: int) -> Any:
    kept, rejects = validate(batch, now_us)
    return kept, [replace(reject, reason="bad_time") for reject in rejects]


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ({"validate": with_all}, "quarantined"),
        ({"validate": with_another_reason}, "reason"),
        ({"enrich": without_flags}, "processed_flags"),
        ({"enrich": with_the_producers_owners}, "processed_owners"),
        ({"redact": without_cuts}, "clean"),
        ({"redact": without_names}, "processed_redacted_fields"),
    ],
    ids=lambda value: next(iter(value.values())).__name__ if isinstance(value, dict) else "",
)
def test_a_broken_stage_is_noticed(stages: Mapping[str, Stage], said: str) -> None:
    assert any(said in difference for difference in comparison.run(some(), stages).differences)


def test_processing_without_memory_is_noticed() -> None:
    stretch = some(("event", "again"))
    parts = [replace(stretch.batches[0], records=[r], start=r.offset, end=r.offset + 1) for r in stretch.batches[0].records[:40]]
    assert comparison.run(records.Stretch(parts, MAX_EVENT_BYTES)).differences == []
    broken = comparison.run(records.Stretch(parts, MAX_EVENT_BYTES), safety=replace(ALL_SAFE, dedupe=False))
    assert any("duplicates" in difference for difference in broken.differences)


@pytest.mark.parametrize("kind", ("github_token", "secret", "password", "private_key", "iban", "phone"))
def test_a_detector_that_is_left_out_is_noticed(kind: str) -> None:
    stretch = events(*({"prompt": finding.text} for finding in FINDINGS if finding.kind == kind))
    others = tuple(detector for detector in DETECTORS if detector.name != kind)
    assert comparison.run(stretch).differences == []
    assert comparison.run(stretch, {"redact": lambda batch: redact(batch, others)}).differences != []


def test_both_decode_base64_where_the_setting_says_so() -> None:
    said = [soup.encoded(random.Random(number), f"it was {finding.text}") for number, finding in enumerate(FINDINGS[::6])]
    stretch, on = events(*({"prompt": text} for text in said)), detectors_for("base64")
    seen = comparison.run(stretch, detectors=on)
    assert seen.differences == [] and sum(times for what, times in seen.met.items() if what.startswith("redacted")) > 30
    assert comparison.run(stretch, {"redact": lambda batch, _: redact(batch)}, detectors=on).differences != []


def test_letters_beyond_ascii_and_odd_spaces_mean_the_same_to_both() -> None:
    rng = random.Random(3)
    texts = [soup.mixed(rng) for _ in range(300)]
    assert (
        comparison.run(
            events(*({"prompt": a, "source": b, "message": c} for a, b, c in zip(*[iter(texts)] * 3, strict=True)))
        ).differences
        == []
    )

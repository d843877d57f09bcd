"""Why an event is as it is: by the rules it names, asked again; what may have deleted one that is gone."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from connectors import avro
from pipeline import explain
from pipeline.explain.core import DEFAULT, Stored, covering, explained, lines
from pipeline.retention.lengths import Term
from pipeline.rules.decide import Rules
from pipeline.rules.model import Snapshot, canonical, parse
from tests.archive_rows import columns

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = [Term(7, "ab", SINCE, None, {"long": 24}, SINCE)]


def stored(**values: Any) -> Stored:
    whole = columns(1, 1, ("long",))
    arrays = [pa.array([values[f.name]], f.type) if f.name in values else whole.column(f.name) for f in avro.event_arrow_schema()]
    return Stored(pa.RecordBatch.from_arrays(arrays, schema=avro.event_arrow_schema()), NOW)


def rules() -> Snapshot:
    return parse(
        "7",
        canonical(
            {
                "capture": [
                    {"name": "little", "level": "metadata", "tenant": "acme"},
                    {"name": "no-answers", "level": "request"},
                ],
                "retention": [{"name": "everything", "class": "long"}],
                "retention_class": [{"name": "long", "months": 24}],
            }
        ),
    )


def test_the_rules_that_decided_are_named() -> None:
    touched = ["prompt=rule:mask-prompts", "tool_args", "response=rule:no-answers"]
    event = stored(
        tenant_id="demo",
        processed_retention_class="long",
        processed_rules_revision=Rules(rules()).version,
        processed_redacted_fields=touched,
    )
    assert event.revision == 7
    found = explained(event, rules(), TERMS, NOW)
    assert found["retention"] == {
        **{"class": "long", "month": "2026-11", "rule": "everything", "by": "the retention rule everything"},
        **{"stays_until": "2028-12-01T00:00:00Z", "months": 24, "revision": 7},
    }
    assert found["capture"] == {"rule": "no-answers", "level": "request"}
    assert [(one["field"], one["rule"]) for one in found["redacted"]] == [
        *(("prompt", "mask-prompts"), ("tool_args", None), ("response", "no-answers"))
    ]
    said = "\n".join(lines(found))
    assert "no revision of rules" not in said
    assert "it stays until 2028-12-01T00:00:00Z: 24 months by revision 7" in said and "redacted: tool_args, by a detector" in said
    assert json.loads(json.dumps(found)) == found


def test_without_rules_it_says_what_is_known() -> None:
    event = stored(processed_retention_class="standard", processed_rules_revision="6d1f0c2a9b3e", processed_redacted_fields=[])
    assert event.revision is None
    found = explained(event, None, TERMS, NOW)
    assert (found["retention"]["by"], found["retention"]["stays_until"], found["capture"]) == (DEFAULT, None, None)
    assert "for ever" in "\n".join(lines(found)) and "nothing of it was redacted" in "\n".join(lines(found))
    assert "6d1f0c2a9b3e (the detectors'; no revision of rules was published then)" in "\n".join(lines(found))
    assert stored(processed_rules_revision="6d1f/12/outdated").revision == 12


def test_what_may_have_deleted_it_is_no_older_than_its_id() -> None:
    months = [{"class": "short", "month": month, "certificate": month} for month in ("2025-12", "2026-03", "2026-04")]
    made = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
    seven = f"{made:012x}"
    v7 = f"{seven[:8]}-{seven[8:]}-7000-8000-000000000000"
    assert [one["month"] for one in covering(months, v7, None)] == ["2026-03", "2026-04"]
    assert len(covering(months, "0190c0de-7a31-4b52-9c1d-3f2a6b7e8d90", None)) == 3, "another version has no time"
    assert [one["month"] for one in covering(months, v7, "2025-12")] == ["2025-12"], "who knows better says so"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["xyz"], "xyz is no UUID: write it as the column event_id has it"),
        (["0190c0de-7a31-4b52-9c1d-3f2a6b7e8d90", "--month", "2026-13"], "2026-13 is no month: write it like 2026-03"),
        (["0190c0de-7a31-4b52-9c1d-3f2a6b7e8d90", "--month", "march"], "march is no month"),
    ],
)
def test_what_is_no_id_and_no_month_is_refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    explain.add_arguments(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([*words, "--tenant", "demo"])
    assert says in capsys.readouterr().err

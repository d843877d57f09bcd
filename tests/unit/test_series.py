"""Reference data and rules are told apart everywhere: topics, tables, transactional ids, audit events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import avro
from connectors.postgres.reference import Revision
from connectors.reference_topic import POINTER, REVISION, Assembly, Held, ReferenceTopicError, digest
from connectors.series import REFERENCE, RULES, SERIES, Series
from infra.stack.stack import CHECKOUT
from infra.stack.state import POSTGRES_ROLES
from pipeline.metric_labels import LABELS
from pipeline.reference.publisher import audit_event
from schemas import schema_text
from schemas.contract import Contract

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DOCUMENT = '{"rules":[{"id":"r1"},{"id":"r2"}]}'


def revision(number: int = 7) -> Revision:
    return Revision(number, NOW, "ana@example.com", "rules", "a test", digest(DOCUMENT), DOCUMENT, None)


def event(series: Series, number: int = 7) -> dict[str, Any]:
    (found,) = avro.decode([audit_event(revision(number), "audit", series)[1]], schema_text("audit_event")).to_pylist()
    return dict(found)


def test_what_is_of_one_series_is_not_of_the_other() -> None:
    for of in (
        *(lambda s: s.name, lambda s: s.title, lambda s: s.revisions, lambda s: s.outbox, lambda s: s.topic("audit")),
        *(lambda s: s.transactional_id("audit"), lambda s: s.event_type, lambda s: s.source, lambda s: s.target_type),
        lambda s: s.events,
    ):
        assert len({of(series) for series in SERIES}) == len(SERIES)  # type: ignore[no-untyped-call]
    assert REFERENCE.transactional_id("audit") == "audit-reference-publisher", "an older publisher must be fenced"
    assert LABELS["series"].values == tuple(series.name for series in SERIES)
    assert {series.name for series in SERIES} <= set(POSTGRES_ROLES)


def test_the_catalogue_lets_the_publisher_write_both_and_nobody_else() -> None:
    catalogue = Contract(CHECKOUT).topics()
    for series in SERIES:
        topic = catalogue["topics"][series.topic("{namespace}")]
        assert (topic["writers"], topic["schema"]) == (["reference-publisher"], "reference_record.avsc")
        prefixes = [p for p, part in catalogue["transactional_ids"].items() if part == "reference-publisher"]
        assert any(series.transactional_id("{namespace}").startswith(prefix) for prefix in prefixes)


def test_the_audit_event_says_who_published_what_when_and_why() -> None:
    found = event(RULES)
    said = {
        name: found[name] for name in ("event_type", "source", "actor_id", "target_type", "target_id", "reason", "occurred_at")
    }
    assert said == {
        "event_type": "rules.published",
        "source": "auditwire-rules",
        "actor_id": "ana@example.com",
        "target_type": "rules_revision",
        "target_id": "7",
        "reason": "a test",
        "occurred_at": NOW.replace(tzinfo=None),
    }
    attributes = {pair["key"]: pair["value"] for pair in found["attributes"]}
    assert attributes == {"rules": "2", "sha256": digest(DOCUMENT), "database_user": "rules"}


def test_the_same_document_under_the_same_number_is_an_event_of_its_own_in_each_series() -> None:
    assert event(REFERENCE)["event_id"] != event(RULES)["event_id"]
    assert event(RULES, 7)["event_id"] != event(RULES, 8)["event_id"], "going back to an older document is recorded too"


@pytest.mark.parametrize(("series", "remedy"), [(REFERENCE, "apply the reference data anew"), (RULES, "publish the rules anew")])
def test_half_a_revision_is_refused_in_the_words_of_its_series(series: Series, remedy: str) -> None:
    pointer = Held("7", digest(DOCUMENT), "", NOW, "ana@example.com", "a test")
    assembly = Assembly(series)
    assembly.take(POINTER, pointer)
    with pytest.raises(ReferenceTopicError, match=f"the {series.name} topic names revision 7 and does not hold it: {remedy}"):
        assembly.whole()
    assembly.take(REVISION + b"7", Held("7", digest(DOCUMENT), DOCUMENT, NOW, "ana@example.com", "a test"))
    assert assembly.whole() == ("7", DOCUMENT)

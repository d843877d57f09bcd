"""A revision of rules: one canonical text, whatever files it came from, and the snapshot that is read out of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.rules.model import EMPTY, ModelError, RetentionClass, When, canonical, parse

WHEN: dict[str, Any] = {"text": "tool_name = 'run_sql'", "tree": ["=", "tool_name", "run_sql"]}
DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "detector": [{"kind": "detector", "name": "staff", "pattern": "E[0-9]{5}", "personal": True}],
    "redaction": [
        {"name": "all", "fields": ["prompt", "content"], "action": "drop"},
        {"name": "own", "tenant": "demo", "fields": ["prompt"], "action": "cut", "length": 20, "when": WHEN},
        {"name": "also-all", "fields": ["reason"], "action": "mask", "detectors": ["staff"]},
    ],
    "capture": [{"name": "little", "level": "metadata"}],
    "retention_class": [{"name": "short", "months": 3, "reason": "no high risk"}, {"name": "long", "months": 120}],
    "retention": [{"name": "denials", "when": WHEN, "class": "long"}],
}


def test_what_is_written_is_what_is_read() -> None:
    found = parse("7", canonical(DOCUMENTS))
    assert found.revision == "7"
    assert [d.name for d in found.redactions] == ["own", "all", "also-all"], "a tenant's own first, then as written"
    own = found.redactions[0]
    assert (own.tenant, own.when, own.length) == ("demo", When(**WHEN), 20)
    assert found.detectors[0].personal and found.captures[0].when is None
    assert found.retention_class("short") == RetentionClass("short", 3, "no high risk")
    assert found.retention_class("none") is None
    assert [c.name for c in found.classes] == ["long", "short"]
    assert found.retentions[0].retention_class == "long"


def test_the_same_rules_give_the_same_text_but_the_order_of_rules_counts() -> None:
    other = {kind: list(reversed(documents)) for kind, documents in DOCUMENTS.items()}
    text = canonical(DOCUMENTS)
    assert canonical({**DOCUMENTS, "retention_class": other["retention_class"], "example": [{"name": "x"}]}) == text
    assert canonical({**DOCUMENTS, "redaction": other["redaction"]}) != text


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"form":1}', '{"form":2}', json.dumps({"form": 1, "detectors": [1]})])
def test_what_is_no_revision_is_said(text: str) -> None:
    with pytest.raises(ModelError, match="revision 3 of the rules"):
        parse("3", text)


def test_nothing_published_is_no_rule_at_all() -> None:
    assert (EMPTY.revision, EMPTY.redactions, EMPTY.classes) == ("", (), ())

"""What `auditwired rules diff` shows between revisions, what `history` prints, and that `publish` holds to the examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.rules import command
from pipeline.rules.compare import changes
from tests.rules import revision

ONE = """\
kind: redaction
name: no-prompts
when: tool_server = 'crm-mcp'
fields: [prompt]
action: drop
---
kind: capture
name: a
when: event_type = 'a'
level: metadata
---
kind: capture
name: b
tenant: demo
when: event_type = 'b'
level: request
---
kind: retention_class
name: brief
months: 2
reason: a test
"""


def lines(old: str, new: str) -> list[str]:
    return [line for change in changes(old and revision(old), revision(new)) for line in change.lines()]


def test_what_is_added_removed_and_changed_is_named_field_by_field() -> None:
    other = (
        ONE.replace("fields: [prompt]", "fields: [response, prompt]").replace("'crm-mcp'", "'crm'").replace("name: a", "name: c")
    )
    assert lines("", ONE) == ["+ redaction no-prompts", "+ capture a", "+ capture b (tenant demo)", "+ retention_class brief"]
    assert lines(ONE, ONE) == []
    assert lines(ONE, other) == [
        "~ redaction no-prompts",
        "    fields: prompt -> prompt, response",
        "    when: tool_server = 'crm-mcp' -> tool_server = 'crm'",
        "- capture a",
        "+ capture c",
    ]


def test_another_order_of_rules_is_a_change_and_of_classes_is_none() -> None:
    two = "kind: capture\nname: {}\nwhen: event_type = '{}'\nlevel: metadata\n---\n"
    first, second = two.format("x", "x"), two.format("y", "y")
    assert lines(first + second, second + first) == ["~ order of capture rules", "    x, y -> y, x"]
    classes = [f"kind: retention_class\nname: {name}\nmonths: 12\n---\n" for name in "ab"]
    assert lines("".join(classes), "".join(reversed(classes))) == []


def test_what_history_prints_is_the_same_revision_again() -> None:
    document = revision(ONE)
    printed = command._text_of(document, "Revision 1, published by ana@example.com: why")
    assert printed.startswith("# Revision 1, published by ana@example.com: why\n---\n")
    assert revision(printed) == document and json.loads(document)["captures"][0]["tenant"] == "demo"


@pytest.mark.parametrize(("expected", "problems"), [("''", 0), ("x", 1)])
def test_publish_refuses_a_folder_whose_examples_fail(tmp_path: Path, expected: str, problems: int) -> None:
    example = f"kind: example\nname: e\nevent: {{tool_server: crm-mcp, prompt: x}}\nexpect: {{fields: {{prompt: {expected}}}}}\n"
    (tmp_path / "rules.yaml").write_text(f"{ONE}---\n{example}", encoding="utf-8")
    assert len(command._read_and_test(tmp_path)[1]) == problems
    assert len(command._read(tmp_path)[1]) == 0


@pytest.mark.parametrize(("encoded", "problems"), [("base64", 0), ("percent", 1)])
def test_examples_are_looked_at_as_the_processors_setting_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoded: str, problems: int
) -> None:
    monkeypatch.setenv("AUDITWIRE_PROCESSOR_REDACT_ENCODED", encoded)
    example = "{event: {prompt: bWFpbCBib2JAZXhhbXBsZS5jb20=}, expect: {fields: {prompt: '[REDACTED:email]'}}}"
    (tmp_path / "rules.yaml").write_text(f"{{kind: example, name: e, {example[1:]}", encoding="utf-8")
    assert len(command._read_and_test(tmp_path)[1]) == problems

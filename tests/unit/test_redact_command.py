"""`auditwired redact`: lines in, lines out, and what it says of those that are wrong; and detectors of people's own."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditwire.redaction import spans
from pipeline import redact_command
from pipeline.rules.patterns import Unusable
from pipeline.stages import redact
from pipeline.stages.detectors import DETECTORS
from pipeline.stages.own import own
from tests.unit.batches import column, prompts

TOKEN = "glpat-A1b2C3d4E5f6G7h8I9j0"


def answers(
    lines: str, monkeypatch: pytest.MonkeyPatch, capsys: Any, rules: Path | None = None, encoded: str = "percent"
) -> tuple[int, list[Any], str]:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines.encode())))
    code = redact_command.run(argparse.Namespace(rules=rules, encoded=encoded))
    out, said = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], said


def test_lines_are_redacted_with_the_places_of_what_was_found(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    line = json.dumps({"id": "a", "field": "prompt", "text": f"é {TOKEN} of bob@example.com"})
    code, found, said = answers(line + "\n\n", monkeypatch, capsys)
    assert (code, said) == (0, "")
    assert found == [
        {
            "id": "a",
            "redacted_text": "é [REDACTED:gitlab_token] of [REDACTED:email]",
            "spans": [{"start": 2, "end": 28, "kind": "gitlab_token"}, {"start": 32, "end": 47, "kind": "email"}],
        }
    ]


@pytest.mark.parametrize(
    ("encoded", "left"), [("percent", "ctx bWFpbCBib2JAZXhhbXBsZS5jb20="), ("base64", "ctx [REDACTED:email]")]
)
def test_base64_is_decoded_where_that_is_asked_for(encoded: str, left: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    code, found, _ = answers('{"id": 1, "text": "ctx bWFpbCBib2JAZXhhbXBsZS5jb20="}', monkeypatch, capsys, encoded=encoded)
    assert (code, found[0]["redacted_text"]) == (0, left)


def test_facts_are_searched_for_secrets_only(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    text = f"{TOKEN} bob@example.com"
    lines = [json.dumps({"id": field, "field": field, "text": text}) for field in ("target_id", "prompt", "no_such_field")]
    _, found, _ = answers("\n".join(lines), monkeypatch, capsys)
    assert ["bob@example.com" in one["redacted_text"] for one in found] == [True, False, False]
    assert all(TOKEN not in one["redacted_text"] for one in found)


def test_wrong_lines_are_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    lines = ["no", '{"id": 1}', '{"text": "x"}', '{"id": 1, "text": 5}', r'{"id": 1, "text": "\ud800"}', '{"id": 7, "text": "x"}']
    code, found, said = answers("\n".join(lines), monkeypatch, capsys)
    assert code == 1
    assert found == [{"id": 7, "redacted_text": "x", "spans": []}]
    assert [line.split(": ")[1] for line in said.splitlines()] == [f"line {n}" for n in range(1, 6)]


def test_detectors_of_rule_documents_search_too(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("kind: detector\nname: badge\npattern: EMP-[0-9]{6}\n")
    for rules in (tmp_path, file):
        _, found, _ = answers('{"id": 1, "text": "of EMP-123456"}', monkeypatch, capsys, rules)
        assert found[0]["redacted_text"] == "of [REDACTED:badge]"
    file.write_text("kind: detector\nname: badge\npattern: (?=a)b\n")
    code, found, said = answers('{"id": 1, "text": "x"}', monkeypatch, capsys, tmp_path)
    assert (code, found) == (2, [])
    assert "own.yaml:3" in said and "look-around" in said


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "own.yaml",
            "kind: detector\nname: badge\npatern: EMP\n",
            "own.yaml:3: detector badge: patern: detector has no such field",
        ),
        ("own.yaml", "kind: detektor\nname: badge\npattern: EMP\n", "own.yaml:1: detektor badge: kind: 'detektor' is no kind"),
        ("own.txt", "kind: detector\nname: badge\npattern: EMP\n", "own.txt does not end in .yaml or .yml"),
        ("", "", "own.yaml is not there"),
    ],
)
def test_detectors_that_would_not_search_are_refused(
    name: str, text: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    if name:
        (tmp_path / name).write_text(text)
    code, found, said = answers('{"id": 1, "text": "EMP"}', monkeypatch, capsys, tmp_path / (name or "own.yaml"))
    assert (code, found) == (2, [])
    assert says in said


def test_a_detector_of_ones_own_works_in_columns_as_it_does_alone() -> None:
    badge = own("badge", "(?i:emp)-[0-9]{4}", personal=True)
    texts = ["a EMP-1234 b emp-99998", "é🙂emp-1234", "none", r"{\"k\": \"\u0065mp-1234\"}", "nul \0 emp-1234"]
    found = spans(texts, (badge,))
    assert [[text[one.start : one.end] for one in here] for text, here in zip(texts, found, strict=True)] == [
        ["EMP-1234", "emp-9999"],
        ["emp-1234"],
        [],
        [r"\u0065mp-1234"],
        ["emp-1234"],
    ]
    assert column(redact(prompts(texts[:4]), (*DETECTORS, badge))[0], "prompt") == [
        "a [REDACTED:badge] b [REDACTED:badge]8",
        "é🙂[REDACTED:badge]",
        "none",
        r"{\"k\": \"[REDACTED:badge]\"}",
    ]


@pytest.mark.parametrize(
    ("name", "pattern"), [("Badge", "x"), ("email", "x"), ("badge", "x*"), ("badge", "(a)\\1"), ("badge", "a(")]
)
def test_what_cannot_be_a_detector_is_refused(name: str, pattern: str) -> None:
    with pytest.raises(Unusable):
        own(name, pattern)


def test_a_pattern_that_python_takes_years_for_is_linear() -> None:
    assert spans(["a" * 5000 + "b"], (own("badge", "(?:a+)+c"),)) == [[]]

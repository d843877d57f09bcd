"""docs/rules.md says what the schemas, the command line and the stages say; its documents and the example folder are in order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import pipeline.__main__ as command_line
from infra.stack.stack import CHECKOUT
from pipeline.reference import source
from pipeline.rules import check, columns, decide
from pipeline.rules.model import KINDS

PAGE = (CHECKOUT / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = CHECKOUT / "examples" / "rules"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_explained_as_its_schema_does(kind: str) -> None:
    schema = check.SHAPES.schema_of(kind)
    rows = "\n".join(
        f"| `{name}`{' (required)' if name in schema['required'] else ''} | {field['description']} |"
        for name, field in schema["properties"].items()
        if name != "kind"
    )
    assert rows in PAGE, f"docs/rules.md must have these rows:\n{rows}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_of_the_schemas_fit_them(kind: str) -> None:
    from jsonschema import Draft202012Validator

    schema = check.SHAPES.schema_of(kind)
    Draft202012Validator.check_schema(schema)
    for example in schema["examples"]:
        Draft202012Validator(schema).validate(example)


def test_capture_levels_and_the_order_of_actions_are_those_of_the_stages() -> None:
    for level, dropped in columns.DROPPED_AT.items():
        assert f"| `{level}` | {', '.join(f'`{name}`' for name in dropped) or 'none'} |" in PAGE
    first, *rest = (f"`{action}`" for action in decide.STRENGTH)
    assert f"{first}, then {', '.join(rest)}; of two alike" in " ".join(PAGE.split())


def test_the_documents_on_the_page_are_in_order_and_its_example_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n, text in enumerate(re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)):
        (tmp_path / f"{n}.yaml").write_text(text, encoding="utf-8")
    assert command_line.main(["rules", "test", str(tmp_path)]) == 0, capsys.readouterr().err


def test_the_example_folder_is_in_order_and_does_what_its_examples_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["rules", "check", str(EXAMPLES)]) == 0, capsys.readouterr().err
    assert command_line.main(["rules", "test", str(EXAMPLES)]) == 0, capsys.readouterr().err
    documents, _ = source.read(EXAMPLES, KINDS)
    assert {document.kind for document in documents} == set(KINDS)


def test_an_example_that_fails_is_named_with_what_was_expected_and_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """\
kind: redaction
name: no-prompts
fields: [prompt]
action: drop
---
kind: example
name: a prompt
event: {prompt: p, session: x}
expect: {fields: {prompt: p}}
---
kind: example
name: another
event: {prompt: p, response: r, attributes: {a: b}}
expect:
  capture: metadata
  retention_class: standard
  fields: {prompt: p, response: r, attributes: {a: b}}
  redacted: []
"""
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    assert command_line.main(["rules", "test", str(tmp_path)]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("x.yaml:8: example a prompt: event.session: there is no field 'session' (did you mean session_id?)")
    (tmp_path / "x.yaml").write_text(text.replace("session:", "session_id:"), encoding="utf-8")
    assert command_line.main(["rules", "test", str(tmp_path)]) == 1
    way = ": correct the rules, or what is expected of them"
    assert [line.removeprefix("x.yaml:").removesuffix(way) for line in capsys.readouterr().err.splitlines()] == [
        "9: example a prompt: expect.fields.prompt: expected 'p', found ''",
        "17: example another: expect.fields.prompt: expected 'p', found ''",
        "15: example another: expect.capture: expected 'metadata', found 'request_response'",
        "18: example another: expect.redacted: expected [], found ['prompt=rule:no-prompts']",
    ]
    (tmp_path / "x.yaml").write_text("kind: capture\nname: c\nlevel: metadata\n", encoding="utf-8")
    assert command_line.main(["rules", "test", str(tmp_path)]) == 1
    assert "there are no examples" in capsys.readouterr().err
    assert command_line.main(["rules", "check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "in order: 1 capture, 0 detectors, 0 redactions, 0 retentions, 0 retention classes\n"


def test_the_commands_on_the_page_are_ones_that_exist() -> None:
    commands = re.findall(r"^\$ auditwired (rules .*)$", PAGE, flags=re.MULTILINE)
    assert {c.split()[1] for c in commands} >= {"check", "test", "diff", "publish", "history"}
    for command in commands:
        words = re.findall(r'"[^"]*"|\S+', command.partition(">")[0])
        command_line.parser("rules").parse_args([word.strip('"') for word in words])


def test_the_schemas_are_valid_json_with_an_id_of_their_own() -> None:
    ids = {json.loads(path.read_text(encoding="utf-8"))["$id"] for path in (CHECKOUT / "schemas" / "rules").iterdir()}
    assert ids == {f"urn:auditwire:rules:{kind}:1" for kind in KINDS}

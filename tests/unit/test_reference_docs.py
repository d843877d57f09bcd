"""docs/reference-data.md says what the schemas, the built-in controls, the stage and the command line say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.stack.stack import CHECKOUT
from pipeline.__main__ import parser
from pipeline.reference import check, source
from pipeline.reference.model import EMPTY, KINDS

PAGE = (CHECKOUT / "docs" / "reference-data.md").read_text(encoding="utf-8")


def table(kind: str) -> str:
    """The rows that the page must have for one kind of document."""
    schema = check.schema_of(kind)
    rows = [
        f"| `{name}`{' (required)' if name in schema['required'] else ''} | {field['description']} |"
        for name, field in schema["properties"].items()
        if name != "kind"
    ]
    return "\n".join(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_explained_as_its_schema_does(kind: str) -> None:
    assert table(kind) in PAGE, f"docs/reference-data.md must have these rows:\n{table(kind)}"


def test_built_in_controls_are_listed() -> None:
    rows = [f"| `{c.id}` | {c.title} | {', '.join(f'`{t}`' for t in c.event_types)} |" for c in EMPTY.controls]
    assert [row for row in rows if row not in PAGE] == []


def test_every_flag_is_explained() -> None:
    stage = (CHECKOUT / "pipeline" / "stages" / "enrich.py").read_text(encoding="utf-8")
    raised = set(re.findall(r'"(tenant_unknown|source_\w+|agent_unknown|tool_unknown)"', stage)) - {"source_event_type"}
    raised |= {f"agent_version_{status}" for status in ("unknown", "deprecated", "retired")}
    raised |= {"tool_category_differs=", "tool_definition_differs=", "tool_definition_unstated="}
    rows = set(re.findall(r"^\| `([a-z_]+=?)(?:…)?` \|", PAGE, flags=re.MULTILINE))
    assert raised <= rows


def test_the_documents_on_the_page_are_in_order(tmp_path: Path) -> None:
    for n, text in enumerate(re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)):
        (tmp_path / f"{n}.yaml").write_text(text, encoding="utf-8")
    documents, problems = source.read(tmp_path)
    assert [str(p) for p in problems + check.problems(documents, ["standard", "extended"])] == []
    assert {d.kind for d in documents} == set(KINDS)


def test_the_commands_on_the_page_are_ones_that_exist() -> None:
    commands = re.findall(r"^\$ auditwired (reference .*)$", PAGE, flags=re.MULTILINE)
    assert {c.split()[1] for c in commands} == {"check", "diff", "apply", "history"}
    for command in commands:
        words = re.findall(r'"[^"]*"|\S+', command.partition(">")[0])
        parser("reference").parse_args([word.strip('"') for word in words])

"""What `auditwired reference check` refuses, and how it says so: file, line, document, field and the way out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import pipeline.__main__ as command_line
from pipeline.reference import check, compare, source
from pipeline.reference.model import KINDS, canonical

GOOD = """\
kind: tenant
id: demo
---
kind: agent
id: agent-one
tenant: demo
owner: team@example.com
versions:
  "1.4": approved
"""


CONTROL = "kind: control\nid: {}\ntitle: t\nevent_types: ['*']\n---\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    return tmp_path


def said(folder: Path, text: str) -> list[str]:
    """Problems of the good documents and a further file ``x.yaml``."""
    (folder / "x.yaml").write_text(text, encoding="utf-8")
    documents, problems = source.read(folder)
    return [str(p) for p in problems + check.problems(documents, ["standard", "extended"])]


def test_good_documents_have_no_problem(folder: Path) -> None:
    assert said(folder, "") == []
    assert said(folder, "---\nkind: tenant\nid: acme\n---\n") == []


TOOL = "kind: tool\nname: run_sql\nowner: data@example.com\nrisk_tier: high\n"
CASES = {
    "misspelt kind": (
        "\n\nkind: tol\nname: x\n",
        "x.yaml:3: tol x: kind: 'tol' is no kind (did you mean tool?): write kind: and one of",
    ),
    "no kind": (
        "name: x\n",
        "x.yaml:1: document x: kind is missing: write kind: and one of tenant, agent, tool, source, control",
    ),
    "no document": ("- a\n- b\n", "x.yaml:1: a document is fields with values, beginning with kind:"),
    "missing field": (
        "kind: tool\nname: run_sql\nrisk_tier: high\n",
        "x.yaml:1: tool run_sql: owner is missing: add it. Who answers for it",
    ),
    "misspelt field": (
        TOOL + "ownr: x\n",
        "x.yaml:5: tool run_sql: ownr: tool has no such field (did you mean owner?): it has kind, name",
    ),
    "misspelt value": (
        TOOL.replace("high", "hgih"),
        "x.yaml:4: tool run_sql: risk_tier: 'hgih' is none of low, medium, high, critical (did you mean high?): correct it",
    ),
    "unquoted version": (
        "kind: agent\nid: a\nowner: o\nversions:\n  1.10: approved\n",
        "x.yaml:5: agent a: versions.1.10: YAML reads this key as a number: write it in quotes",
    ),
    "unquoted text": (
        "kind: tool\nname: 12\nowner: o\nrisk_tier: low\n",
        "x.yaml:2: tool 12: name: must be text, and YAML reads a number: write",
    ),
    "no value": (
        "kind: tool\nname: x\nowner:\nrisk_tier: low\n",
        "x.yaml:3: tool x: owner: must be text, and YAML reads nothing: give it a value",
    ),
    "key twice": (
        "kind: tenant\nid: acme\nregion: a\nregion: b\n",
        "x.yaml:4: tenant acme: region: stands twice (line 3 has it too): remove one",
    ),
    "bad tenant id": (
        "kind: tenant\nid: Acme Inc\n",
        "x.yaml:2: tenant Acme Inc: id: does not have the form ^[a-z0-9_.-]{1,64}$. The tenant's id",
    ),
    "line break": ('kind: tenant\nid: "acme\\n"\n', "id: holds a line break or another control character: remove it"),
    "not a list": (
        "kind: source\nname: s\ntenants: demo\n",
        "x.yaml:3: source s: tenants: must be a list. Tenants it may speak for.",
    ),
    "no event types": (
        "kind: control\nid: C\ntitle: t\nevent_types: []\n",
        "x.yaml:4: control C: event_types: needs at least 1 item.",
    ),
    "star inside": (
        "kind: control\nid: C\ntitle: t\nevent_types: ['a*b']\n",
        "x.yaml:4: control C: event_types.0: does not have the form",
    ),
    "duplicate": ("kind: tenant\nid: demo\n", "x.yaml:1: tenant demo: is registered twice, first at good.yaml:1: remove one"),
    "unknown tenant of an agent": (
        "kind: agent\nid: b\ntenant: dmeo\nowner: o\n",
        "x.yaml:3: agent b (tenant dmeo): tenant: there is no tenant 'dmeo' (did you mean demo?): correct the name, or add",
    ),
    "unknown tenant of a tool": (
        TOOL + "tenant: acme\n",
        "x.yaml:5: tool run_sql (tenant acme): tenant: there is no tenant 'acme'",
    ),
    "unknown tenant of a source": (
        "kind: source\nname: s\ntenants: [demo, acme]\n",
        "x.yaml:3: source s: tenants.1: there is no tenant 'acme'",
    ),
    "unknown retention class": (
        "kind: tenant\nid: acme\nretention_class: standart\n",
        "x.yaml:3: tenant acme: retention_class: 'standart' is none of AUDITWIRE_RETENTION_CLASSES (standard, extended)"
        " (did you mean standard?): correct it, or add the class there, also one of the rules",
    ),
    "not YAML": ("kind: tenant\n  id: [\n", "x.yaml:2: is not YAML: mapping values are not allowed in this context: indent with"),
    "a tab": (
        "kind: tenant\n\tid: acme\n",
        "x.yaml:2: is not YAML: found a tab character that violates indentation: indent with spaces",
    ),
    "alias": (
        "kind: source\nname: &n s\n---\nkind: source\nname: *n\n",
        "x.yaml:5: anchors and aliases (& and *) are not read: write it out",
    ),
    "digest with a blank": (TOOL + 'definitions: {"1": "a b"}\n', "tool run_sql: definitions.1: does not have the form"),
    "bad version status": (
        'kind: agent\nid: a\nowner: o\nversions: {"1": ok}\n',
        "agent a: versions.1: 'ok' is none of approved, deprecated, retired",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_named_with_its_place_and_the_way_out(folder: Path, case: str) -> None:
    text, expected = CASES[case]
    found = said(folder, text)
    assert any(expected in line for line in found), "\n".join(found)


def test_two_tools_of_one_name_are_two_where_server_or_tenant_differ(folder: Path) -> None:
    more = [TOOL, TOOL + "server: a\n", TOOL + "server: b\n", TOOL + "server: a\ntenant: demo\n"]
    assert said(folder, "---\n".join(more)) == []
    assert len(said(folder, "---\n".join([*more, more[1]]))) == 1


def test_a_folder_that_is_none_or_empty_is_refused(tmp_path: Path) -> None:
    assert "is no folder" in str(source.read(tmp_path / "nowhere")[1][0])
    (tmp_path / ".hidden.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no", encoding="utf-8")
    assert "holds no documents in .yaml files" in str(source.read(tmp_path)[1][0])
    (tmp_path / "latin.yml").write_bytes(b"kind: tenant\nid: \xe4\n")
    assert "latin.yml: is not UTF-8" in str(source.read(tmp_path)[1][0])


def test_documents_that_are_too_large_together_are_refused_before_anything_is_stored(tmp_path: Path) -> None:
    digest = "sha256:" + "0" * 200
    versions = "".join(f'  "{n}": {digest}\n' for n in range(1000))
    (tmp_path / "tools.yaml").write_text(
        "---\n".join(f"{TOOL.replace('run_sql', f't{n}')}definitions:\n{versions}" for n in range(20))
    )
    documents, problems = source.read(tmp_path)
    assert problems + check.problems(documents, ["standard"]) == []
    _, large = check.document_of(documents)
    assert large and "4,194,304 is the most that is published: remove what no longer acts" in str(large)
    assert check.document_of(documents[:15])[1] is None


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_published_strict_and_explained(kind: str) -> None:
    schema = check.schema_of(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False and schema["description"] and schema["examples"]
    for name, field in schema["properties"].items():
        assert field.get("description"), f"{kind}.{name} has no description"
    for example in schema["examples"]:
        Draft202012Validator(schema).validate(example)
        assert set(example) <= set(schema["properties"])


def test_check_needs_no_server_and_says_0_or_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AUDITWIRE_REFERENCE_POSTGRES_DSN", raising=False)
    assert command_line.main(["reference", "check", str(folder)]) == 0
    assert "in order: 1 agent, 0 controls, 0 sources, 1 tenant, 0 tools" in capsys.readouterr().out
    (folder / "x.yaml").write_text("kind: tenant\nid: acme\nretention_class: long\n", encoding="utf-8")
    assert command_line.main(["reference", "check", str(folder)]) == 1
    assert "1 to correct; nothing was changed" in capsys.readouterr().err
    monkeypatch.setenv("AUDITWIRE_RETENTION_CLASSES", "standard, long")
    assert command_line.main(["reference", "check", str(folder)]) == 0
    monkeypatch.setenv("AUDITWIRE_RETENTON_CLASSES", "long")
    assert command_line.main(["reference", "check", str(folder)]) == 2
    assert "Did you mean AUDITWIRE_RETENTION_CLASSES?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["apply", "x"], ["apply"], [], ["history", "--revision", "one"]])
def test_wrong_arguments_are_exit_code_2(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline", "reference", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: auditwired reference" in done.stderr


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 3000])
def test_a_reason_is_one_line(folder: Path, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["reference", "apply", str(folder), "--reason", reason]) == 2
    assert "--reason must be one line" in capsys.readouterr().err


def test_differences_are_named_by_document_and_field() -> None:
    def text(**documents: Sequence[Mapping[str, Any]]) -> str:
        return canonical(documents)

    agent = {"id": "a", "owner": "o", "versions": {"1": "approved", "2": "approved"}}
    old = text(agent=[agent], tenant=[{"id": "demo"}], source=[{"name": "s", "tenants": ["demo"]}])
    new = text(
        agent=[{**agent, "versions": {"1": "retired", "3": "approved"}}],
        tool=[{"name": "t", "server": "v"}],
        source=[{"name": "s", "tenants": ["demo", "acme"]}],
    )
    lines = [line for change in compare.changes(old, new) for line in change.lines()]
    assert lines == [
        "~ agent a",
        "    versions.1: approved -> retired",
        "    versions.2: approved -> (nothing)",
        "    versions.3: (nothing) -> approved",
        "~ source s",
        "    tenants: demo -> acme, demo",
        "- tenant demo",
        "+ tool v/t",
    ]
    assert compare.changes(old, old) == []
    assert [c.how for c in compare.changes("", old)] == ["added"] * 3
    assert json.loads(old)["form"] == 1


def test_controls_that_would_outgrow_an_event_are_refused(folder: Path) -> None:
    """An event can be evidence for all of them at once, and nothing may be refused because of reference data."""
    fitting = [CONTROL.format(f"C{n:04}".ljust(64, "x")) for n in range(128)]
    assert said(folder, "".join(fitting)) == []
    (line,) = said(folder, "".join([*fitting, CONTROL.format("one-more"), CONTROL.format("two-more")]))
    assert "control one-more: id: " in line and "8,192" in line and "remove" in line

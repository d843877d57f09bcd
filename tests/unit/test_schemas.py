"""The contract's own check, seen to pass on this checkout and to fail on each way of breaking it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
import yaml

from schemas import binary, compat
from schemas.contract import Contract, load
from schemas.outputs import outputs
from schemas.tool import main

ROOT = Path(__file__).parent.parent.parent
Schema = dict[str, Any]
EXAMPLES = Contract(ROOT).examples()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the contract to break."""
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for generated in ("connectors/sdk/src/auditwire/_event.py", "docs/event-reference.md"):
        (tmp_path / generated).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / generated, tmp_path / generated)
    return tmp_path


def edit(checkout: Path, change: Callable[[Schema], None], name: str = "audit_event") -> None:
    path = checkout / "schemas" / "avro" / f"{name}.avsc"
    schema = load(path)
    change(schema)
    path.write_text(json.dumps(schema), encoding="utf-8")


def field(schema: Schema, name: str) -> Schema:
    found: Schema = next(f for f in schema["fields"] if f["name"] == name)
    return found


def extra(name: str, **marks: Any) -> Schema:
    return {"name": name, "type": "string", "default": "", "class": "fact", "doc": "New.", **marks}


def check(checkout: Path, capsys: pytest.CaptureFixture[str]) -> str:
    code = main(["check"], checkout)
    out = capsys.readouterr()
    assert (code == 0) == (out.err == ""), out.err
    return out.err


def test_this_checkout_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(ROOT, capsys) == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: field(s, "tool_name").pop("doc"), "audit_event.tool_name is not documented"),
        (lambda s: field(s, "tool_name").pop("class"), "audit_event.tool_name has no class"),
        (lambda s: field(s, "tool_name").update({"class": "secret"}), "audit_event.tool_name has no class"),
        (lambda s: s["fields"].extend(extra(f"more_{i}") for i in range(2)), "81 columns, at most 80"),
        (lambda s: s["fields"].append(extra("camelCase")), "audit_event.camelCase is not snake_case"),
        (lambda s: s["fields"].remove(field(s, "tool_name")), "tool_name was removed or renamed"),
        (lambda s: field(s, "tool_name").update(name="tool"), "tool_name was removed or renamed"),
        (lambda s: field(s, "tool_name").update(type=["null", "string"]), "tool_name: its type was changed"),
        (lambda s: field(s, "input_tokens").update(type=["null", "double"]), "input_tokens: its type was changed"),
        (lambda s: field(s, "tool_name").update(default="none"), "tool_name: its default was changed"),
        (lambda s: field(s, "tool_name").pop("default"), "tool_name: its default was changed"),
        (lambda s: field(s, "prompt").update({"class": "fact"}), "prompt: its class was changed"),
        (
            lambda s: s["fields"].append({"name": "added", "type": "string", "class": "fact", "doc": "New."}),
            "added is new and has no default",
        ),
        (lambda s: s["fields"].append(extra("added", type=["null", "string"])), "added: its default must be of type null"),
        (lambda s: s["fields"].insert(0, extra("added")), "add new fields at the end"),
        (lambda s: s["fields"].append(s["fields"].pop(5)), "add new fields at the end"),
        (lambda s: s.update(name="Event"), "auditwire.AuditEvent was renamed"),
        (lambda s: field(s, "attributes")["type"]["items"]["fields"].pop(), "attributes[].value was removed"),
        (
            lambda s: field(s, "attributes")["type"]["items"]["fields"].append({"name": "n", "type": "long", "doc": "N."}),
            "attributes[].n is new",
        ),
        (lambda s: s["fields"].append(extra("added")), "has changed since version 3: run `python -m schemas release`"),
    ],
)
def test_a_broken_event_schema_is_named(
    checkout: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Schema], None], says: str
) -> None:
    edit(checkout, change)
    assert says in check(checkout, capsys)


def test_every_released_version_counts_not_only_the_newest(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(checkout, lambda s: s["fields"].append(extra("added")), "ledger_record")
    assert main(["release"], checkout) == 0
    (checkout / "schemas/released/ledger_record/2.avsc").write_text(
        (checkout / "schemas/released/ledger_record/1.avsc").read_text(encoding="utf-8"), encoding="utf-8"
    )
    first = checkout / "schemas/released/ledger_record/1.avsc"
    schema = load(first)
    schema["fields"].append(extra("old_one"))
    first.write_text(json.dumps(schema), encoding="utf-8")
    assert "ledger_record against version 1: old_one was removed" in check(checkout, capsys)


def test_an_added_field_is_released_generated_and_then_in_order(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(checkout, lambda s: s["fields"].append(extra("added")))
    assert main(["release"], checkout) == 0
    example = checkout / "schemas/examples/audit_event/maximal.json"
    example.write_text(json.dumps({**load(example), "added": "x"}), encoding="utf-8")
    capsys.readouterr()
    assert "out of date: run `python -m schemas generate`" in check(checkout, capsys)
    assert main(["generate"], checkout) == 0
    capsys.readouterr()
    assert check(checkout, capsys) == ""


def test_a_broken_change_is_not_released(checkout: Path) -> None:
    edit(checkout, lambda s: s["fields"].pop(3))
    with pytest.raises(SystemExit, match="cannot be released"):
        main(["release"], checkout)


def test_documentation_may_change_without_a_release(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(checkout, lambda s: field(s, "tool_name").update(doc="Better words."))
    assert main(["generate"], checkout) == 0
    capsys.readouterr()
    assert check(checkout, capsys) == ""


@pytest.mark.parametrize("generated", ["connectors/sdk/src/auditwire/_event.py", "docs/event-reference.md"])
def test_a_stale_generated_file_is_named(checkout: Path, capsys: pytest.CaptureFixture[str], generated: str) -> None:
    with (checkout / generated).open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert f"{generated} is out of date" in check(checkout, capsys)


def test_missing_released_version(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "schemas/released/audit_event/1.avsc").unlink()
    assert "released versions of audit_event must be 1, 2, 3" in check(checkout, capsys)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t["topics"]["{namespace}.raw"].update(schema="audit.avsc"), "names schema 'audit.avsc'"),
        (lambda t: t["topics"]["{namespace}.raw"].pop("doc"), "{namespace}.raw has no doc"),
        (lambda t: t["topics"]["{namespace}.raw"].update(writers=[]), "{namespace}.raw has no writers"),
        (lambda t: t["topics"].pop("{namespace}.ledger"), "topic {namespace}.ledger is missing"),
        (lambda t: t["topics"]["{namespace}.events"].update(partitions=7), "partition count of its own"),
    ],
)
def test_a_broken_topic_catalogue_is_named(
    checkout: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Schema], None], says: str
) -> None:
    path = checkout / "schemas/topics.yaml"
    topics = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(topics)
    path.write_text(yaml.safe_dump(topics), encoding="utf-8")
    assert says in check(checkout, capsys)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"event_typ": "x"}, "AuditEvent has no such field"),
        ({"input_tokens": "3"}, "input_tokens must be a whole number"),
        ({"input_tokens": True}, "input_tokens must be a whole number"),
        ({"occurred_at": "2026-01-01"}, "occurred_at must be microseconds"),
        ({"message": "a\0b"}, "message must be text without NUL"),
        ({"tools_offered": "x"}, "tools_offered must be a list"),
        ({"attributes": [{"key": "a"}]}, "attributes[0].value must be given"),
        ({"cost_usd": float("inf")}, "cost_usd must be a finite number"),
        ({"processed_identity_conflict": 1}, "processed_identity_conflict must be true or false"),
    ],
)
def test_a_broken_example_is_named(checkout: Path, capsys: pytest.CaptureFixture[str], values: Schema, says: str) -> None:
    path = checkout / "schemas/examples/audit_event/minimal.json"
    path.write_text(json.dumps({**load(path), **values}), encoding="utf-8")
    err = check(checkout, capsys)
    assert "examples/audit_event/minimal.json" in err
    assert says in err


def test_a_field_without_example_is_named(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (checkout / "schemas/examples/audit_event").glob("*.json"):
        path.write_text(json.dumps({k: v for k, v in load(path).items() if k != "flow_definition"}), encoding="utf-8")
    assert "no example of audit_event sets flow_definition" in check(checkout, capsys)


def test_changed_bytes_of_an_example_are_named(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "schemas/examples/audit_event/minimal.avro.hex").write_text("00\n", encoding="utf-8")
    assert "minimal.avro.hex is out of date" in check(checkout, capsys)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_golden_bytes_are_what_fastavro_writes(path: Path) -> None:
    schema = Contract(ROOT).schema(path.parent.name)
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), load(path))
    assert path.with_suffix(".avro.hex").read_text(encoding="utf-8").replace("\n", "") == out.getvalue().hex()


def test_bytes_and_named_types_of_the_other_records() -> None:
    schema = Contract(ROOT).schema("ledger_record")
    interval = {"tenant_id": "t", "producer_id": "p", "producer_epoch": 1, "first": 0, "last": 7}
    value = {f["name"]: 1 for f in schema["fields"] if f["type"] == "long"} | {
        "raw_topic": "audit.raw",
        "sequences": [interval],
        "snapshot": [interval, interval],
        "identities": "00ff",
        "max_timestamp": 1,
    }
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {**value, "identities": b"\x00\xff"})
    assert binary.encode(schema, value) == out.getvalue()


def test_a_record_that_names_itself_is_compared() -> None:
    tree = {"type": "record", "name": "T", "fields": [{"name": "kids", "type": {"type": "array", "items": "T"}, "default": []}]}
    assert compat.problems(tree, tree) == []
    other = {**tree, "fields": [{**tree["fields"][0], "type": {"type": "array", "items": "string"}}]}  # type: ignore[dict-item]
    assert compat.problems(tree, other) == ["kids[]: its type was changed; add a new field instead and leave this one as it was"]


@pytest.mark.parametrize(
    "avro",
    [
        "bytes",
        "int",
        {"type": "map", "values": "string"},
        {"type": "enum", "name": "E", "symbols": ["A"]},
        {"type": "fixed", "name": "F", "size": 16},
        {"type": "string", "logicalType": "uuid"},
        {"type": "array", "items": "long"},
        ["null", "string", "long"],
    ],
)
def test_a_type_that_not_every_decoder_reads_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str], avro: Any) -> None:
    edit(checkout, lambda s: s["fields"].append(extra("added", type=avro)))
    with pytest.raises(ValueError, match="no encoder for the Avro type"):
        outputs(Contract(checkout))
    assert check(checkout, capsys) != ""

"""The contract, data first: Avro schemas, topic catalogue, golden examples. Paths and parsed forms of these files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
AVRO = ROOT / "avro"
EXAMPLES = ROOT / "examples"
TOPICS = ROOT / "topics.yaml"


@cache
def schema_text(name: str) -> str:
    """Text of ``avro/<name>.avsc``, such as ``audit_event``."""
    return (AVRO / f"{name}.avsc").read_text(encoding="utf-8")


@cache
def released(name: str) -> tuple[str, ...]:
    """Texts of every released version of a schema, newest first."""
    found = sorted((ROOT / "released" / name).glob("*.avsc"), key=lambda path: int(path.stem), reverse=True)
    return tuple(path.read_text(encoding="utf-8") for path in found)


@cache
def event_schema() -> dict[str, Any]:
    """The newest event schema, parsed; treat it as read-only."""
    schema: dict[str, Any] = json.loads(schema_text("audit_event"))
    return schema


@cache
def event_fields() -> tuple[str, ...]:
    """Names of the event's columns in schema order."""
    return tuple(f["name"] for f in event_schema()["fields"])


@cache
def fields_of_class(*classes: str) -> tuple[str, ...]:
    """Columns marked with one of the given classes (``fact``, ``personal``, ``content``), in schema order."""
    return tuple(f["name"] for f in event_schema()["fields"] if f["class"] in classes)

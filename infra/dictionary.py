"""`docs/data-dictionary.md`: every table and view that an analyst sees, every column, out of schema, DDL and `views.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import yaml

import schemas
from connectors import parquet
from connectors.clickhouse import ddl
from schemas.contract import Contract

VIEWS = Path(ddl.__file__).with_name("views.yaml")
CLASSES = ("fact", "personal", "content")
STORED = {
    "kafka_topic_id": "Id of the clean topic that the event lies in: a topic made anew has another one.",
    "kafka_partition": "Partition of the clean topic.",
    "kafka_offset": "Offset in that partition; with topic id and partition it is the position of the event, there once.",
    "kafka_timestamp": "When the broker appended the clean event, UTC, milliseconds.",
    "event_digest": "First 8 bytes, little-endian, of SHA-256 of the event's Avro body in the clean topic.",
}
SEQUENCES = {
    "tenant_id": ("LowCardinality(String)", "Tenant."),
    "producer_id": ("String", "Producer, as in `events`."),
    "producer_epoch": ("Int64", "Its epoch, as in `events`."),
    "kind": (
        "LowCardinality(String)",
        "What became of the events: `stored`, `quarantined`, `duplicate` (suppressed), `conflict` (stored and flagged; these are"
        " among the stored ones too).",
    ),
    "first": ("Int64", "First sequence of the interval."),
    "last": ("Int64", "Last sequence of the interval, included."),
    "kafka_topic_id": ("LowCardinality(String)", "Id of the ledger topic."),
    "kafka_partition": ("UInt16", "Partition of the ledger topic."),
    "kafka_offset": ("Int64", "Offset of the ledger record that says so."),
    "kafka_timestamp": ("DateTime64(3, 'UTC')", "When the broker appended that record, UTC, milliseconds."),
}
"""The table `ledger_sequences`: column → type and meaning."""
LEDGER = """\
Which sequences of which producer were seen, and what became of them: [completeness](completeness.md). One row per interval of a
ledger record; read it with `FINAL`, since rows may be there twice for a while."""

INTRO = """\
What an analyst may read in the database `audit` (the namespace): the table `events`, six views of it and the table
`ledger_sequences`. A column has the same
name in ClickHouse, in Parquet, in Avro and in every API. How to get there: [analysts](analysts.md). Texts that are absent are
empty, unknown numbers and times are null, times are UTC.

**Class**: *fact*; *personal*, what tells persons apart; *content*, free text of people, models and tools, in which anything may
stand. A column that is made of several has the strictest class of them. **Since**: the version of the event schema that brought
it; an event stored under an earlier one has the default.
"""


class Column(NamedTuple):
    """A row of the page; ``parquet`` is empty where the archive has no such column."""

    name: str
    clickhouse: str
    parquet: str
    kind: str
    since: str
    meaning: str


def page() -> str:
    """The page below its heading. Raises ValueError where `views.yaml` names an event column that does not exist."""
    parts = [INTRO, "## events\n", "Every clean event, once, never changed. One row per event.\n", _table(events(), archive=True)]
    for name, view in views().items():
        parts += [f"\n## {name}\n", f"{view['rows']}\n", _table(columns_of(name), archive=False)]
    parts += ["\n## ledger_sequences\n", f"{LEDGER}\n", _table(sequences(), archive=False)]
    return "\n".join(parts) + "\n"


def sequences() -> list[Column]:
    """The columns of `ledger_sequences` in the server's order."""
    return [Column(name, kind, "", "fact", "–", meaning) for name, (kind, meaning) in SEQUENCES.items()]


@cache
def views() -> dict[str, Any]:
    """View → ``rows`` and ``columns``, as the file has them."""
    found: dict[str, Any] = yaml.safe_load(VIEWS.read_text(encoding="utf-8"))
    return found


def events() -> list[Column]:
    """The table's columns in the server's order."""
    archived = {f.name: parquet_type(f.type) for f in parquet.schema()}
    fields = {f["name"]: (f["class"], since()[f["name"]], f["doc"]) for f in schemas.event_schema()["fields"]}
    stored = {name: ("fact", "1", text) for name, text in STORED.items()}
    known = {**fields, **stored}
    return [Column(name, kind, archived.get(name, ""), *known[name]) for name, kind in ddl.columns().items()]


def columns_of(view: str) -> list[Column]:
    """A view's columns in the server's order."""
    return list(_columns(views()[view]["columns"]))


def _columns(listed: dict[str, dict[str, Any] | None]) -> Iterator[Column]:
    known = {column.name: column for column in events()}
    for name, own in listed.items():
        given = own or {}
        sources = given.get("from", [name])
        if missing := [s for s in sources if s not in known]:
            raise ValueError(f"{VIEWS.name}: {name} is made of {missing[0]}, which is no column of events")
        kind = max((known[s].kind for s in sources), key=CLASSES.index)
        version = max((known[s].since for s in sources), key=int)
        meaning = given.get("meaning") or known[name].meaning
        yield Column(name, given.get("type") or known[name].clickhouse, "", kind, version, meaning)


@cache
def since() -> dict[str, str]:
    """Event column → the first version of the schema that has it."""
    contract = Contract(schemas.ROOT.parent)
    released = sorted(contract.released("audit_event").items())
    found = {name: str(len(released) + 1) for name in schemas.event_fields()}
    for version, schema in reversed(released):
        found.update({f["name"]: str(version) for f in schema["fields"]})
    return found


def parquet_type(kind: pa.DataType) -> str:
    """A type of the archive's files in Parquet's words."""
    if pa.types.is_list(kind):
        return f"list of {parquet_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "{" + ", ".join(f"{kind.field(i).name} {parquet_type(kind.field(i).type)}" for i in range(kind.num_fields)) + "}"
    if pa.types.is_timestamp(kind):
        return "timestamp, UTC, " + {"us": "µs", "ms": "ms"}[kind.unit]
    return str(kind)


def _table(columns: list[Column], *, archive: bool) -> str:
    head = ["Column", "ClickHouse", *(["Parquet"] if archive else []), "Class", "Since", "Meaning"]
    rows = [head, ["---"] * len(head)]
    for c in columns:
        stored = [c.parquet or "–"] if archive else []
        rows.append([f"`{c.name}`", f"`{c.clickhouse}`", *stored, c.kind, c.since, c.meaning.replace("|", "\\|")])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

"""The columns an extract can have: those of the event and the four that the stores add. Names in SQL come from here only."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

import schemas

_PAIRS = pa.list_(pa.struct([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string(), nullable=False)]))
# kind → (Arrow type of the extract, ClickHouse type of a filter value; "" where a column cannot be filtered by equality)
KINDS: Mapping[str, tuple[pa.DataType, str]] = {
    "string": (pa.string(), "String"),
    "integer": (pa.int64(), "Int64"),
    "unsigned": (pa.uint64(), "UInt64"),
    "number": (pa.float64(), "Float64"),
    "boolean": (pa.bool_(), "Bool"),
    "time": (pa.timestamp("us", "UTC"), ""),
    "time_ms": (pa.timestamp("ms", "UTC"), ""),
    "strings": (pa.list_(pa.string()), "String"),
    "pairs": (_PAIRS, ""),
}
_AVRO = {"string": "string", "long": "integer", "double": "number", "boolean": "boolean"}


@dataclass(frozen=True)
class Column:
    """One column: ``kind`` is a key of KINDS, ``data_class`` fact, personal or content, ``doc`` one sentence."""

    name: str
    kind: str
    nullable: bool
    data_class: str
    doc: str

    @property
    def arrow(self) -> pa.DataType:
        return KINDS[self.kind][0]

    @property
    def filter_type(self) -> str:
        """ClickHouse type of a value it can be filtered by; empty where it cannot (content, times, pairs)."""
        return "" if self.data_class == "content" else KINDS[self.kind][1]

    def described(self) -> dict[str, Any]:
        """As the manifest shows it."""
        return {"name": self.name, "type": self.kind, "nullable": self.nullable, "class": self.data_class, "doc": self.doc}


@cache
def known() -> Mapping[str, Column]:
    """Every column by name, in the order of an extract that does not name any."""
    event = [_of_avro(field) for field in schemas.event_schema()["fields"]]
    stores = [
        Column("kafka_partition", "integer", False, "fact", "Partition of the clean record in Kafka."),
        Column("kafka_offset", "integer", False, "fact", "Offset of the clean record; with the partition, its position."),
        Column("kafka_timestamp", "time_ms", False, "fact", "Append time of the clean record at the broker, UTC."),
        Column(
            "event_digest", "unsigned", False, "fact", "First 8 bytes, little-endian, of SHA-256 over the record's Avro body."
        ),
    ]
    return {column.name: column for column in event + stores}


def _of_avro(field: Mapping[str, Any]) -> Column:
    kind, nullable = field["type"], False
    if isinstance(kind, list):
        kind, nullable = next(branch for branch in kind if branch != "null"), True
    return Column(field["name"], _kind(kind), nullable, field["class"], field["doc"])


def _kind(kind: Any) -> str:
    if isinstance(kind, str):
        return _AVRO[kind]
    if kind["type"] == "array":
        return "strings" if kind["items"] == "string" else "pairs"
    return "time"


def nearest(name: str) -> str:
    """A hint for a misspelt name: "Did you mean …?", or where the list stands."""
    near = difflib.get_close_matches(name, known(), n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else "The columns are listed at /docs and in docs/export.md."


def arrow_schema(names: Iterable[str]) -> pa.Schema:
    """Types of an extract with these columns, in this order."""
    return pa.schema([pa.field(n, known()[n].arrow, known()[n].nullable) for n in names])

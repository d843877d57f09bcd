"""Records that are no events are read whatever released version wrote them: a rebuild reads ledger records of years ago."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest

import schemas
from connectors.avro import DecodeError, RecordCodec

INTERVAL = {"tenant_id": "t", "producer_id": "p", "producer_epoch": 1, "first": 0, "last": 7}


def ledger_record(snapshot: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    schema = json.loads(schemas.schema_text("ledger_record"))
    longs = {f["name"]: 3 for f in schema["fields"] if f["type"] == "long"}
    texts = {f["name"]: "" for f in schema["fields"] if f["type"] == "string"}
    lists: dict[str, Any] = {f["name"]: [] for f in schema["fields"] if isinstance(f["type"], dict) and "items" in f["type"]}
    more = {"identities": b"\x00" * 16, "max_timestamp": 1_795_392_000_000_000, "snapshot": snapshot}
    return {**longs, **texts, **lists, "sequences": [INTERVAL], **more}


def written_by(version: str, record: dict[str, Any]) -> bytes:
    out = io.BytesIO(b"\0\0\0\0\1")
    out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(version)), record)
    return out.getvalue()


@pytest.mark.parametrize("version", range(len(schemas.released("ledger_record"))))
@pytest.mark.parametrize("snapshot", [None, [INTERVAL, INTERVAL]])
def test_every_released_version_of_the_ledger_is_read(version: int, snapshot: list[dict[str, Any]] | None) -> None:
    value = written_by(schemas.released("ledger_record")[version], ledger_record(snapshot))
    found = RecordCodec("ledger_record", 1).decode(value)
    assert found["sequences"] == [INTERVAL]
    assert found["snapshot"] == snapshot
    assert (found["quarantined_sequences"], found["duplicate_sequences"], found["conflict_sequences"]) == ([], [], [])


@pytest.mark.parametrize("harm", [lambda value: value[:-1], lambda value: value + b"\0", lambda value: value[:9]])
def test_damaged_bytes_are_no_record_of_any_version(harm: Any) -> None:
    value = written_by(schemas.schema_text("ledger_record"), ledger_record())
    with pytest.raises(DecodeError, match="not a record of its schema"):
        RecordCodec("ledger_record", 1).decode(harm(value))

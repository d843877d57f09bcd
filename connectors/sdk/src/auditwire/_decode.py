"""An event's Avro body back into its columns, for development and tests; needs nothing but this SDK's own schema."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from auditwire._event import SCHEMA

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode(body: bytes) -> dict[str, Any]:
    """The event in an Avro body (without the five header bytes) that this SDK wrote; every column by name."""
    return dict(Reader(body).value(_PARSED))


def decode_some(body: bytes, names: Collection[str]) -> dict[str, Any]:
    """These columns alone, also of an event whose schema has other columns behind them. Raises IndexError, ValueError."""
    reader, found = Reader(body), dict[str, Any]()
    for column in _PARSED["fields"]:
        value = reader.value(column["type"])
        if column["name"] in names:
            found[column["name"]] = value
            if len(found) == len(names):
                break
    if reader.at > len(body):
        raise IndexError("the body ends before")
    return found


class Reader:
    """Reads the Avro types that events are made of."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def value(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return self.value(schema[self.long()])
        if isinstance(schema, str):
            return getattr(self, schema)()
        if schema["type"] == "record":
            return {f["name"]: self.value(f["type"]) for f in schema["fields"]}
        if schema["type"] == "array":
            return self.items(schema["items"])
        return _EPOCH + timedelta(microseconds=self.long())  # the one logical type there is

    def null(self) -> None:
        return None

    def string(self) -> str:
        return self.take(self.long()).decode()

    def double(self) -> float:
        return float(struct.unpack("<d", self.take(8))[0])

    def boolean(self) -> bool:
        return self.take(1) == b"\x01"

    def items(self, schema: Any) -> Any:
        found = []
        while count := self.long():
            found += [self.value(schema) for _ in range(count)]
        return found if schema == "string" else {pair["key"]: pair["value"] for pair in found}

    def take(self, count: int) -> bytes:
        self.at += count
        return self.body[self.at - count : self.at]

    def long(self) -> int:
        result = shift = 0
        while (byte := self.take(1)[0]) > 127:
            result |= (byte & 127) << shift
            shift += 7
        result |= byte << shift
        return (result >> 1) ^ -(result & 1)


_PARSED = json.loads(SCHEMA)

"""Events as Avro bytes: as everybody writes them, as the specification allows it too, and broken."""

from __future__ import annotations

import json
import random
from functools import cache
from io import BytesIO
from typing import Any

import fastavro

from tests.plain.rules import Fields, plain_schema


class Unsound(ValueError):  # noqa: N818
    """Bytes that fastavro takes although no value has them."""


def sound(data: BytesIO, kind: Any) -> None:
    """Reads a value of a type and raises where fastavro is too patient: numbers of more than ten bytes, booleans but 0 and 1.

    Of ten bytes the lowest 64 bits count, for fastavro and the columns alike: no encoder writes more.
    """
    if isinstance(kind, list):
        sound(data, kind[_long(data)])
    elif isinstance(kind, dict) and kind["type"] == "record":
        for field in kind["fields"]:
            sound(data, field["type"])
    elif isinstance(kind, dict) and kind["type"] == "array":
        while count := _long(data):
            if count < 0:
                _long(data)
            for _ in range(abs(count)):
                sound(data, kind["items"])
    elif isinstance(kind, dict):
        sound(data, kind["type"])
    elif kind == "long":
        _long(data)
    elif kind == "boolean":
        if data.read(1) not in (b"\0", b"\1"):
            raise Unsound
    else:
        data.read({"null": 0, "double": 8}[kind] if kind != "string" else _long(data))


def _long(data: BytesIO) -> int:
    found = 0
    for place in range(0, 70, 7):
        byte = data.read(1)[0]
        found |= (byte & 127) << place
        if byte < 128:
            break
    if byte > 127:
        raise Unsound
    found &= 2**64 - 1
    return (found >> 1) ^ -(found & 1)


def frame(schema_id: int) -> bytes:
    """Confluent wire format: a zero byte, the id."""
    return b"\0" + schema_id.to_bytes(4, "big")


def number(value: int) -> bytes:
    """A long: zigzag, seven bits a byte."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@cache
def _fields(text: str) -> list[tuple[str, Any]]:
    named: dict[str, Any] = {}
    return [(f["name"], fastavro.parse_schema(plain_schema(f["type"]), named)) for f in json.loads(text)["fields"]]


def body(event: Fields, schema: str, rng: random.Random | None = None) -> bytes:
    """``rng``: lists in several blocks, some with their size, as other encoders write them."""
    return b"".join(_field(kind, event.get(name, ""), rng) for name, kind in _fields(schema))


def _field(kind: Any, value: Any, rng: random.Random | None) -> bytes:
    if rng and isinstance(value, list) and value:
        return b"".join(_block(kind["items"], [item], rng) for item in value) + number(0)
    out = BytesIO()
    fastavro.schemaless_writer(out, kind, value)
    return out.getvalue()


def _block(kind: Any, items: list[Any], rng: random.Random) -> bytes:
    data = b"".join(_field(kind, item, None) for item in items)
    return number(len(items)) + data if rng.random() < 0.5 else number(-len(items)) + number(len(data)) + data


def broken(data: bytes, rng: random.Random) -> bytes:
    """Not what was written any more; now and then still a record."""
    at = rng.randrange(len(data))
    return rng.choice(
        (
            data[:at],
            data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :],
            data[:at] + rng.randbytes(1) + data[at:],
            data[:at] + b"\xff" * rng.randrange(1, 12) + data[at + 1 :],
            data[:at] + number(-rng.randrange(1, 2**40)) + data[at + 1 :],
            data + rng.randbytes(rng.randrange(1, 9)),
            rng.randbytes(len(data)),
            b"",
        )
    )

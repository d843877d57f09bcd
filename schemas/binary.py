"""Avro binary of one value in plain Python, for the golden examples: slow, strict and independent of the encoders we ship."""

from __future__ import annotations

import math
import struct
from typing import Any

Names = dict[str, Any]


def encode(schema: Any, value: Any) -> bytes:
    """``value`` (plain JSON types; bytes fields as hex text) in Avro binary; absent record fields take their default.

    Raises ValueError that says where the value does not fit the schema.
    """
    return _encode(schema, value, "", {})


def _encode(schema: Any, value: Any, at: str, names: Names) -> bytes:
    if isinstance(schema, list):
        return _union(schema, value, at, names)
    if isinstance(schema, str):
        if schema in names:
            return _encode(names[schema], value, at, names)
        return _primitive(schema, value, at)
    if schema["type"] == "record":
        names[schema["name"]] = schema
        return _record(schema, value, at, names)
    if schema["type"] == "array":
        _need(isinstance(value, list), at, "a list")
        items = b"".join(_encode(schema["items"], v, f"{at}[{i}]", names) for i, v in enumerate(value))
        return _long(len(value)) + items + b"\0" if value else b"\0"
    if schema.get("logicalType") == "timestamp-micros":
        _need(type(value) is int and 0 <= value < 7_258_118_400_000_000, at, "microseconds since 1970, before 2200")
    return _encode(schema["type"], value, at, names)


def _record(schema: Any, value: Any, at: str, names: Names) -> bytes:
    _need(isinstance(value, dict), at, "an object")
    unknown = value.keys() - {f["name"] for f in schema["fields"]}
    _need(not unknown, at, f"an object without {', '.join(sorted(unknown))}: {schema['name']} has no such field")
    out = []
    for field in schema["fields"]:
        name = field["name"]
        _need(name in value or "default" in field, f"{at}.{name}", "given: it has no default")
        out.append(_encode(field["type"], value.get(name, field.get("default")), f"{at}.{name}", names))
    return b"".join(out)


def _union(schema: list[Any], value: Any, at: str, names: Names) -> bytes:
    """Only unions of null and one more type, as our schemas have them."""
    index = 0 if (value is None) == (schema[0] == "null") else 1
    return _long(index) + _encode(schema[index], value, at, names)


def _primitive(kind: str, value: Any, at: str) -> bytes:
    match kind:
        case "null":
            _need(value is None, at, "null")
            return b""
        case "boolean":
            _need(isinstance(value, bool), at, "true or false")
            return b"\x01" if value else b"\0"
        case "long":
            _need(type(value) is int and -(1 << 63) <= value < 1 << 63, at, "a whole number of 64 bits")
            return _long(value)
        case "double":
            _need(type(value) in (int, float) and math.isfinite(value), at, "a finite number")
            return struct.pack("<d", value)
        case "string":
            _need(isinstance(value, str) and "\0" not in value, at, "text without NUL")
            raw: bytes = value.encode()
            return _long(len(raw)) + raw
        case "bytes":
            _need(isinstance(value, str), at, "bytes as hex text")
            return _long(len(bytes.fromhex(value))) + bytes.fromhex(value)
    raise ValueError(f"{at or 'value'}: unknown Avro type {kind!r}")


def _long(value: int) -> bytes:
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _need(holds: bool, at: str, what: str) -> None:
    if not holds:
        raise ValueError(f"{at.lstrip('.') or 'value'} must be {what}")

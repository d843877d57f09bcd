"""Avro binary of single values, and what a value must be. Every function raises TypeError or ValueError for a wrong one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auditwire._errors import InvalidEventError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_TIME = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_pack = struct.Struct("<d").pack


def _varint(value: int) -> bytes:
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_SMALL = tuple(map(_varint, range(8192)))


def small() -> tuple[bytes, ...]:
    """Encoded longs 0 to 8191, a table for the encoder."""
    return _SMALL


def long(value: Any) -> bytes:
    if type(value) is not int and (not isinstance(value, int) or isinstance(value, bool)):
        raise TypeError
    if 0 <= value < 8192:
        return _SMALL[value]
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError
    return _varint(value)


def time(value: Any) -> bytes:
    if not 0 <= value < _LAST_TIME:
        raise ValueError
    return long(value)


def double(value: Any) -> bytes:
    if type(value) is not float and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise TypeError
    if value - value != 0:
        raise ValueError
    return _pack(float(value))


def string(value: Any) -> bytes:
    if "\0" in value:
        raise ValueError
    raw: bytes = value.encode()
    return long(len(raw)) + raw


def strings(value: Any) -> bytes:
    if type(value) is not list and not isinstance(value, list | tuple):
        raise TypeError
    return b"".join((long(len(value)), *map(string, value), b"\0")) if value else b"\0"


def pairs(value: Any) -> bytes:
    if type(value) is not dict and not isinstance(value, Mapping):
        raise TypeError
    return b"".join((long(len(value)), *(string(k) + string(v) for k, v in value.items()), b"\0")) if value else b"\0"


def micros(value: Any, name: str) -> int:
    """Microseconds since 1970 UTC of a tz-aware datetime; an int is taken as such. Raises InvalidEventError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - _EPOCH) // _MICROSECOND
    what = "a datetime without a time zone" if isinstance(value, datetime) else type(value).__name__
    raise InvalidEventError(f"{name} is {what}; give a datetime with a time zone, such as datetime.now(UTC)")


_RULES: dict[str, tuple[Callable[[Any], bytes], str]] = {
    "string": (string, "text (str) without NUL characters and lone surrogates"),
    "time": (time, "a time from 1970 to 2199, as tz-aware datetime or microseconds since 1970 (int)"),
    "long": (long, "a whole number (int) of at most 64 bits"),
    "double": (double, "a finite number (float)"),
    "strings": (strings, "a list of texts (str) without NUL characters and lone surrogates"),
    "pairs": (pairs, "a mapping of texts to texts (str) without NUL characters and lone surrogates"),
}
_OPTIONAL = ("long", "double")


def explain(event: object, kinds: Mapping[str, str]) -> InvalidEventError:
    """The error that names the first field of the event that is wrong."""
    for name, kind in kinds.items():
        check, wanted = _RULES[kind]
        value = getattr(event, name, None)
        if value is None and kind in _OPTIONAL:
            continue
        try:
            check(value)
        except (TypeError, ValueError, AttributeError, OverflowError):
            return InvalidEventError(f"field {name} must be {wanted}; it is of type {type(value).__name__}")
    return InvalidEventError("the times or numbers given to encode() for the client's own fields are not what the schema says")

"""Literals of conditions: text → the one value that every engine compares with. Raises ValueError with a way out."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
FIRST_YEAR, LAST_YEAR = 1970, 2199
END_US = 7_258_118_400_000_000  # 2200-01-01T00:00:00Z
TEXT_CHARACTERS = 1024
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,40}", re.ASCII)


def text_of(value: str) -> str:
    """The text itself; refuses what no clean event holds, NUL and lone surrogates, and texts over 1,024 characters."""
    if "\0" in value:
        raise ValueError("no clean event holds the character U+0000; leave it out")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("half a surrogate pair is no character; write the character itself")
    if len(value) > TEXT_CHARACTERS:
        raise ValueError(f"a text of {len(value):,} characters; write at most {TEXT_CHARACTERS:,}")
    return value


def long_of(number: str) -> int:
    """A whole number that an event can hold."""
    if not _WHOLE.fullmatch(number):
        raise ValueError(
            f"{number[:32]} is no whole number, and the field holds whole numbers; leave the fraction and exponent out"
        )
    value = int(number)
    if not LONG_MIN <= value <= LONG_MAX:
        raise ValueError(f"{number[:32]} lies outside of what the field can hold, {LONG_MIN} to {LONG_MAX}")
    return value


def double_of(number: str) -> float:
    """The double that is nearest to the number."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:32]} is too large for a double; clean events hold finite numbers only")
    return value + 0.0  # -0.0 is 0.0, which every engine calls equal but not every set holds once


def time_of(text: str) -> int:
    """UTC time, such as 2026-11-01T00:00:00Z, as microseconds since 1970."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no UTC time; write it as '2026-11-01T00:00:00Z', at most with six digits of a second")
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"there is no time {text!r}; check month, day, hour and minute") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"{text!r} lies outside {FIRST_YEAR} to {LAST_YEAR}, the years that clean events can have")
    return int(moment.timestamp()) * 1_000_000 + int((found[3] or "").ljust(6, "0"))


def time_text(microseconds: int) -> str:
    """Microseconds since 1970 → ``2026-11-01 00:00:00.000000``, UTC."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:06d}"

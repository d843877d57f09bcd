"""Ids and clock: who records, when, and the number that makes a loss visible."""

from __future__ import annotations

import os
import re
import secrets
import socket
import time

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def new_event_id() -> str:
    """A UUID of version 7 in canonical lower-case form: ids made later sort later."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_event_id(value: object) -> bool:
    """True for a UUID in canonical lower-case form."""
    return isinstance(value, str) and _CANONICAL(value) is not None


def new_producer_id(service: str) -> str:
    """``service/host/random``, at most 256 bytes: no two processes share one."""
    return f"{_short(service)}/{_short(socket.gethostname())}/{secrets.token_hex(8)}"


def spool_producer_id(service: str, spool_id: str) -> str:
    """``service/spool``: every process that has the folder after another is the same producer, in a later epoch."""
    return f"{_short(service)}/{spool_id}"


def _short(text: str) -> str:
    return text.encode()[:112].decode(errors="ignore")

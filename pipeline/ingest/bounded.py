"""Bodies within bounds: bytes in flight, size, and the shape of JSON, checked over the bytes before objects are built."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from pipeline import metrics
from pipeline.ingest import refusal

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

OBJECTS_PER_BYTE = 8
DEPTH = 64
KEYS = 500_000  # 10,000 of GitLab's largest events have fewer
VALUES = 1_000_000
ELEMENTS = 10_000
BODY_SECONDS = 60.0
STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Disconnected(Exception):  # noqa: N818
    """The client went away before its body was complete; nothing is owed to it."""


class BadShape(Exception):  # noqa: N818
    """The body is no JSON within the bounds. ``reason`` is a code, ``detail`` names the bound."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Budget:
    """Bytes that all requests together may hold; a body counts ``OBJECTS_PER_BYTE``-fold for the objects made of it."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0

    def lease(self) -> Lease:
        return Lease(self)

    def take(self, size: int) -> None:
        """Raises a 503 where the limit would be passed."""
        if self._used + size > self._limit:
            raise refusal.overloaded()
        self._used += size
        metrics.INGEST_IN_FLIGHT.set(self._used)

    def give(self, size: int) -> None:
        self._used -= size
        metrics.INGEST_IN_FLIGHT.set(self._used)


class Lease:
    """One request's share; ``release`` gives it back, once."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: Budget) -> None:
        self._budget, self._size = budget, 0

    def grow(self, body_bytes: int) -> None:
        self._take(body_bytes * OBJECTS_PER_BYTE)

    def cover(self, size: int) -> None:
        """Count at least so many bytes: what was made of the body may be larger than it lets expect."""
        self._take(max(0, size - self._size))

    def _take(self, size: int) -> None:
        self._budget.take(size)
        self._size += size

    def release(self) -> None:
        size, self._size = self._size, 0
        if size:
            self._budget.give(size)


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes."""

    body_bytes: int
    in_flight_bytes: int


async def read_body(receive: Receive, announced: int, limit: int, lease: Lease) -> bytes:
    """The whole body, cut off as soon as it passes ``limit``. Raises Refusal (408, 413, 503) or Disconnected."""
    if announced > limit:
        raise refusal.too_large(limit)
    message = await receive()
    chunk = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body") and len(chunk) <= limit:
        lease.grow(len(chunk))
        return bytes(chunk)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _rest(receive, message, limit, lease)
    except TimeoutError:
        raise refusal.Refusal(
            408, f"The body did not arrive within {BODY_SECONDS:g} s.", "Send it again; nothing was taken.", close=True
        ) from None


async def _rest(receive: Receive, message: MutableMapping[str, Any], limit: int, lease: Lease) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise refusal.too_large(limit)
        lease.grow(len(chunk))
        parts.append(chunk)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def parse_json(body: bytes) -> Any:
    """The JSON value of a body.

    Raises BadShape: ``not_json``, ``too_deep``, ``too_many_keys``, ``too_many_values``, ``too_many_elements``.
    """
    check_shape(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadShape("not_json", "the body is not JSON in UTF-8") from None
    check_elements(value)
    return value


def check_elements(value: Any) -> None:
    """Raises BadShape ``too_many_elements``."""
    if isinstance(value, list) and len(value) > ELEMENTS:
        raise BadShape("too_many_elements", f"the body has more than {ELEMENTS} elements")


def deeper_than(value: Any, levels: int) -> bool:
    """True where arrays and objects stand in each other more than ``levels`` deep."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [item for item in layer if isinstance(item, dict | list)]
        if not layer:
            return False
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
    return True


def check_shape(body: bytes) -> None:
    """Depth and counts by a linear scan; bodies that are small by any reading are let through at once."""
    opened = body.count(b"{") + body.count(b"[")
    keys = body.count(b":")
    if opened <= DEPTH and keys <= KEYS and opened + body.count(b",") <= VALUES:
        return
    plain, strings = STRINGS.subn(b"", body, KEYS + VALUES)
    if plain.count(b":") > KEYS and strings < KEYS + VALUES:
        raise BadShape("too_many_keys", f"the body has more than {KEYS} keys")
    if strings == KEYS + VALUES or plain.count(b"{") + plain.count(b"[") + plain.count(b",") > VALUES:
        raise BadShape("too_many_values", f"the body has more than {VALUES} values")
    brackets = np.frombuffer(plain.translate(None, NOT_BRACKETS), np.uint8)
    opens = (brackets == ord("{")) | (brackets == ord("["))
    depth = np.cumsum(np.where(opens, 1, -1), dtype=np.int64)
    if depth.size and int(depth.max()) > DEPTH:
        raise BadShape("too_deep", f"the body is nested deeper than {DEPTH} levels")

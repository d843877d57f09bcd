"""Bodies within bounds: bytes in flight, size, and the shape of JSON, checked over the bytes before objects are built."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
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
SMALL_BYTES = 64 * 1024
OTHERS = bytes(set(range(256)) - set(b'[]{}:,"'))
STEPS = np.zeros(256, np.int8)  # what each mark does to the depth
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1


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
    """Depth and counts by linear scans; bodies that are small by any reading are let through at once."""
    if len(body) <= SMALL_BYTES and body.count(b"{") + body.count(b"[") <= DEPTH:
        return
    marks = _outside_strings(body)
    steps, keys = STEPS[marks], np.count_nonzero(marks == ord(":"))
    if keys > KEYS:
        raise BadShape("too_many_keys", f"the body has more than {KEYS} keys")
    if np.count_nonzero(steps >= 0) - keys > VALUES:
        raise BadShape("too_many_values", f"the body has more than {VALUES} values")
    depth = np.cumsum(steps, dtype=np.int32)
    if depth.size and int(depth.max()) > DEPTH:
        raise BadShape("too_deep", f"the body is nested deeper than {DEPTH} levels")


def _outside_strings(body: bytes) -> npt.NDArray[np.uint8]:
    """Brackets, colons and commas in their order, but for those inside a text."""
    if b"\\" in body:
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = np.frombuffer(body.translate(None, OTHERS), np.uint8)
    quotes = marks == ord('"')
    outside = np.cumsum(quotes, dtype=np.uint8) & 1 == 0  # it goes round at 256, and stays odd or even
    plain: npt.NDArray[np.uint8] = marks[outside & ~quotes]
    return plain

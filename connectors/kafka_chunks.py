"""Chunks of raw records and the lanes they are for: what the consumer's host and the lanes owe each other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

CHUNK_RECORDS = 1000
CHUNK_BYTES = 4 << 20


class RawRecord(Protocol):
    """One record as it came; times are ms since 1970, UTC."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, eq=False, slots=True)
class Chunk:
    """Consecutive records of one partition for one lane; covers the offsets ``start … end - 1``, gaps (markers) included."""

    lane: Lane
    start: int
    end: int
    records: Sequence[RawRecord]
    size: int


class Lane(Protocol):
    """One owned partition. The consumer reads from ``want`` (None: nothing now) and says so by `handed`."""

    want: int | None
    edge: int | None  # end of what was handed out
    task: asyncio.Task[None]

    def hungry(self) -> bool:
        """Whether more records may be fetched now."""

    def handed(self, chunk: Chunk) -> None:
        """A chunk is on its way; moves ``edge`` and ``want`` to its end."""

    def offer(self, chunk: Chunk) -> None:
        """A chunk has arrived, perhaps not the one that fits."""

    def fetch_failed(self) -> None:
        """The broker refused the position: look at the log before waiting any longer."""

    def revoke(self) -> None:
        """The partition is not ours any more; ``task`` ends soon."""


def cut(records: Sequence[RawRecord], first: int) -> tuple[int, int]:
    """End of the chunk that begins at ``first``, and its bytes."""
    size, last = 0, first
    while last < len(records) and last - first < CHUNK_RECORDS and size < CHUNK_BYTES:
        size += len(records[last].value or b"") + len(records[last].key or b"") + 100
        last += 1
    return last, size


class _AtMost(logging.Filter):
    """Lets one line of each text through in ten seconds: an outage makes aiokafka write a hundred lines a second."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, text = time.monotonic(), str(record.msg)
        if now - self._last.get(text, -self._seconds) < self._seconds:
            return False
        if len(self._last) > 1000:
            self._last.clear()
        self._last[text] = now
        return True


def quieten() -> None:
    """Rate-limit the loggers of aiokafka, Faust and mode; safe to repeat."""
    limit = _AtMost()
    for name, logger in logging.root.manager.loggerDict.items():
        if name.split(".")[0] in ("aiokafka", "faust", "mode", "kafka") and isinstance(logger, logging.Logger):
            logger.filters = [limit]

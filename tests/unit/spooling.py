"""A receiver's spool over an outbox in memory, for the tests of `connectors.spool_outbox`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from auditwire._spool import Spool, SpoolControl
from connectors.outbox import MemoryOutbox, Record
from connectors.spool_outbox import SpoolOutbox
from tests.waiting import until

KEY = bytes(range(32))


class Kafka(MemoryOutbox):
    """In memory, as `connectors.spool_outbox.Onward` wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = asyncio.Event()

    def close(self, seconds: float = 10.0) -> int:
        return 0


def batch(first: int, count: int = 5) -> list[Record]:
    return [Record("audit.raw", b"k", b"value %d" % n) for n in range(first, first + count)]


@asynccontextmanager
async def spooled(
    folder: Path,
    kafka: Kafka | None = None,
    *,
    control: SpoolControl | None = None,
    size: int = 1 << 20,
) -> AsyncIterator[tuple[SpoolOutbox, Spool, Kafka]]:
    onward = kafka or Kafka()
    spool = Spool(folder, KEY, max_bytes=size, control=control)
    outbox = SpoolOutbox(spool, lambda: onward)
    try:
        yield outbox, spool, onward
    finally:
        await outbox.close(0.1)


async def eventually(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition, 30)

"""An outbox on the receiver's own disk: a batch counts as sent when the spool has it for good; Kafka gets it from there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from auditwire._errors import ClosedError, SpoolError, SpoolFullError
from auditwire._spool import Spool
from connectors.outbox import NotConfirmed, Outbox, Record

logger = logging.getLogger(__name__)
WRITERS = 16  # appends at once, which share an fsync
BATCH_RECORDS, BATCH_BYTES = 2000, 4 << 20
REFUSAL_SECONDS = 30.0  # how long one failure of the disk counts as being unwell
NEARLY_FULL = 64 << 10


class NotKept(NotConfirmed):
    """The spool did not take the batch: full, or its disk failed. Nothing is acknowledged; the sender tries again."""


class Onward(Outbox, Protocol):
    """Where the spool's records go: `connectors.outbox.KafkaOutbox`."""

    broken: asyncio.Event

    def close(self, seconds: float = 10.0) -> int: ...


class SpoolOutbox:
    """Made on the event loop. ``onward`` makes the outbox to Kafka, and another where one broke; both are closed with this.

    ``wait_for_disk=False`` is for the negative control only: it returns before the spool has anything.
    """

    def __init__(
        self, spool: Spool, onward: Callable[[], Onward], bound_seconds: float = 10.0, *, wait_for_disk: bool = True
    ) -> None:
        self._spool, self._make, self._bound, self._wait = spool, onward, bound_seconds, wait_for_disk
        self._onward = onward()
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="spool-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="spool-reader")
        self._refused: tuple[float, str] | None = None
        self._why = ""
        self._stopping = False
        self.sent = 0
        self._task = asyncio.get_running_loop().create_task(self._send_all(), name="spool to Kafka")

    async def send(self, records: Sequence[Record], settled: Callable[[], None]) -> None:
        if not records:
            settled()
            return
        loop = asyncio.get_running_loop()
        items = [(record.key, record.value, record.topic) for record in records]
        work = self._writers.submit(self._spool.append, items)
        work.add_done_callback(lambda done: loop.call_soon_threadsafe(self._appended, done, settled))
        if not self._wait:
            return
        try:
            async with asyncio.timeout(self._bound):
                await asyncio.shield(asyncio.wrap_future(work))
        except (SpoolError, ClosedError) as exc:
            raise NotKept(str(exc)) from None
        except TimeoutError:
            raise NotKept(f"the disk of {self._spool.path} did not answer within {self._bound:g} s") from None

    def problem(self) -> str | None:
        """None while it can take records, whether Kafka answers or not."""
        records, size = self._spool.pending
        if records and size > self._spool.max_bytes - NEARLY_FULL:
            return f"the spool {self._spool.path} is full: {self.note()}"
        if self._refused and time.monotonic() - self._refused[0] < REFUSAL_SECONDS:
            return self._refused[1]
        return None

    def note(self) -> str:
        """How much waits for Kafka and why; empty where nothing is to be said."""
        records, size = self._spool.pending
        said = []
        why = self._why or self._onward.problem()
        if records and why:
            said.append(f"{records} records ({size} bytes) wait in the spool: {why}")
        if damaged := self._spool.damaged:
            said.append(f"the spool keeps {len(damaged)} damaged files, such as {damaged[0].name}: see the log and the runbook")
        return "; ".join(said)

    async def close(self, seconds: float = 5.0) -> int:
        """Send on for at most this time, then end; how many records stay in the spool for the next start."""
        self._stopping = True
        await asyncio.wait({self._task}, timeout=seconds)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await asyncio.to_thread(self._onward.close, 0.5)
        left, _ = self._spool.pending
        await asyncio.to_thread(self._spool.close)
        self._writers.shutdown(wait=False)
        self._reader.shutdown(wait=False)
        return left

    def _appended(self, done: Future[int], settled: Callable[[], None]) -> None:
        settled()
        exc = done.exception()
        self._refused = None if exc is None else (time.monotonic(), str(exc))
        if exc is not None and not isinstance(exc, (SpoolFullError, ClosedError)):
            logger.error("%s", exc)

    async def _send_all(self) -> None:
        failures = 0
        while True:
            try:
                if await self._send_some():
                    failures, self._why = 0, ""
                elif self._stopping:
                    return
            except (NotConfirmed, SpoolError) as exc:
                failures += 1
                if self._why != str(exc):
                    logger.warning("the spool waits: %s", exc)
                self._why = str(exc)
                if self._stopping:
                    return
                await self._again(failures)
            except Exception:
                failures += 1
                logger.exception("sending from the spool failed, again")
                await self._again(failures)

    async def _again(self, failures: int) -> None:
        await asyncio.sleep(min(5.0, 0.1 * 2 ** min(failures, 10)))
        if self._onward.broken.is_set():
            await asyncio.to_thread(self._onward.close, 0.0)
            self._onward = self._make()

    async def _send_some(self) -> bool:
        """One batch to Kafka, whether there was one. Raises NotConfirmed, SpoolError: it is sent again."""
        loop = asyncio.get_running_loop()
        end, records = await loop.run_in_executor(self._reader, self._next)
        if not end:
            return False
        await self._onward.send(records, lambda: None)
        self.sent += len(records)
        await loop.run_in_executor(self._reader, self._spool.done, end)
        return True

    def _next(self) -> tuple[int, list[Record]]:
        """The position behind the next batch, and the batch; 0 where nothing came for a while. Raises SpoolError."""
        spool, records, size, end = self._spool, list[Record](), 0, 0
        if not spool.wait(spool.done_position, 0.0 if self._stopping else 0.5):
            return 0, records
        target = spool.position
        for end, topic, key, value in spool.read():  # noqa: B007
            records.append(Record(topic, key, value))
            size += len(value)
            if len(records) >= BATCH_RECORDS or size >= BATCH_BYTES:
                break
        return end or target, records  # nothing readable before target: it was damaged, and the spool has said so

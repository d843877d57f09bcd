"""An outbox on the receiver's own disk: a batch counts as sent when the spool has it for good; Kafka gets it from there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Protocol

from auditwire._errors import ClosedError, SpoolError, SpoolFullError
from auditwire._spool import Spool
from connectors.outbox import NotConfirmed, Outbox, Record, Why
from connectors.spool_refused import Refused

logger = logging.getLogger(__name__)
WRITERS = 16  # appends at once, which share an fsync
BATCH_RECORDS, BATCH_BYTES = 2000, 4 << 20
REFUSAL_SECONDS = 30.0  # how long one failure of the disk counts as being unwell; one for want of room until room was made
NEARLY_FULL = 64 << 10
REFUSED = "Kafka refuses %d records for topic %s for good (the largest has %d bytes); they are kept in %s: see the runbook"
STUCK_SECONDS = 60.0  # how long the head of the spool may wait until that is said
Waiting = tuple[int, Record]  # with the position behind it


class NotKept(NotConfirmed):
    """The spool did not take the batch: full, or its disk failed. Nothing is acknowledged; the sender tries again."""


class Onward(Outbox, Protocol):
    """Where the spool's records go: `connectors.outbox.KafkaOutbox`."""

    broken: asyncio.Event

    def close(self, seconds: float = 10.0) -> int: ...


class _Refusal(NamedTuple):
    """An append that failed. ``full_at``: up to where the spool was sent when it had no room; None: it failed otherwise."""

    at: float
    why: str
    full_at: int | None

    def counts(self, sent: int) -> bool:
        return self.full_at in (None, sent) and time.monotonic() - self.at < REFUSAL_SECONDS


class SpoolOutbox:
    """Made on the event loop. ``onward`` makes the outbox to Kafka, and another where one broke; both are closed with this.

    ``refused`` takes what Kafka refuses for good; without it such a record holds up what is behind it. Topics of ``namespace``
    are waited for, those of another are refused where Kafka has none. ``ended`` is set when the sender is no more: start anew.
    ``wait_for_disk=False`` is for the negative control only: it returns before the spool has anything.
    """

    def __init__(
        self,
        spool: Spool,
        onward: Callable[[], Onward],
        bound_seconds: float = 10.0,
        *,
        refused: Refused | None = None,
        namespace: str = "",
        stuck_seconds: float = STUCK_SECONDS,
        wait_for_disk: bool = True,
    ) -> None:
        self._spool, self._make, self._bound, self._wait = spool, onward, bound_seconds, wait_for_disk
        self._aside, self._namespace, self._patience = refused, namespace, stuck_seconds
        self._onward = onward()
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="spool-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="spool-reader")
        self._refused: _Refusal | None = None
        self._why = self._broken = ""
        self._left: list[Waiting] = []
        self._end = 0
        self._moved = time.monotonic()
        self._stopping = False
        self.sent = 0
        self.ended = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._send_all(), name="spool to Kafka")
        self._task.add_done_callback(self._over)

    async def send(self, records: Sequence[Record], settled: Callable[[], None]) -> None:
        if not records:
            settled()
            return
        if self.ended.is_set():
            settled()
            raise NotKept(self._broken)
        loop = asyncio.get_running_loop()
        items = [(record.key, record.value, record.topic) for record in records]
        before = self._spool.done_position
        work = self._writers.submit(self._spool.append, items)
        work.add_done_callback(lambda done: loop.call_soon_threadsafe(self._appended, done, settled, before))
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
        if self._broken:
            return self._broken
        records, size = self._spool.pending
        if records and size > self._spool.max_bytes - NEARLY_FULL:
            return f"the spool {self._spool.path} is full: {self.note()}"
        if self._refused and self._refused.counts(self._spool.done_position):
            return self._refused.why
        return None

    def note(self) -> str:
        """How much waits for Kafka and why; empty where nothing is to be said."""
        records, size = self._spool.pending
        said = []
        why = self._why or self._onward.problem() or self._stuck()
        if records and why:
            said.append(f"{records} records ({size} bytes) wait in the spool: {why}")
        if damaged := self._spool.damaged:
            said.append(f"the spool keeps {len(damaged)} damaged files, such as {damaged[0].name}: see the log and the runbook")
        if self._aside and (count := self._aside.count):
            said.append(f"{count} records that Kafka refused for good are in {self._aside.path}: see the log and the runbook")
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

    def _appended(self, done: Future[int], settled: Callable[[], None], before: int) -> None:
        settled()
        exc = done.exception()
        full = before if isinstance(exc, SpoolFullError) else None
        self._refused = None if exc is None else _Refusal(time.monotonic(), str(exc), full)
        if exc is not None and not isinstance(exc, (SpoolFullError, ClosedError)):
            logger.error("%s", exc)

    def _stuck(self) -> str:
        """What is to be said where the head of the spool does not move and nobody says why."""
        seconds, left = time.monotonic() - self._moved, self._left
        if not left or seconds < self._patience:
            return ""
        return f"Kafka has neither confirmed nor refused the first of them (for topic {left[0][1].topic}) for {seconds:.0f} s"

    def _over(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        self._broken = (
            f"the sender of the spool {self._spool.path} has ended: restart the receiver, what is in the spool is sent then"
        )
        logger.error("%s", self._broken)
        self.ended.set()

    async def _send_all(self) -> None:
        failures = 0
        while True:
            try:
                if failures:
                    await self._again(failures)
                    self._broken = ""
                if not await self._send_some() and self._stopping:
                    return
                failures, self._why = 0, ""
            except (NotConfirmed, SpoolError) as exc:
                failures += 1
                self._waits(str(exc))
            except Exception as exc:
                failures += 1
                self._broken = f"the sender of the spool failed ({type(exc).__name__}): see the log; it tries again"
                logger.exception("sending from the spool failed, again")
            if failures and self._stopping:
                return

    def _waits(self, why: str) -> None:
        if self._why != why:
            logger.warning("the spool waits: %s", why)
        self._why = why

    async def _again(self, failures: int) -> None:
        await asyncio.sleep(min(5.0, 0.1 * 2 ** min(failures, 10)))
        if self._onward.broken.is_set():
            broken, self._onward = self._onward, self._make()
            await asyncio.to_thread(broken.close, 0.0)

    async def _send_some(self) -> bool:
        """One batch to Kafka, or the rest of one; whether there was one. Raises NotConfirmed, SpoolError: try again."""
        loop = asyncio.get_running_loop()
        if not self._left:
            self._end, self._left = await loop.run_in_executor(self._reader, self._next)
            if not self._end:
                self._moved = time.monotonic()
                return False
        try:
            await self._attempt()
        finally:
            behind = self._left[0][0] - 1 if self._left else self._end
            if behind > self._spool.done_position:
                self._moved = time.monotonic()
                await loop.run_in_executor(self._reader, self._spool.done, behind)
        return True

    async def _attempt(self) -> None:
        """Send what is left; what Kafka confirms, or refuses for good, is left no more. Raises NotConfirmed, SpoolError."""
        waiting = self._left
        try:
            if waiting:
                await self._onward.send([record for _, record in waiting], lambda: None)
        except NotConfirmed as exc:
            if exc.failed is None:
                raise
            self.sent += len(waiting) - len(exc.failed)
            self._left = [waiting[index] for index in sorted(exc.failed)]
            await self._refuse([(waiting[index], why) for index, why in sorted(exc.failed.items())], alone=len(waiting) == 1)
            if self._left:
                raise
        else:
            self.sent += len(waiting)
            self._left = []

    async def _refuse(self, failed: Sequence[tuple[Waiting, Why]], *, alone: bool) -> None:
        """Put aside what is refused for good. Kafka refuses a batch as a whole: who was in company is asked again alone."""
        if self._aside is None:
            return
        good, gone = set[int](), list[Waiting]()
        for item, why in failed:
            answer = why if alone or why is not Why.RECORD else await self._asked(item)
            if answer is None:
                good.add(item[0])
            elif answer is Why.RECORD or (answer is Why.TOPIC and self._foreign(item[1].topic)):
                gone.append(item)
        self.sent += len(good)
        self._left = [item for item in self._left if item[0] not in good]
        if gone:
            await asyncio.get_running_loop().run_in_executor(self._reader, self._aside.keep, [record for _, record in gone])
            for topic in {record.topic for _, record in gone}:
                sizes = [len(record.key) + len(record.value) for _, record in gone if record.topic == topic]
                logger.error(REFUSED, len(sizes), topic, max(sizes), self._aside.path)
            away = {position for position, _ in gone}
            self._left = [item for item in self._left if item[0] not in away]

    async def _asked(self, item: Waiting) -> Why | None:
        """None where Kafka has it now."""
        try:
            await self._onward.send([item[1]], lambda: None)
        except NotConfirmed as exc:
            return exc.failed[0] if exc.failed else Why.AGAIN
        return None

    def _foreign(self, topic: str) -> bool:
        return bool(self._namespace) and not topic.startswith(f"{self._namespace}.")

    def _next(self) -> tuple[int, list[Waiting]]:
        """The position behind the next batch, and the batch; 0 where nothing came for a while. Raises SpoolError."""
        spool, records, size, end = self._spool, list[Waiting](), 0, 0
        if not spool.wait(spool.done_position, 0.0 if self._stopping else 0.5):
            return 0, records
        target = spool.position
        for end, topic, key, value in spool.read():
            records.append((end, Record(topic, key, value)))
            size += len(value)
            if len(records) >= BATCH_RECORDS or size >= BATCH_BYTES:
                break
        return end or target, records  # nothing readable before target: it was damaged, and the spool has said so

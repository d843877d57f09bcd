"""The state machine of one owned input partition: WAIT → OPEN → RUN, and one way back for every error of a client.

A lane knows no Faust and no events. It takes only chunks made for it that begin exactly at its position, hands batches to its
`Work` in a thread pool, and after any client error drops the session, opens another and trusts what that one reads.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from connectors.kafka import error_of
from connectors.kafka_chunks import Chunk, RawRecord
from connectors.kafka_lanes import RefusedToStart, Safety, fenced
from pipeline import metrics
from pipeline.work import Blocked, Work

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH_BYTES = 16 << 20
LOST_AFTER = 10.0  # seconds without the chunk that must come next: ask for it again
ISOLATE_AFTER = 3  # failures of the handler at one position before the culprit is looked for
COMMIT_SECONDS = 150.0  # the client promises to give up after 30 s for the offsets and 60 s for the commit
FENCED_LIMIT = 8
EXIT_REFUSED, EXIT_STUCK = 78, 75


@dataclass
class Budget:
    """Raw bytes that all lanes of the process hold, and their limit. Used on the event loop only."""

    limit: int
    held: int = 0


@dataclass(frozen=True)
class Host:
    """What a lane needs of its process."""

    pool: Executor
    budget: Budget
    batch_events: int
    linger: float
    wake: Callable[[], None]
    stop: Callable[[int, str], None]  # exit code and reason: the process must end
    safety: Safety = field(default_factory=Safety)
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))  # batches computed at once: columns are large
    lost_after: float = LOST_AFTER
    fenced_pause: float = 1.0  # longer than a heartbeat: a zombie learns first that it owns nothing


class Lane:
    """One owned partition from assignment to revocation. Created on the event loop; ``task`` is its life."""

    def __init__(self, name: str, work: Work, host: Host, before: asyncio.Task[None] | None) -> None:
        self.name, self._work, self._host = name, work, host
        self.want: int | None = None
        self.edge: int | None = None
        self.position: int | None = None
        self.moved = time.monotonic()
        self.trouble, self.alarm, self.behind = "", False, False
        self._queue: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self._owned, self._opened, self._look_again = True, False, False
        self._held_bytes = self._held_events = 0
        self._client_errors = self._fenced = self._handler_errors = 0
        self._gone = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._run(before), name=f"lane {name}")
        self.task.add_done_callback(self._ended)
        metrics.REBALANCES.labels("processor", "assigned").inc()

    # what the consumer calls

    def hungry(self) -> bool:
        """Room in this lane and in the process; an empty lane may always fetch, else a full one could starve it."""
        if self._held_events == 0:
            return True
        return self._host.budget.held < self._host.budget.limit and self._held_events < 2 * self._host.batch_events

    def handed(self, chunk: Chunk) -> None:
        self.edge = self.want = chunk.end
        self._hold(chunk.size, len(chunk.records))

    def offer(self, chunk: Chunk) -> None:
        if self._owned:
            self._queue.put_nowait(chunk)

    def fetch_failed(self) -> None:
        self._look_again = True

    def revoke(self) -> None:
        metrics.REBALANCES.labels("processor", "revoked").inc(self._owned)
        self._owned = False
        self._gone.set()
        self._queue.put_nowait(None)

    def lag(self, end: int) -> int:
        """Offsets behind ``end`` (the log's stable end); a tail of markers and aborted records counts as done."""
        position, want = self.position or 0, self.want or 0
        done = want >= end and self.edge == self.position
        self.behind = position < end and not done
        if not self.behind:
            self.moved = time.monotonic()
        return end - position if self.behind else 0

    # its life

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])  # our own last lane of this partition may still be committing
        while self._owned:
            try:
                await self._open()
                while self._owned:
                    await self._step()
            except Exception as exc:
                await self._recover(exc)
        self._hold(-self._held_bytes, -self._held_events)
        self.want = None
        self._queue = asyncio.Queue()  # chunks name their lane: a cycle, which would hold on to the partition's state
        await self._pooled(self._work.close)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._host.stop(1, f"{self.name}: the lane itself failed with {type(exc).__name__}: report it as a bug")

    async def _open(self) -> None:
        if not self._opened:
            position = await self._pooled(self._work.open)
            if position != self.position:  # a session alone is no progress
                self.position, self.moved = position, time.monotonic()
            self._opened = True
        self._rewind()

    async def _step(self) -> None:
        chunks, end = await self._take()
        if not chunks or self.position is None:
            return
        records = [record for chunk in chunks for record in chunk.records]
        outcome = await self._handle(records, self.position, end)
        self._opened = False
        await self._committed(outcome)
        self._opened = True
        self._client_errors = self._fenced = self._handler_errors = 0
        self._advance(chunks, outcome.end, end)

    async def _committed(self, outcome: Any) -> None:
        try:
            await asyncio.wait_for(self._pooled(self._work.commit, outcome), COMMIT_SECONDS)
        except TimeoutError:
            why = f"{self.name}: the Kafka client has not come back from a commit for {COMMIT_SECONDS:.0f} s; a restart is safe"
            self._host.stop(EXIT_STUCK, why)
            raise

    async def _handle(self, records: Sequence[RawRecord], start: int, end: int) -> Any:
        isolate = self._handler_errors >= ISOLATE_AFTER
        try:
            async with self._host.turn:
                return await self._pooled(self._work.handle, records, start, end, isolate)
        except Blocked:
            raise
        except Exception as exc:
            raise _HandlerFailed(type(exc).__name__) from exc

    def _advance(self, chunks: Sequence[Chunk], end: int, offered: int) -> None:
        self.position, self.moved, self.trouble, self.alarm = end, time.monotonic(), "", False
        self._hold(-sum(c.size for c in chunks), -sum(len(c.records) for c in chunks))
        if end != offered:
            self._rewind()
        self._host.wake()

    async def _take(self) -> tuple[list[Chunk], int]:
        """Chunks that continue at the position, until the batch is full or the linger is over."""
        taken: list[Chunk] = []
        events = size = 0
        position, until, lost = self.position or 0, 0.0, time.monotonic() + self._host.lost_after
        while self._owned and events < self._host.batch_events and size < BATCH_BYTES:
            try:  # chunks that do not fit give no new patience: under traffic they come without end
                chunk = await self._next(max(0.0, (until if taken else lost) - time.monotonic()))
            except TimeoutError:
                if not taken:
                    self._starved()
                break
            if chunk is None:
                break
            if self._host.safety.position_rule and (chunk.lane is not self or chunk.start != position):
                metrics.PROCESSOR_CHUNKS_REFUSED.inc()
                continue
            until = until or time.monotonic() + self._host.linger
            taken.append(chunk)
            events, size, position = events + len(chunk.records), size + chunk.size, chunk.end
        return (taken, position) if self._owned else ([], position)

    async def _next(self, patience: float) -> Chunk | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        return await asyncio.wait_for(self._queue.get(), patience)

    def _starved(self) -> None:
        if self._look_again:
            self._look_again = False
            self._opened = False
            raise _OffsetRefused("the broker refused the position, or a batch there cannot be read: see the log")
        if self.edge != self.position:
            log.warning("%s: records from %s on did not arrive, asking again", self.name, self.position, extra=self._where())
            metrics.PROCESSOR_REWINDS.inc()
            self._rewind()

    def _rewind(self) -> None:
        """Everything that is not committed is delivered again; what is on its way no longer fits and will be dropped."""
        self._queue = asyncio.Queue()
        self._hold(-self._held_bytes, -self._held_events)
        self.edge = self.want = self.position
        if not self._owned:
            self._queue.put_nowait(None)
        self._host.wake()

    def _hold(self, size: int, events: int) -> None:
        self._held_bytes += size
        self._held_events += events
        self._host.budget.held += size

    async def _pooled(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._host.pool, call, *args)

    # the way back

    async def _recover(self, exc: Exception) -> None:
        self.want = None if not self._opened else self.want
        self.trouble = str(exc) if isinstance(exc, (Blocked, RefusedToStart, _OffsetRefused)) else _named(exc)
        if isinstance(exc, RefusedToStart):
            self._owned = False
            self._host.stop(EXIT_REFUSED, str(exc))
            return
        if isinstance(exc, Blocked):
            self.alarm = exc.alarm
            log.error("%s is stopped at %s: %s", self.name, self.position, exc, extra=self._where())
            await self._pause(5.0)
        elif isinstance(exc, _HandlerFailed):
            self._handler_errors += 1
            metrics.PROCESSOR_HANDLER_FAILURES.inc()
            said = "%s: a stage failed at %s (%s), again"
            log.error(said, self.name, self.position, exc, exc_info=exc.__cause__, extra=self._where())
            await self._pause(min(5.0, 0.1 * 2**self._handler_errors))
        else:
            await self._after_client_error(exc)

    async def _after_client_error(self, exc: Exception) -> None:
        self._opened = False
        metrics.PROCESSOR_SESSIONS_LOST.inc()
        metrics.PROCESSOR_FENCED.inc(fenced(exc))
        said = "%s: session ended at %s by %s, opening another"
        log.warning(said, self.name, self.position, _named(exc), extra=self._where())
        if not fenced(exc):
            self._client_errors += 1
            await self._pause(min(5.0, 0.1 * 2**self._client_errors))
            return
        self._fenced += 1
        if self._fenced >= FENCED_LIMIT:
            self._host.stop(
                EXIT_STUCK, f"{self.name}: refused {self._fenced} times in a row: is another deployment using the same namespace?"
            )
        await self._pause(self._host.fenced_pause * (1.0 + random.random()))  # noqa: S311

    def _where(self) -> dict[str, str | int | None]:
        return {"place": self.name, "offset": self.position}

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), seconds)


class _HandlerFailed(Exception):  # noqa: N818
    """A stage raised; no transaction is open."""


class _OffsetRefused(Exception):  # noqa: N818
    """The broker has no such offset, or nothing readable there; a new session looks at the log."""


def _named(exc: Exception) -> str:
    error = error_of(exc)
    if error is None:
        return type(exc).__name__
    missing = ": a right is missing, run `auditwired migrate`" if error.name().endswith("AUTHORIZATION_FAILED") else ""
    return f"{error.name()} ({error.str()}){missing}"

"""One partition on its way into a store: plan → write → prove → commit, and the one way back for everything that goes wrong.

    claiming ──► (replaying) ──► gathering ⇄ a range in flight
        ▲                               │ no answer, no proof, no commit
        └────────── waiting ◄───────────┘          halted: a person must decide

Driven by one thread (`feed`, `tick`, `release`); only store calls and questions to Kafka run elsewhere, one at a time.
Commits are made by the driving thread, so that none can follow a revocation.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from connectors.partitions import Chunk, CommitError, LogError, PartitionedLog
from connectors.registry import RegistryError
from pipeline import metrics
from pipeline.sink import counting, resume
from pipeline.sink.decode import Decoder, UnreadableError
from pipeline.sink.gather import Gathering, Limits
from pipeline.sink.job import Job
from pipeline.sink.plan import Claim, FencedError, Plan, Proof, RejectedError, Store, StoreError

logger = logging.getLogger(__name__)
Phase = Literal["waiting", "claiming", "replaying", "gathering", "halted"]
FIRST_WAIT, LONGEST_WAIT, IDLE_SECONDS = 0.2, 15.0, 1.0


@dataclass
class Flight:
    """A closed range on its way into the store."""

    plan: Plan
    range: Gathering

    def carries(self, plan: Plan) -> bool:
        """It is the range of that plan, whatever the attempt."""
        return (self.plan.start, self.plan.end) == (plan.start, plan.end) and self.range.matches(plan)


@dataclass(frozen=True)
class Parts:
    """What all lanes of a sink share. ``points`` is called with the name of each step about to happen (fault tests)."""

    log: PartitionedLog
    store: Store
    decoder: Decoder
    limits: Limits
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    job: Callable[[Callable[[], Any]], Job[Any]] = Job
    points: Callable[[str], None] = lambda _: None


class Lane:
    """See the module. Begins by claiming its partition."""

    def __init__(self, parts: Parts, partition: int) -> None:
        self._parts, self.partition = parts, partition
        self.place = f"{parts.log.topic}[{partition}] in {parts.store.name}"
        self.halted: str | None = None
        self.trouble: str | None = None
        self.committed: int | None = None
        self.lag = 0
        self.progress = parts.clock()
        self._phase: Phase = "waiting"
        self._wake, self._failures = parts.clock(), 0
        self._inbox: deque[Chunk] = deque()
        self._job: Job[Any] | None = None
        self._claim: Claim | None = None
        self._open: Gathering | None = None
        self._replay: Plan | None = None
        self._flight: Flight | None = None

    def feed(self, chunk: Chunk) -> None:
        """Records that follow those fed before. Ignored until the lane asked the log to start."""
        if self._phase in ("replaying", "gathering") or self._flight is not None:
            self._inbox.append(chunk)

    def tick(self) -> None:
        """Do what can be done now, without waiting for the store. Never raises for anything outside this process."""
        try:
            self._step()
        except (StoreError, LogError, CommitError, RegistryError) as exc:
            self._back(exc)
        except (RejectedError, UnreadableError, resume.RefusedError) as exc:
            self._halt(exc)

    @property
    def full(self) -> bool:
        """Records wait that cannot be taken yet: stop fetching."""
        return bool(self._inbox)

    @property
    def busy(self) -> bool:
        """Something is to be done that does not depend on new records."""
        return self._phase != "gathering" or self._flight is not None or bool(self._inbox)

    def release(self, seconds: float) -> None:
        """End the lane: wait so long for the range in flight and commit it, then drop everything. 0 where the partition is
        lost.
        """
        deadline = self._parts.clock() + seconds
        while seconds and self._flight is not None and self._job is not None and self._phase == "gathering":
            if not self._job.wait(max(0.0, deadline - self._parts.clock())):
                break
            self._drop_open()
            self.tick()
        self._forget()

    def _step(self) -> None:
        if self._job is not None and self._job.wait(0):
            job, self._job = self._job, None
            self._ended(job.result())
        if self._phase == "waiting" and self._parts.clock() >= self._wake:
            log, store = self._parts.log, self._parts.store
            self._phase = "claiming"
            self._job = self._parts.job(lambda: resume.look(log, store, self.partition, self.place))
        if self._phase in ("replaying", "gathering") and self._parts.clock() >= self._wake:
            self._absorb()
            self._launch()

    def _ended(self, result: Any) -> None:
        if isinstance(result, resume.Standing):
            self._claimed(result)
        elif self._flight is not None:
            self._proved(self._flight, result)

    def _claimed(self, found: resume.Standing) -> None:
        start = resume.check(found, self.place, self._parts.log.topic_id, self._parts.store.mapper)
        self._claim, self.committed = found.claim, found.offset
        self.progress = self._parts.clock()
        plan, proof, flight = found.plan, found.proof, self._flight
        if plan is None or proof is None:
            self._restart(start, None)
        elif proof.equals(plan):
            self._commit(plan.end, "")
            logger.info("%s: open plan was stored already: %s", self.place, plan)
            if flight is not None and flight.carries(plan):
                self._land(flight)
                self._phase = "gathering"
            else:
                self._restart(plan.end, None)
        elif flight is not None and flight.carries(plan):
            self._phase = "gathering"
            self._write(Flight(plan.again(), flight.range))
        else:
            self._restart(start, plan)

    def _restart(self, offset: int, replay: Plan | None) -> None:
        self._forget()
        if self._claim is not None:
            self._open = Gathering(self._claim.open(), offset, self._parts.limits)
        self._parts.log.start(self.partition, offset)
        self._replay, self._phase = replay, "gathering" if replay is None else "replaying"

    def _absorb(self) -> None:
        while self._inbox and self._open is not None:
            gathering = self._open
            chunk = self._inbox[0] = self._inbox[0].since(gathering.end)
            if chunk.error is not None:
                raise resume.RefusedError(f"{self.place}: {chunk.error} ({gathering.end}); run `auditwired fsck`")
            rows = gathering.room(chunk) if self._replay is None else sum(o < self._replay.end for o in chunk.offsets)
            if rows:
                taken = chunk if rows == len(chunk) else chunk.split(rows)[0]
                self._take(gathering, taken)
            if rows < len(chunk):
                self._inbox[0] = chunk.split(rows)[1]
                if self._replay is not None:
                    gathering.pass_to(self._replay.end)
                return
            self._inbox.popleft()
            if chunk.reached is not None:
                gathering.pass_to(chunk.reached)

    def _take(self, gathering: Gathering, chunk: Chunk) -> None:
        rows = self._parts.decoder.rows(chunk)
        try:
            gathering.add(rows, sum(len(v or b"") for v in chunk.values), self._parts.clock(), self._parts.wall())
        except StoreError:
            self._forget()
            raise
        self.progress = self._parts.clock()

    def _launch(self) -> None:
        """Close the open range if it is due and nothing is in flight."""
        gathering = self._open
        if gathering is None or self._flight is not None:
            return
        if self._replay is not None:
            if gathering.end >= self._replay.end:
                self._replayed(gathering, self._replay)
        elif gathering.due(self._parts.clock()):
            self._parts.points("before_plan")
            log = self._parts.log
            plan = gathering.plan(log.topic, log.topic_id, self.partition, self._parts.store.mapper)
            self._write(Flight(plan, gathering))
        elif not gathering.count and gathering.end != self.committed and self._parts.clock() - self.progress >= IDLE_SECONDS:
            self._commit(gathering.end, "")
            gathering.start = gathering.end

    def _replayed(self, gathering: Gathering, plan: Plan) -> None:
        if not gathering.matches(plan):
            raise resume.RefusedError(
                f"{self.place}: the log now gives {gathering.count} records with checksum {gathering.checksum:016x} for the open "
                f"plan {plan}: records were deleted or replaced; run `auditwired fsck`, then, to give the plan up, commit "
                f"{plan.end} for this group"
            )
        self._replay, self._phase = None, "gathering"
        metrics.SINK_REPLAYS.labels(self._parts.store.name).inc()
        self._write(Flight(plan.again(), gathering))

    def _write(self, flight: Flight) -> None:
        """Commit the plan, then hand the range to the store; a new one is opened behind it."""
        claim = self._claim
        if claim is None:
            raise StoreError("no claim")
        if self._open is None or self._open is flight.range:
            self._open = Gathering(claim.open(), flight.plan.end, self._parts.limits)
        self._flight = flight
        self._commit(flight.plan.start, flight.plan.to_metadata())
        self._parts.points("planned")
        self._job = self._parts.job(lambda: self._store(claim, flight))

    def _store(self, claim: Claim, flight: Flight) -> Proof:
        """In a thread: write and read back."""
        begun = time.monotonic()
        claim.write(flight.plan, flight.range.rows)
        self._parts.points("written")
        proof = claim.prove(flight.plan)
        metrics.SINK_WRITE_SECONDS.labels(self._parts.store.name).observe(time.monotonic() - begun)
        return proof

    def _proved(self, flight: Flight, proof: Proof) -> None:
        if proof.exceeds(flight.plan):
            raise RejectedError(f"{self.place}: wrote {flight.plan}, but the store now holds {proof}: run `auditwired fsck`")
        if not proof.equals(flight.plan):
            raise StoreError(f"{self.place}: the store took {flight.plan}, but holds {proof}")
        self._parts.points("proved")
        self._commit(flight.plan.end, "")
        self._parts.points("committed")
        self._land(flight)

    def _land(self, flight: Flight) -> None:
        self._flight = None
        counting.stored(self._parts.store.name, flight.plan.count, flight.range.ages, self._parts.wall())
        flight.range.rows.close()
        self._failures, self.trouble, self.progress = 0, None, self._parts.clock()

    def _commit(self, offset: int, text: str) -> None:
        self._parts.log.commit(self.partition, offset, text)
        self.committed, self.progress = offset, self._parts.clock()

    def _back(self, exc: Exception) -> None:
        """Unknown outcome: wait, then claim again and see what is there. A range in flight is kept in case it is still the
        plan.
        """
        counting.went_back(self._parts.store.name, exc)
        if isinstance(exc, RegistryError) and self._phase in ("replaying", "gathering"):
            if self.trouble != str(exc):
                logger.warning("%s: waiting: %s", self.place, exc, extra=self._where())
            self.trouble, self._wake = str(exc), self._parts.clock() + 2.0
            return
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2**self._failures)
        least = 1.0 if isinstance(exc, FencedError | CommitError) else 0.0
        self._failures += 1
        self.trouble = str(exc)
        logger.warning("%s: back to the plan in %.1f s: %s", self.place, max(wait, least), exc, extra=self._where())
        self._claim, self._phase, self._wake = None, "waiting", self._parts.clock() + max(wait, least)

    def _halt(self, exc: Exception) -> None:
        metrics.SINK_HALTED.labels(self._parts.store.name, str(self.partition)).set(1)
        planned = f" (plan: {self._flight.plan})" if self._flight is not None else ""
        self.halted = f"{exc}{planned}"
        logger.error("%s: stopped: %s", self.place, self.halted, extra=self._where())
        self._phase = "halted"
        self._forget()

    def _where(self) -> dict[str, int | None]:
        return {"partition": self.partition, "offset": self.committed}

    def _forget(self) -> None:
        """Drop what is held; a range that a thread still reads is freed when that ends."""
        self._inbox.clear()
        flight, job = self._flight, self._job
        if flight is not None and job is not None:
            job.after(flight.range.rows.close)
        elif flight is not None:
            flight.range.rows.close()
        self._drop_open()
        self._flight, self._job, self._replay = None, None, None

    def _drop_open(self) -> None:
        if self._open is not None:
            self._open.rows.close()
        self._open = None

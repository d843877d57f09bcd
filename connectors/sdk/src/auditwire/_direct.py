"""The modes that hand events straight to the transport: best_effort and blocking, and spooled where nothing is stored anyway."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from auditwire._book import Book
from auditwire._errors import AuditwireError, ClosedError, DeliveryError, DeliveryTimeoutError, QueueFullError, SpoolFullError
from auditwire._lane import CLOSED, HEARTBEAT, Lane, Speaker
from auditwire._receipt import Outcome, Receipt
from auditwire._transport import Full, Transport

log = logging.getLogger("auditwire")


@dataclass(frozen=True)
class Control:
    """Safety mechanisms that a test can switch off to see its own check fail. Never used otherwise."""

    number_at_hand_over: bool = True
    new_identity_after_fork: bool = True
    done_after_stored: bool = True
    epochs_rise: bool = True
    end_what_was_left: bool = True
    nothing_before_heartbeat: bool = True


@dataclass(frozen=True)
class Desk:
    """What all modes of a client share. ``begun`` is called when a lane is used for the first time."""

    transport: Transport
    book: Book
    speaker: Speaker
    begun: Callable[[], None]
    control: Control

    @property
    def frame(self) -> bytes:
        """What stands in front of every event."""
        return b"\0" + self.transport.schema_id.to_bytes(4, "big")

    @property
    def topic(self) -> str:
        """Where the transport writes to."""
        return str(getattr(self.transport, "topic", ""))


class Direct:
    """Numbers the events of one mode and hands them over under one lock, so the order of numbers is the order of sending."""

    mode = ""

    def __init__(self, desk: Desk, producer_id: str, epoch: int) -> None:
        self.recorded = 0
        self.own_under_way = 0
        self._desk = desk
        self._book = desk.book
        self._frame = desk.frame
        self._send = desk.transport.send
        self._number_late = desk.control.number_at_hand_over
        self._producer_id = f"{producer_id}/{self.mode}"
        self._epoch = epoch
        self._lock = threading.Lock()
        self._closed = False
        self._lanes: dict[str, Lane] = {}

    def record(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """Return when the mode's promise holds. Raises what the mode says, ClosedError, DeliveryError (refused)."""
        raise NotImplementedError

    async def arecord(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """As `record`, without blocking the event loop."""
        self.record(head, tail, receipt)

    def offer(self, head: bytes, tail: bytes, receipt: Receipt) -> bool:
        """Hand the event over if the transport has room; no number is used otherwise. Raises ClosedError, DeliveryError."""
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed: make a new one")
            lane = self._lanes.get(receipt.tenant_id) or self._new_lane(receipt.tenant_id)
            number = receipt.sequence = lane.next
            try:
                self._send(lane.key, lane.value(self._frame, head, tail, receipt.observed_at), receipt.settle)
            except (Full, DeliveryError) as error:
                receipt.sequence = -1
                if not self._number_late:
                    lane.next += 1
                if isinstance(error, DeliveryError):
                    raise
                return False
            lane.next = number + 1
            self.recorded += 1
            return True

    def beat(self) -> None:
        """A heartbeat in every lane that was used."""
        self._say(HEARTBEAT)

    def end(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._closed = True

    def say_closed(self) -> None:
        """The last event of every lane; after `end`."""
        self._say(CLOSED)

    def _say(self, kind: str) -> None:
        with self._lock:
            lanes = list(self._lanes.values())
        for lane in lanes:
            head, tail, at = self._desk.speaker.parts(kind, lane, self.mode)
            with self._lock:
                if self._closed and kind == HEARTBEAT:
                    return
                try:
                    self._send(lane.key, lane.value(self._frame, head, tail, at), self._heard(kind, lane.tenant))
                except (Full, AuditwireError):  # no number is used: the next one says it
                    continue
                lane.next += 1
                lane.said = max(lane.said, at) if self._desk.control.nothing_before_heartbeat else 0
                self.own_under_way += 1

    def _heard(self, kind: str, tenant: str) -> Callable[[Outcome], None]:
        def report(outcome: Outcome) -> None:
            with self._lock:
                self.own_under_way -= 1
            if isinstance(outcome, DeliveryError):
                log.warning("%s of tenant %s was not stored: %s", kind, tenant, outcome)

        return report

    def _offered(self, head: bytes, tail: bytes, receipt: Receipt, seconds: float) -> bool:
        """`offer`, again and again for at most so long."""
        if self.offer(head, tail, receipt):
            return True
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with self._book.room:
                self._book.room.wait(min(left, 0.02))
            if self.offer(head, tail, receipt):
                return True
        return False

    def _full(self) -> QueueFullError:
        why = self._desk.transport.problem or "Kafka takes events more slowly than they come"
        return QueueFullError(f"the local queue is full ({why}): record again later, or allow a longer max_block")

    def _new_lane(self, tenant: str) -> Lane:
        lane = self._lanes[tenant] = Lane(tenant, self._producer_id, self._epoch)
        self._desk.begun()
        return lane


class BestEffort(Direct):
    """Waits at most ``max_block`` seconds for room; what is not taken then is dropped, counted, and told by its receipt."""

    mode = "best_effort"

    def __init__(self, desk: Desk, producer_id: str, epoch: int, max_block: float) -> None:
        super().__init__(desk, producer_id, epoch)
        self._max_block = max_block

    def record(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """Never raises for a full queue. Raises ClosedError, DeliveryError (the transport refuses the event)."""
        if not self._offered(head, tail, receipt, self._max_block):
            with self._lock:
                self._lanes[receipt.tenant_id].dropped += 1
            receipt.settle(self._full())


class Blocking(Direct):
    """Returns when Kafka has the event, within ``deadline`` seconds."""

    mode = "blocking"

    def __init__(self, desk: Desk, producer_id: str, epoch: int, deadline: float) -> None:
        super().__init__(desk, producer_id, epoch)
        self._deadline = deadline

    def record(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """Raises QueueFullError (nothing was recorded), or DeliveryError, DeliveryTimeoutError with the event's ``receipt``."""
        until = time.monotonic() + self._deadline
        if not self._offered(head, tail, receipt, self._deadline):
            raise self._full()
        try:
            receipt.wait(max(0.0, until - time.monotonic()))
        except DeliveryTimeoutError:
            raise self._late(receipt) from None
        except DeliveryError as error:
            error.receipt = receipt
            raise

    async def arecord(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """As `record`, without blocking the event loop."""
        try:
            async with asyncio.timeout(self._deadline):
                while not self.offer(head, tail, receipt):  # noqa: ASYNC110 - room is told to threads only
                    await asyncio.sleep(0.01)
                await receipt
        except TimeoutError:
            raise self._full() if receipt.sequence < 0 else self._late(receipt) from None
        except DeliveryError as error:
            error.receipt = receipt
            raise

    def _late(self, receipt: Receipt) -> DeliveryTimeoutError:
        why = self._desk.transport.problem or "no broker reported a problem"
        error = DeliveryTimeoutError(
            f"Kafka has not confirmed event {receipt.event_id} within the deadline of {self._deadline:g} s ({why}). It may still "
            "be stored: refuse the action, or wait on the error's `receipt`; do not record it again"
        )
        error.receipt = receipt
        return error


class Rehearsed(Direct):
    """spooled without a spool, for transports that store nothing: a full queue stands for a full spool."""

    mode = "spooled"

    def record(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """Raises SpoolFullError, ClosedError."""
        if not self.offer(head, tail, receipt):
            raise SpoolFullError("the transport's queue is full, as a spool can be: nothing was recorded")

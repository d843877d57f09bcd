"""The mode spooled: durable in a folder of this process first, sent from there by a thread, in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple
from weakref import WeakValueDictionary

from auditwire._direct import Desk
from auditwire._errors import AuditwireError, ClosedError, SpoolError, SpoolFullError
from auditwire._identity import spool_producer_id
from auditwire._lane import CLOSED, HEARTBEAT, Lane
from auditwire._receipt import Position, Receipt
from auditwire._spool_lanes import SpoolLanes
from auditwire._spool_place import SpoolFolder, opened
from auditwire._spool_sender import Sender

log = logging.getLogger("auditwire")
MODE = "spooled"
_AT_ONCE = 500  # events an fsync, at most


class _Entry(NamedTuple):
    """One event on its way into the spool. ``lane`` and ``kind``: of the lanes' own events, which have no receipt."""

    head: bytes
    tail: bytes
    tenant: str
    future: Future[None]
    observed_at: int
    receipt: Receipt | None = None
    lane: Lane | None = None


class Spooled:
    """Numbers events when they are durable. One thread appends what waits, with one fsync; a `Sender` gives it to Kafka.

    Raises SpoolBusyError, SpoolError, ConfigurationError.
    """

    mode = MODE

    def __init__(self, desk: Desk, place: SpoolFolder, service: str, now: int) -> None:
        self.recorded = 0
        self._desk = desk
        self._frame = desk.frame
        self._topic = desk.topic
        self._spool = opened(place)
        try:
            producer_id = f"{spool_producer_id(service, self._spool.id)}/{MODE}"
            self._lanes = SpoolLanes(
                self._spool.path, producer_id, now, lost=self._spool.lost > 0, rising=desk.control.epochs_rise
            )
        except SpoolError:
            self._spool.close()
            raise
        self._receipts: WeakValueDictionary[int, Receipt] = WeakValueDictionary()
        self._unbooked: set[int] = set()  # positions of the lanes' own events
        self._change = threading.Condition()
        self._queue: list[_Entry] = []
        self._closed = self._stopping = False
        self._writer = threading.Thread(target=self._write, name="auditwire-spool", daemon=True)
        self._sender = Sender(self._spool, desk, self._lanes, stored=self._stored, left_sent=self._end_left)
        self._start()

    @property
    def waiting(self) -> int:
        """Durable events that are not in Kafka yet, those of earlier processes too."""
        return self._sender.waiting

    @property
    def own_under_way(self) -> int:
        """Those of them that the transport has at the moment: flushing the transport is not what waits for them."""
        return self._sender.under_way

    def record(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """Return when the event is on the disk. Raises SpoolFullError (nothing taken), SpoolError, ClosedError."""
        self._put(_Entry(head, tail, receipt.tenant_id, _future(), receipt.observed_at, receipt)).result()

    async def arecord(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """As `record`, without blocking the event loop."""
        await asyncio.wrap_future(self._put(_Entry(head, tail, receipt.tenant_id, _future(), receipt.observed_at, receipt)))

    def beat(self) -> None:
        """A heartbeat in every lane that was used."""
        with contextlib.suppress(ClosedError):
            for lane in self._lanes.own():
                self._say(HEARTBEAT, lane)

    def end(self) -> None:
        """Take nothing more."""
        with self._change:
            self._closed = True

    def say_closed(self) -> None:
        """The last event of every lane; after `end`."""
        futures = [self._say(CLOSED, lane) for lane in self._lanes.own()]
        if all(future.exception() is None for future in futures):
            self._lanes.close()

    def flush(self, timeout: float) -> int:
        """Wait at most ``timeout`` seconds until Kafka has everything; how many it has not."""
        return self._sender.flush(timeout)

    def stop(self) -> None:
        """Let go of the folder; what is not sent stays in it. The transport must be closed before."""
        with self._change:
            self._closed = self._stopping = True
            self._change.notify()
        if self._writer.is_alive():
            self._writer.join()
        self._sender.stop()
        self._spool.close()

    def _say(self, kind: str, lane: Lane) -> Future[None]:
        head, tail, at = self._desk.speaker.parts(kind, lane, MODE)
        return self._put(_Entry(head, tail, lane.tenant, _future(), at, lane=lane), last=kind == CLOSED)

    def _end_left(self) -> bool:
        """All that earlier processes left is sent: say the end of their lanes that have none. False: try again."""
        if self._desk.speaker.interval <= 0 or not self._desk.control.end_what_was_left:
            return True
        if self._spool.lost:
            self._lanes.doubt()
        for key, following in self._lanes.unended():
            tenant, producer_id, epoch = key
            if self._say(CLOSED, Lane(tenant, producer_id, epoch, following)).exception():
                return False
            self._lanes.ended(key)
        return True

    def _start(self) -> None:
        try:
            self._writer.start()
            self._sender.start()
        except RuntimeError as error:
            self.stop()
            raise SpoolError(f"the spool {self._spool.path} cannot start its threads ({error}): allow the process more") from None

    def _put(self, entry: _Entry, *, last: bool = False) -> Future[None]:
        with self._change:
            if self._stopping or (self._closed and not last):
                raise ClosedError("the client is closed: make a new one")
            self._queue.append(entry)
            self._change.notify()
        return entry.future

    def _write(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue or self._stopping)
                entries, self._queue = self._queue[:_AT_ONCE], self._queue[_AT_ONCE:]
            if not entries:
                return
            try:
                self._append(entries)
            except Exception as error:
                log.exception("an event could not be spooled")
                _fail(entries, self._unexpected(error))
            del entries  # receipts that nobody keeps go now

    def _append(self, entries: Sequence[_Entry]) -> None:
        lanes = [entry.lane or self._lane(entry.tenant) for entry in entries]
        before = [lane.next for lane in lanes]
        try:
            numbers, records = self._numbered(entries, lanes)
        except Exception:
            self._undo(lanes, before)  # nothing was handed to the disk
            raise
        try:
            end = self._spool.append(records)
        except SpoolFullError as error:
            self._undo(lanes, before)
            self._one_by_one(entries, error)
        except AuditwireError as error:  # a part may be sent all the same: its numbers are not used again
            _fail(entries, error)
        else:
            self._kept(entries, lanes, numbers, end)

    def _numbered(self, entries: Sequence[_Entry], lanes: Sequence[Lane]) -> tuple[list[int], list[tuple[bytes, bytes, str]]]:
        """Each event's number, and its record."""
        numbers: list[int] = []
        records: list[tuple[bytes, bytes, str]] = []
        for entry, lane in zip(entries, lanes, strict=True):
            numbers.append(lane.next)
            value = lane.value(self._frame, entry.head, entry.tail, entry.observed_at)
            records.append((lane.key, value, self._topic))
            lane.next += 1
            if entry.lane and self._desk.control.nothing_before_heartbeat:
                lane.said = max(lane.said, entry.observed_at)
        return numbers, records

    def _unexpected(self, error: Exception) -> SpoolError:
        return SpoolError(
            f"the event was not confirmed by the spool {self._spool.path} ({type(error).__name__}; the log has more). Refuse the "
            "action; if it happens again, restart the process and report it"
        )

    def _one_by_one(self, entries: Sequence[_Entry], error: SpoolFullError) -> None:
        """Together they do not fit: some alone may."""
        if len(entries) == 1:
            _fail(entries, error)
            return
        for entry in entries:
            self._append([entry])

    def _undo(self, lanes: Sequence[Lane], before: Sequence[int]) -> None:
        if self._desk.control.number_at_hand_over:
            for lane, number in reversed(list(zip(lanes, before, strict=True))):
                lane.next = min(lane.next, number)

    def _kept(self, entries: Sequence[_Entry], lanes: Sequence[Lane], numbers: Sequence[int], end: int) -> None:
        """Book first, then let the sender have them, then let the callers go."""
        for position, entry, lane, number in zip(range(end - len(entries) + 1, end + 1), entries, lanes, numbers, strict=True):
            self._lanes.kept(lane, number)
            if entry.receipt is None:
                self._unbooked.add(position)
                continue
            entry.receipt.sequence = number
            self._receipts[position] = entry.receipt
            self.recorded += 1
        self._sender.reach(end)
        for entry in entries:
            entry.future.set_result(None)

    def _stored(self, position: int, outcome: Position) -> None:
        """A record of this process is in Kafka."""
        if position in self._unbooked:
            self._unbooked.discard(position)
            return
        receipt = self._receipts.pop(position, None)
        if receipt is None:
            self._desk.book.stored_unseen()
        else:
            receipt.settle(outcome)

    def _lane(self, tenant: str) -> Lane:
        lane, new = self._lanes.lane(tenant)
        if new:
            self._desk.begun()
        return lane


def _future() -> Future[None]:
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # nobody may take it back: the event may be on the disk already
    return future


def _fail(entries: Sequence[_Entry], error: AuditwireError) -> None:
    for entry in entries:
        if not entry.future.done():
            entry.future.set_exception(type(error)(str(error)))

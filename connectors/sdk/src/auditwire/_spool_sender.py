"""From the spool to Kafka: in order, as often as it takes, and marked as done when it is confirmed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from auditwire._direct import Desk
from auditwire._errors import AuditwireError, ClosedError, DeliveryError, SpoolError
from auditwire._receipt import Outcome, Position
from auditwire._spool_lanes import SpoolLanes
from auditwire._transport import Full

if TYPE_CHECKING:
    from auditwire._spool import Spool

log = logging.getLogger("auditwire")
_RECORDS, _BYTES = 1000, 4 << 20  # at most so much is under way at once
_MARK_EVERY = 1.0  # seconds between marks; what was sent since is sent again after a crash, and recognised
_LONGEST_PAUSE = 10.0
_Record = tuple[int, str, bytes, bytes]  # position behind it, topic, key, value


class Sender:
    """A thread that sends what is durable. ``stored`` hears of every record of this process that is in Kafka, with its position.

    ``left_sent`` is called when everything that was in the folder at the start is in Kafka, again while it returns False.
    """

    def __init__(
        self,
        spool: Spool,
        desk: Desk,
        lanes: SpoolLanes,
        *,
        stored: Callable[[int, Position], None],
        left_sent: Callable[[], bool],
    ) -> None:
        self._spool, self._desk, self._lanes = spool, desk, lanes
        self._topic = desk.topic
        self._stored, self._left_sent = stored, left_sent
        self._own_from = self._until = spool.position
        self._sent = spool.done_position
        self._left = True
        self._marked = (spool.done_position, float("-inf"))
        self._told = ""
        self._round = _Round(0)
        self._change = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="auditwire-spool-sender", daemon=True)

    def start(self) -> None:
        """Begin to send; once everybody who is called back is there."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Durable records that Kafka has not confirmed."""
        records, _ = self._spool.pending
        return max(0, records - max(0, self._sent - self._spool.done_position))

    @property
    def under_way(self) -> int:
        """Records that the transport has taken and not reported."""
        return self._round.open

    def reach(self, position: int) -> None:
        """Records before ``position`` may be sent: they are durable, and who waits for them is known."""
        with self._change:
            self._until = position
            self._change.notify_all()

    def flush(self, timeout: float) -> int:
        """Wait at most ``timeout`` seconds until everything that is durable now is in Kafka; how many records are not."""
        with self._change:
            target = self._until
            self._change.wait_for(lambda: self._sent >= target, timeout)
            return max(0, target - self._sent)

    def stop(self) -> None:
        """End; what is not confirmed stays in the spool."""
        self._stopping.set()
        with self._change:
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join(30)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._left and self._sent >= self._own_from:
                    self._left = not self._left_sent()
                batch = self._next()
                if batch:
                    self._deliver(batch)
                else:
                    self._wait()
                self._mark()
            except ClosedError:
                break
            except AuditwireError as error:
                self._say(str(error))
                self._stopping.wait(1)
            except Exception:
                log.exception("sending from the spool failed; it goes on")
                self._stopping.wait(1)
        self._mark_at_the_end()

    def _next(self) -> list[_Record]:
        """What to send now. Raises SpoolError."""
        batch: list[_Record] = []
        size = 0
        until = self._until
        if self._sent >= until:
            return batch
        for record in self._spool.read(self._sent):
            if record[0] > until or len(batch) == _RECORDS or (batch and size + len(record[3]) > _BYTES):
                break
            batch.append(record)
            size += len(record[3])
        if not batch:  # what is not there any more was damaged: the spool has said so
            self._reached(until)
        return batch

    def _wait(self) -> None:
        with self._change:
            self._change.wait_for(lambda: self._until > self._sent or self._stopping.is_set(), _MARK_EVERY)

    def _deliver(self, batch: Sequence[_Record]) -> None:
        """Return when all of it is in Kafka, or when stopping."""
        if not self._desk.control.done_after_stored:
            self._spool.done(batch[-1][0])
        left, pause = list(batch), 0.1
        while left and not self._stopping.is_set():
            outcomes = self._offered(left)
            for record, outcome in zip(left, outcomes, strict=True):
                if isinstance(outcome, Position) and record[0] > self._own_from:
                    self._stored(record[0], outcome)
            failed = [o for o in outcomes if not isinstance(o, Position)]
            left = [r for r, o in zip(left, outcomes, strict=True) if not isinstance(o, Position)]
            if left and not self._stopping.is_set():
                self._say(f"{self.waiting} events wait in the spool {self._spool.path}: {failed[0]}")
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            elif not left:
                self._told = ""
        self._settle(batch, left[0][0] - 1 if left else batch[-1][0])

    def _offered(self, records: Sequence[_Record]) -> list[Outcome | None]:
        self._round = _Round(len(records))
        for index, record in enumerate(records):
            self._offer(record, self._round.reporter(index))
        self._round.wait(self._stopping)
        return list(self._round.outcomes)

    def _offer(self, record: _Record, report: Callable[[Outcome], None]) -> None:
        _, topic, key, value = record
        if topic != self._topic:
            report(
                DeliveryError(
                    f"the spool {self._spool.path} holds events for topic {topic}, this client writes {self._topic}: "
                    "start with the AUDITWIRE_NAMESPACE of before until they are sent, or use another folder"
                )
            )
            return
        while True:
            try:
                self._desk.transport.send(key, value, report)
            except Full:
                if not self._stopping.wait(0.01):
                    continue
                report(DeliveryError("the client was closed"))
            except DeliveryError as error:
                report(error)
            except ClosedError as error:
                report(DeliveryError(str(error)))
            return

    def _settle(self, batch: Sequence[_Record], position: int) -> None:
        """Everything before ``position`` is in Kafka: what earlier processes left is passed on in its order, each once."""
        for behind, _, key, value in batch:
            if behind <= min(position, self._own_from):
                self._lanes.passed(key, value)
        self._reached(position)

    def _reached(self, position: int) -> None:
        with self._change:
            self._sent = max(self._sent, position)
            self._change.notify_all()

    def _mark(self) -> None:
        """Before records are marked as done, what they say of their lanes, or that they are lost, is kept. Raises SpoolError."""
        done, at = self._marked
        now = time.monotonic()
        if self._sent > done and now - at >= _MARK_EVERY:
            if self._spool.lost:
                self._lanes.doubt()
            self._lanes.save()
            self._spool.done(self._sent)
            self._marked = (self._sent, now)

    def _mark_at_the_end(self) -> None:
        self._marked = (self._marked[0], float("-inf"))
        try:
            self._mark()
        except SpoolError as error:
            log.error("what was sent last is sent again at the next start: %s", error)  # noqa: TRY400 - its text says all

    def _say(self, text: str) -> None:
        """Once, not with every attempt."""
        if text.partition(":")[2] != self._told:
            self._told = text.partition(":")[2]
            log.warning("%s", text)


class _Round:
    """The outcomes of some messages."""

    def __init__(self, count: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * count
        self.open = count
        self._lock = threading.Lock()
        self._known = threading.Event()

    def reporter(self, index: int) -> Callable[[Outcome], None]:
        def report(outcome: Outcome) -> None:
            self.outcomes[index] = outcome
            with self._lock:
                self.open -= 1
                if self.open == 0:
                    self._known.set()

        return report

    def wait(self, stopping: threading.Event) -> None:
        """Until all are known; for 10 seconds more once stopping."""
        while not self._known.wait(0.5):
            if stopping.is_set():
                self._known.wait(10)
                return

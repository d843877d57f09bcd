"""The client: fills an event, encodes it, numbers it at the hand-over to the transport and gives a receipt."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Self, TextIO

from auditwire import _settings
from auditwire._book import Book, Counts, OnError
from auditwire._errors import AuditwireError, ClosedError, DeliveryTimeoutError, InvalidEventError, QueueFullError
from auditwire._event import KINDS, AuditEvent
from auditwire._identity import Lane, is_event_id, new_event_id, new_producer_id, now
from auditwire._limits import fitting_parts
from auditwire._print import PrintTransport
from auditwire._receipt import Receipt
from auditwire._transport import Full, Transport
from auditwire._wire import long

log = logging.getLogger("auditwire")
_EXIT_FLUSH = 5.0
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Control:
    """Safety mechanisms that a test can switch off to see its own check fail. Never used otherwise."""

    number_at_hand_over: bool = True
    new_identity_after_fork: bool = True


class AuditClient:
    """Records audit events. Make one per process and keep it; it is safe from many threads and after os.fork().

    ``service`` names what records (the events' source), ``tenant`` the customer where neither event nor context says.
    ``record`` returns at once, but for at most ``max_block`` seconds while the local queue is full. ``on_error`` hears of
    every event that Kafka did not store, from another thread. ``clock`` (microseconds since 1970) and ``new_id`` are for tests.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        service: str,
        tenant: str = "",
        max_block: float = 0.1,
        on_error: OnError | None = None,
        clock: Callable[[], int] = now,
        new_id: Callable[[], str] = new_event_id,
        control: Control = Control(),
    ) -> None:
        self._transport = transport
        self._service = service
        self._tenant = tenant
        self._max_block = max_block
        self._on_error = on_error
        self._clock = clock
        self._new_id = new_id
        self._control = control
        self._frame = b"\0" + transport.schema_id.to_bytes(4, "big")
        self._context: ContextVar[Mapping[str, str]] = ContextVar("auditwire", default=_NOTHING)
        self._closed = False
        self._reset()
        _clients.add(self)

    @classmethod
    def from_env(cls, service: str, *, env: Mapping[str, str] | None = None, **options: Any) -> Self:
        """A client of what the ``AUDITWIRE_*`` variables name (README): Kafka, or print; ``options`` as for the class.

        Asks the schema registry once before it returns. Raises ConfigurationError, RegistryError.
        """
        settings = _settings.load(os.environ if env is None else env)
        return cls(settings.transport(), service=service, tenant=options.pop("tenant", settings.tenant), **options)

    @classmethod
    def development(cls, service: str, *, tenant: str = "development", stream: TextIO | None = None, **options: Any) -> Self:
        """A client that prints each event to standard error (or ``stream``) and stores NOTHING; needs no Kafka, no registry.

        Checks, limits and numbers are those of the real one. ``AUDITWIRE_TRANSPORT=print`` does the same to `from_env`.
        """
        return cls(PrintTransport(stream), service=service, tenant=tenant, **options)

    @property
    def producer_id(self) -> str:
        """This producer: service, host and a random part; a new one after os.fork()."""
        return self._producer_id

    @property
    def counts(self) -> Counts:
        """What became of the events so far."""
        return self._book.counts()

    def record(self, event: AuditEvent) -> Receipt:
        """Hand the event over to Kafka's client; the receipt tells when it is stored. The event itself is not changed.

        Raises InvalidEventError, EventTooLargeError, QueueFullError, ClosedError, DeliveryError (Kafka's client refuses it):
        then nothing was recorded and no number is used up.
        """
        observed_at = self._clock()
        full = self._filled(event, observed_at)
        head, tail = fitting_parts(full, observed_at)
        receipt = Receipt(full.tenant_id, full.event_id, self._why, self._book.settled)
        self._hand_over(head, tail, receipt)
        return receipt

    @contextmanager
    def context(self, **fields: str) -> Iterator[None]:
        """Text fields that every event recorded inside gets where it does not say otherwise, such as session_id and agent_id.

        Nests, inner values win; follows the flow of async tasks, and each thread has its own. Raises InvalidEventError.
        """
        for name, value in fields.items():
            if KINDS.get(name) != "string" or name == "event_id" or not isinstance(value, str):
                raise InvalidEventError(f"context({name}=…) is not possible: give text for a text field of AuditEvent")
        token = self._context.set({**self._context.get(), **fields})
        try:
            yield
        finally:
            self._context.reset(token)

    @property
    def context_fields(self) -> Mapping[str, str]:
        """What `context` gives here and now: send it along to another process and enter ``context(**fields)`` there."""
        return self._context.get()

    def flush(self, timeout: float = 30.0) -> None:
        """Wait until Kafka has stored everything recorded so far; ``timeout`` in seconds.

        Raises DeliveryError where events since the last flush were not stored, DeliveryTimeoutError where that is not known yet.
        """
        waiting = self._transport.flush(timeout)
        if waiting:
            why = self._why() or "Kafka is slow: flush again"
            raise DeliveryTimeoutError(f"Kafka has not confirmed {waiting} events after {timeout:g} s: {why}")
        self._book.raise_losses()

    def close(self, timeout: float = 30.0) -> None:
        """Flush, then let go of the connection; a second call does nothing. Raises as `flush`, after letting go."""
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        try:
            self.flush(timeout)
        finally:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except AuditwireError as lost:
            if error is None:
                raise
            log.error("while another error was on its way: %s", lost)  # noqa: TRY400 - its text says all

    def _filled(self, event: AuditEvent, observed_at: int) -> AuditEvent:
        full = event.copy()
        for name, value in self._context.get().items():
            if getattr(full, name) == "":
                setattr(full, name, value)
        if full.tenant_id == "":
            full.tenant_id = self._tenant
        if full.source == "":
            full.source = self._service
        if full.occurred_at is None:
            full.occurred_at = observed_at
        if full.event_id == "":
            full.event_id = self._new_id()
        elif not is_event_id(full.event_id):
            raise InvalidEventError("event_id must be a UUID in canonical lower-case form; leave it out and the client makes one")
        if full.tenant_id == "" or full.event_type == "":
            raise InvalidEventError(
                "tenant_id and event_type must not be empty: give them with the event, tenant_id also to the client"
            )
        return full

    def _hand_over(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        deadline = 0.0
        while not self._taken(head, tail, receipt):
            deadline = deadline or time.monotonic() + self._max_block
            left = deadline - time.monotonic()
            if left <= 0:
                why = self._why() or "Kafka takes events more slowly than they come"
                raise QueueFullError(f"the local queue is full ({why}): record again later, or allow a longer max_block")
            with self._book.room:
                self._book.room.wait(min(left, 0.02))

    def _taken(self, head: bytes, tail: bytes, receipt: Receipt) -> bool:
        """The number is given and the event handed over under one lock, so the order of numbers is the order of sending."""
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed: make a new one")
            lane = self._lanes.get(receipt.tenant_id)
            if lane is None:
                lane = self._lanes[receipt.tenant_id] = Lane(receipt.tenant_id, self._producer_id, self._epoch)
            receipt.sequence = lane.next
            if not self._control.number_at_hand_over:
                lane.next += 1
            value = b"".join((self._frame, head, lane.start, long(receipt.sequence), tail))
            try:
                self._transport.send(lane.key, value, receipt.settle)
            except Full:
                return False
            lane.next = receipt.sequence + 1
            self._book.recorded += 1
            return True

    def _why(self) -> str:
        return self._transport.problem

    def _reset(self) -> None:
        """A producer of its own: fresh identity and count, locks that nobody holds."""
        self._lock = threading.Lock()
        self._book = Book(self._on_error)
        self._epoch = self._clock()
        self._producer_id = new_producer_id(self._service)
        self._lanes: dict[str, Lane] = {}

    def _after_fork(self) -> None:
        self._transport.after_fork()
        if self._control.new_identity_after_fork:
            self._reset()


_clients: weakref.WeakSet[AuditClient] = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_clients):
        client._after_fork()


def _at_exit() -> None:
    for client in list(_clients):
        try:
            client.close(_EXIT_FLUSH)
        except AuditwireError as error:
            log.error("at exit: %s", error)  # noqa: TRY400 - its text says all


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

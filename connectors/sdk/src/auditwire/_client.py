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
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from auditwire import _modes, _settings
from auditwire._book import Book, Counts, OnError
from auditwire._direct import BestEffort, Blocking, Control, Desk, Direct, Rehearsed
from auditwire._errors import AuditwireError, DeliveryTimeoutError, InvalidEventError
from auditwire._event import KINDS, AuditEvent
from auditwire._identity import is_event_id, new_event_id, new_producer_id, now
from auditwire._kafka import KafkaTransport
from auditwire._lane import Speaker
from auditwire._limits import fitting_parts
from auditwire._memory import MemoryTransport
from auditwire._modes import Mode
from auditwire._print import PrintTransport
from auditwire._pulse import Pulse
from auditwire._receipt import Receipt
from auditwire._spool_place import Forked, SpoolFolder, no_spool
from auditwire._spooled import Spooled
from auditwire._transport import Transport

if TYPE_CHECKING:
    from auditwire.redaction import Encoded

log = logging.getLogger("auditwire")
_EXIT_FLUSH = 5.0
_HEARTBEAT = 60.0
_SAFE = Control()
_NOTHING: Mapping[str, str] = MappingProxyType({})
_Prepared = tuple[Direct | Spooled | Forked, bytes, bytes, Receipt]


class AuditClient:
    """Records audit events. Make one per process and keep it; it is safe from many threads and after os.fork().

    ``service`` names what records (the events' source), ``tenant`` the customer where neither event nor context says.
    ``mode`` is what `record` promises, for everything or by event type (``{"tool.*": "spooled"}``): *best_effort* returns at
    once, but for at most ``max_block`` seconds while the local queue is full, and drops the event then, counted; *blocking*
    returns when Kafka has the event, within ``deadline`` seconds; *spooled* returns when it is on the disk, in ``spool``.
    ``on_error`` hears of every event that Kafka did not store, mostly from another thread. ``heartbeat``: seconds between the
    producer's own events, 0 for none; None is 60 with KafkaTransport, else 0. ``redact``: secrets in every text and personal data
    in content are masked as the processor does, in the caller's thread, before anything is encoded, spooled or printed;
    ``redact_encoded``: behind percent escapes, or "base64", behind base64 too. ``clock`` (microseconds since 1970) and ``new_id``
    are for tests. Raises ConfigurationError; with ``spool`` SpoolBusyError, SpoolError.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        service: str,
        tenant: str = "",
        mode: Mode | Mapping[str, Mode] = _modes.DEFAULT,
        deadline: float = 5.0,
        max_block: float = 0.1,
        spool: SpoolFolder | None = None,
        heartbeat: float | None = None,
        on_error: OnError | None = None,
        redact: bool = False,
        redact_encoded: Encoded = "percent",
        clock: Callable[[], int] = now,
        new_id: Callable[[], str] = new_event_id,
        control: Control = _SAFE,
    ) -> None:
        self._transport = transport
        self._service = service
        self._tenant = tenant
        self._choose = _modes.chooser(mode)
        self._deadline = deadline
        self._max_block = max_block
        self._place = spool
        self._on_error = on_error
        self._clock = clock
        self._new_id = new_id
        self._control = control
        self._masked = _masking(redact_encoded) if redact else None
        if heartbeat is None:
            heartbeat = _HEARTBEAT if isinstance(transport, KafkaTransport) else 0.0
        self._speaker = Speaker(service, heartbeat, clock, new_id)
        self._context: ContextVar[Mapping[str, str]] = ContextVar("auditwire", default=_NOTHING)
        self._closed = False
        self._spooled: Spooled | Forked | None = None
        self._reset()
        if "spooled" in _modes.named(mode) and "spooled" not in self._ways:
            raise no_spool()
        _clients.add(self)

    @classmethod
    def from_env(cls, service: str, *, env: Mapping[str, str] | None = None, **options: Any) -> Self:
        """A client of what the ``AUDITWIRE_*`` variables name (README): Kafka, or print; ``options`` as for the class.

        Asks the schema registry once before it returns. Raises ConfigurationError, RegistryError.
        """
        settings = _settings.load(os.environ if env is None else env)
        given = {name: getattr(settings, name) for name in ("tenant", "mode", "spool", "redact", "redact_encoded")} | options
        return cls(settings.transport(), service=service, **given)

    @classmethod
    def development(cls, service: str, *, tenant: str = "development", stream: TextIO | None = None, **options: Any) -> Self:
        """A client that prints each event to standard error (or ``stream``) and stores NOTHING; needs no Kafka, no registry.

        Checks, limits and numbers are those of the real one. ``AUDITWIRE_TRANSPORT=print`` does the same to `from_env`.
        """
        return cls(PrintTransport(stream), service=service, tenant=tenant, **options)

    @property
    def producer_id(self) -> str:
        """Service, host, a random part; a new one after os.fork(). Events add ``/`` and the mode; spooled ones name the spool."""
        return self._producer_id

    @property
    def counts(self) -> Counts:
        """What became of the events so far."""
        book, spooled = self._book, self._spooled
        stored, failed = book.stored, book.failed
        recorded = sum(way.recorded for way in self._ways.values())
        return Counts(
            recorded, stored, failed, book.dropped, spooled.waiting if spooled else 0, max(0, recorded - stored - failed)
        )

    def record(self, event: AuditEvent, mode: Mode | None = None) -> Receipt:
        """Record under the client's mode for this event type, or ``mode``. The event itself is not changed.

        The receipt tells when Kafka has stored it. Raises InvalidEventError, EventTooLargeError, ClosedError, DeliveryError (the
        transport refuses it), ConfigurationError; *blocking*: DeliveryTimeoutError, DeliveryError, QueueFullError; *spooled*:
        SpoolFullError, SpoolError. But for the first two of *blocking* and SpoolError no number is used up.
        """
        way, head, tail, receipt = self._prepared(event, mode)
        way.record(head, tail, receipt)
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

        Raises DeliveryError where events since the last flush were not stored (dropped ones too), DeliveryTimeoutError where that
        is not known yet.
        """
        self._raise(*self._flushed(timeout), timeout)

    def close(self, timeout: float = 30.0) -> None:
        """Flush, say that the producer ends, let go of the connection; a second call does nothing.

        Raises as `flush`, after letting go; but not for events that are safe in the spool: the next process sends them.
        """
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        self._pulse.stop()
        until = time.monotonic() + timeout
        for way in self._ways.values():
            way.end()
        try:
            self._flushed(timeout)
            self._say_closed()
            waiting, spooled = self._flushed(max(0.0, until - time.monotonic()))
        finally:
            self._transport.close()
            if self._spooled:
                self._spooled.stop()
        if spooled:
            log.warning("%d events are left in the spool; the next process with its folder sends them. %s", spooled, self._why())
        self._raise(waiting, 0, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except AuditwireError as lost:
            if error is None:
                raise
            log.error("while another error was on its way: %s", lost)  # noqa: TRY400 - its text says all

    def _prepared(self, event: AuditEvent, mode: Mode | None) -> _Prepared:
        observed_at = self._clock()
        full = self._filled(event, observed_at)
        chosen = mode or self._choose(full.event_type)
        way = self._ways.get(chosen)
        if way is None:
            _modes.checked(chosen)
            raise no_spool()
        head, tail = fitting_parts(full, observed_at, chosen, self._masked)
        return way, head, tail, Receipt(full.tenant_id, full.event_id, observed_at, self._why, self._book.settled)

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

    def _flushed(self, timeout: float) -> tuple[int, int]:
        """How many events wait in the transport and in the spool, after at most ``timeout`` seconds."""
        until = time.monotonic() + timeout
        spooled = self._spooled.flush(timeout) if self._spooled else 0
        waiting = self._transport.flush(max(0.0, until - time.monotonic()))
        return max(0, waiting - sum(way.own_under_way for way in self._ways.values())), spooled

    def _raise(self, waiting: int, spooled: int, timeout: float) -> None:
        if waiting or spooled:
            why = self._why() or "Kafka is slow: flush again"
            safe = f"; {spooled} of them are safe in the spool" if spooled else ""
            raise DeliveryTimeoutError(f"Kafka has not confirmed {waiting + spooled} events after {timeout:g} s: {why}{safe}")
        self._book.raise_losses()

    def _say_closed(self) -> None:
        if self._speaker.interval > 0:
            for way in self._ways.values():
                way.say_closed()

    def _beat(self) -> None:
        for way in list(self._ways.values()):
            way.beat()

    def _why(self) -> str:
        return self._transport.problem

    def _reset(self) -> None:
        """A producer of its own: fresh identity and count, locks that nobody holds."""
        self._lock = threading.Lock()
        self._book = Book(self._on_error)
        self._pulse = Pulse(self._speaker.interval, self._beat)
        self._producer_id, epoch = new_producer_id(self._service), self._clock()
        desk = Desk(self._transport, self._book, self._speaker, self._pulse.start, self._control)
        self._ways: dict[str, Direct | Spooled | Forked] = {
            "best_effort": BestEffort(desk, self._producer_id, epoch, self._max_block),
            "blocking": Blocking(desk, self._producer_id, epoch, self._deadline),
        }
        if self._place:
            self._spooled = Forked(self._place.path) if self._spooled else Spooled(desk, self._place, self._service, epoch)
            self._ways["spooled"] = self._spooled
        elif isinstance(self._transport, MemoryTransport):
            self._ways["spooled"] = Rehearsed(desk, self._producer_id, epoch)

    def _after_fork(self) -> None:
        self._transport.after_fork()
        if self._control.new_identity_after_fork:
            self._reset()


def _masking(encoded: Encoded) -> Callable[[AuditEvent], AuditEvent]:
    from auditwire._redact import Redactor  # its patterns take a moment to compile
    from auditwire.redaction import detectors_for

    return Redactor(detectors_for(encoded)).masked


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

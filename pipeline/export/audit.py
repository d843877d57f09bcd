"""The service's own audit events: nothing is served before Kafka has the record of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from auditwire import AuditClient, AuditEvent, AuditwireError, ClosedError, DeliveryTimeoutError, KafkaTransport
from pipeline import settings
from pipeline.export.errors import UnavailableError

log = logging.getLogger(__name__)
OWN_TENANT = "auditwire"
REQUEST_SECONDS, JOB_SECONDS = 5.0, 30.0  # a caller waits for the first; nobody waits for a job
TRY_SECONDS = 1.0  # to reach Kafka in the background, and between two tries
REQUESTED, DELIVERED, FAILED = "export.requested", "export.delivered", "export.failed"
READ, SEARCHED, REFUSED = "export.read", "export.searched", "export.refused"
CANCELLED = "export.cancelled"
DEFINED, UNDEFINED, SCHEDULE_ENDED = "export.defined", "export.undefined", "export.schedule_ended"


Line = tuple[AuditClient, KafkaTransport]


class Trail:
    """Records audit events and waits until they are durable; fails closed. Safe from many threads.

    ``patience``: seconds that a request waits. ``enabled=False`` records nothing: for negative tests only.
    """

    def __init__(self, connect: Callable[[float], Line], *, patience: float = REQUEST_SECONDS, enabled: bool = True) -> None:
        self._connect, self._patience, self._enabled = connect, patience, enabled
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._missing = ""  # why Kafka was not reached yet; empty once it was

    def start(self) -> None:
        """Connect in the background, again and again until Kafka has answered, so that no request has to wait for that."""
        self._missing = "it has just begun"
        self._thread = threading.Thread(target=self._reach, name="audit-trail", daemon=True)
        self._thread.start()

    def healthy(self) -> str | None:
        """None, or in one sentence why no request can be recorded since `start`. Once Kafka has answered it is None for good."""
        return f"the audit trail is not connected to Kafka yet: {self._missing}" if self._missing else None

    def record(self, event_type: str, tenant: str, timeout: float | None = None, **fields: Any) -> None:
        """Return means that every in-sync replica has it. Raises UnavailableError where that is not so in time.

        ``timeout``: seconds, where it is to wait longer than a request. ``fields`` are those of `auditwire.AuditEvent`; an event
        that was not confirmed may still be stored later.
        """
        if not self._enabled:
            return
        event = AuditEvent(event_type=event_type, tenant_id=tenant, **{"target_type": "extract", **fields})
        try:
            _recorded(self._ready()[0], event, timeout or self._patience)
        except AuditwireError as exc:
            log.error("%s was not recorded: %s", event_type, exc)  # noqa: TRY400  its text says all
            raise UnavailableError(
                "The audit event of this request could not be recorded, so the request is not served.",
                "Try again later; an operator looks at Kafka and the schema registry.",
            ) from exc

    def close(self) -> None:
        """Flush and let go; nothing is recorded any more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(15.0)
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            with suppress(AuditwireError):
                line[0].close(self._patience)

    def _ready(self) -> Line:
        with self._held(self._patience):
            if self._stop.is_set():
                raise ClosedError("the service ends: ask another instance, or again when it runs")
            if self._line is None:
                self._line = self._connect(self._patience)
            return self._line

    @contextmanager
    def _held(self, timeout: float) -> Iterator[None]:
        if not self._lock.acquire(timeout=timeout):
            raise DeliveryTimeoutError(f"the schema registry did not answer another request for {timeout:g} s: look at it")
        try:
            yield
        finally:
            self._lock.release()

    def _reach(self) -> None:
        while not self._stop.is_set():
            try:
                self._ready()[1].reach(TRY_SECONDS)
            except AuditwireError as exc:
                if str(exc) != self._missing:
                    log.warning("the audit trail is not connected to Kafka yet: %s", exc)
                self._missing = str(exc)
                self._stop.wait(TRY_SECONDS)
            except Exception as exc:
                self._missing = f"internal error ({type(exc).__name__}): restart the service, and report it as a bug"
                log.exception("the audit trail is not connected to Kafka: internal error")
                return
            else:
                self._missing = ""
                return


def _recorded(client: AuditClient, event: AuditEvent, timeout: float) -> None:
    """Wait as long as the client does, and the rest of ``timeout`` where that is longer. Raises AuditwireError."""
    until = time.monotonic() + timeout
    try:
        client.record(event)
    except DeliveryTimeoutError as late:
        left = until - time.monotonic()
        if late.receipt is None or left <= 0:
            raise
        late.receipt.wait(left)


def connect(values: settings.Export, patience: float = REQUEST_SECONDS) -> Line:
    """A client that writes the raw topic as the export service's own Kafka user, and its transport. Raises AuditwireError."""
    transport = KafkaTransport(
        topic=f"{values.namespace}.raw",
        bootstrap=values.kafka_bootstrap,
        schema_registry_url=values.schema_registry_url,
        security_protocol=values.kafka_security_protocol,
        sasl_mechanism=values.kafka_sasl_mechanism,
        username=values.kafka_username,
        password=values.kafka_password.get_secret_value(),
        delivery_timeout=JOB_SECONDS,
        connect_timeout=patience,
    )
    made = AuditClient(transport, service="auditwire-export", tenant=OWN_TENANT, mode="blocking", deadline=patience)
    return made, transport


def of_query(query: Mapping[str, Any]) -> dict[str, str]:
    """What was asked for, as attributes of an event: the columns of the filters are facts, their values are content."""
    return {
        "from": query["from"],
        "to": query["to"],
        "format": query["format"],
        "columns": ",".join(query["columns"]),
        **{f"filter.{name}": ",".join(map(str, values)) for name, values in query["filters"].items()},
    }

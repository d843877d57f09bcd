"""The service's own audit events: nothing is served before Kafka has the record of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from auditwire import AuditClient, AuditEvent, AuditwireError, KafkaTransport
from pipeline import settings
from pipeline.export.errors import UnavailableError

log = logging.getLogger(__name__)
OWN_TENANT = "auditwire"
REQUEST_SECONDS, JOB_SECONDS = 5.0, 30.0  # a caller waits for the first; nobody waits for a job
REQUESTED, DELIVERED, FAILED = "export.requested", "export.delivered", "export.failed"
READ, SEARCHED, REFUSED = "export.read", "export.searched", "export.refused"
CANCELLED = "export.cancelled"
DEFINED, UNDEFINED, SCHEDULE_ENDED = "export.defined", "export.undefined", "export.schedule_ended"


class Trail:
    """Records audit events and waits until they are durable; fails closed. Safe from many threads.

    ``enabled=False`` records nothing: for negative tests only.
    """

    def __init__(self, connect: Callable[[], AuditClient], *, enabled: bool = True) -> None:
        self._connect, self._enabled = connect, enabled
        self._lock = threading.Lock()
        self._client: AuditClient | None = None

    def record(self, event_type: str, tenant: str, timeout: float = REQUEST_SECONDS, **fields: Any) -> None:
        """Return means that every in-sync replica has it. Raises UnavailableError where that is not so in ``timeout`` seconds.

        ``fields`` are those of `auditwire.AuditEvent`; an event that was not confirmed may still be stored later.
        """
        if not self._enabled:
            return
        event = AuditEvent(event_type=event_type, tenant_id=tenant, **{"target_type": "extract", **fields})
        try:
            self._ready().record(event).wait(timeout)
        except AuditwireError as exc:
            log.error("%s was not recorded: %s", event_type, exc)  # noqa: TRY400  its text says all
            raise UnavailableError(
                "The audit event of this request could not be recorded, so the request is not served.",
                "Try again later; an operator looks at Kafka and the schema registry.",
            ) from exc

    def close(self) -> None:
        """Flush and let go."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            with suppress(AuditwireError):
                client.close(REQUEST_SECONDS)

    def _ready(self) -> AuditClient:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client


def connect(values: settings.Export) -> AuditClient:
    """A client that writes the raw topic as the export service's own Kafka user. Raises AuditwireError."""
    transport = KafkaTransport(
        topic=f"{values.namespace}.raw",
        bootstrap=values.kafka_bootstrap,
        schema_registry_url=values.schema_registry_url,
        security_protocol=values.kafka_security_protocol,
        sasl_mechanism=values.kafka_sasl_mechanism,
        username=values.kafka_username,
        password=values.kafka_password.get_secret_value(),
        delivery_timeout=JOB_SECONDS,
        connect_timeout=REQUEST_SECONDS,
    )
    return AuditClient(transport, service="auditwire-export", tenant=OWN_TENANT)


def of_query(query: Mapping[str, Any]) -> dict[str, str]:
    """What was asked for, as attributes of an event: the columns of the filters are facts, their values are content."""
    return {
        "from": query["from"],
        "to": query["to"],
        "format": query["format"],
        "columns": ",".join(query["columns"]),
        **{f"filter.{name}": ",".join(map(str, values)) for name, values in query["filters"].items()},
    }

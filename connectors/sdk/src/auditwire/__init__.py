"""Record what AI agents do: typed audit events to Kafka, each with a receipt."""

from auditwire._aio import AsyncAuditClient
from auditwire._book import Counts
from auditwire._client import AuditClient
from auditwire._errors import (
    AuditwireError,
    ClosedError,
    ConfigurationError,
    DeliveryError,
    DeliveryTimeoutError,
    EventTooLargeError,
    InvalidEventError,
    QueueFullError,
    RegistryError,
    SpoolBusyError,
    SpoolError,
    SpoolFullError,
)
from auditwire._event import SCHEMA, AuditEvent, encode
from auditwire._event_types import EVENT_TYPES, EventType
from auditwire._kafka import KafkaTransport
from auditwire._limits import within_limits
from auditwire._modes import Mode
from auditwire._print import PrintTransport
from auditwire._receipt import Position, Receipt
from auditwire._spool_place import SpoolFolder
from auditwire._transport import Transport

__all__ = [
    "EVENT_TYPES",
    "SCHEMA",
    "AsyncAuditClient",
    "AuditClient",
    "AuditEvent",
    "AuditwireError",
    "ClosedError",
    "ConfigurationError",
    "Counts",
    "DeliveryError",
    "DeliveryTimeoutError",
    "EventTooLargeError",
    "EventType",
    "InvalidEventError",
    "KafkaTransport",
    "Mode",
    "Position",
    "PrintTransport",
    "QueueFullError",
    "Receipt",
    "RegistryError",
    "SpoolBusyError",
    "SpoolError",
    "SpoolFolder",
    "SpoolFullError",
    "Transport",
    "encode",
    "within_limits",
]

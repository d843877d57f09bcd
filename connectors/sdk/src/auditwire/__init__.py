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
)
from auditwire._event import SCHEMA, AuditEvent, encode
from auditwire._kafka import KafkaTransport
from auditwire._limits import within_limits
from auditwire._receipt import Position, Receipt
from auditwire._transport import Transport

__all__ = [
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
    "InvalidEventError",
    "KafkaTransport",
    "Position",
    "QueueFullError",
    "Receipt",
    "RegistryError",
    "Transport",
    "encode",
    "within_limits",
]

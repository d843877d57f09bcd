"""What the SDK raises.

AuditwireError
├── ConfigurationError    a setting is missing or impossible
├── RegistryError         the schema's id could not be had from the registry
├── InvalidEventError     a field is not what the schema says (also a ValueError)
│   └── EventTooLargeError
├── DeliveryError         Kafka did not store it
│   ├── DeliveryTimeoutError  not known yet (also a TimeoutError)
│   └── QueueFullError        nothing was taken: try again or let the event go
├── SpoolError            the disk of the spool failed: what the call handed over is not kept
│   ├── SpoolFullError    nothing was taken: the spool or its disk is full
│   └── SpoolBusyError    another process has this folder
└── ClosedError           the client is closed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditwire._receipt import Receipt


class AuditwireError(Exception):
    """Everything that the SDK raises on its own account. The text says what failed and what to do; it quotes no event values."""


class ConfigurationError(AuditwireError):
    """A setting is missing or impossible. Correct it and start again."""


class RegistryError(AuditwireError):
    """The id of the event schema could not be had from the registry: unreachable, or the schema is not registered."""


class InvalidEventError(AuditwireError, ValueError):
    """A field of the event is not what the schema says. Nothing was recorded and no sequence number is used up."""


class EventTooLargeError(InvalidEventError):
    """The event is too large even with its content cut. Nothing was recorded and no sequence number is used up."""


class DeliveryError(AuditwireError):
    """The event was taken but Kafka did not store it; its sequence number stays a visible gap. Record it again if it matters.

    ``receipt``: the event's, where `record` itself raised this in mode blocking; else None.
    """

    receipt: Receipt | None = None


class DeliveryTimeoutError(DeliveryError, TimeoutError):
    """Not known yet: the event is still under way and may be stored. Wait again on the same receipt; do not record it again."""


class QueueFullError(DeliveryError):
    """The local queue is full because Kafka takes events more slowly than they come. Nothing was recorded, no number used."""


class SpoolError(AuditwireError):
    """The spool's disk failed, or its key is another one. What the call handed over is not kept; the text says what to do."""


class SpoolFullError(SpoolError):
    """The spool or its disk is full, because Kafka takes records more slowly than they come. Nothing was taken."""


class SpoolBusyError(SpoolError):
    """Another process has the spool's folder: each process needs a folder of its own."""


class ClosedError(AuditwireError):
    """The client is closed. Make a new one."""

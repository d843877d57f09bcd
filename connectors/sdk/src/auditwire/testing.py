"""For your own tests: a transport that keeps events in memory, and questions about what was recorded.

`auditwire.pytest_plugin` makes a fixture of it.
"""

from __future__ import annotations

from typing import Any

from auditwire._aio import AsyncAuditClient
from auditwire._client import AuditClient
from auditwire._decode import decode
from auditwire._memory import MemoryTransport, Stored

__all__ = ["Recorded", "RecordingTransport", "Stored", "decode"]


class RecordingTransport(MemoryTransport):
    """Keeps what a client sends, in one partition of a topic in memory, and reports it stored from another thread.

    ``capacity``: messages that may wait unstored before the queue is full. With ``held`` they wait until `release`;
    otherwise each is stored at once. `refuse` makes the next ones fail.
    """

    def __init__(self, *, capacity: int = 100_000, held: bool = False, topic: str = "audit.raw") -> None:
        self.stored: list[Stored] = []
        super().__init__(capacity=capacity, held=held, topic=topic)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The stored events, decoded: every column, times as UTC datetimes, attributes as dict."""
        return [decode(stored.value[5:]) for stored in self.stored]

    def _store(self, stored: Stored) -> None:
        self.stored.append(stored)


class Recorded:
    """Clients that record into memory, and what they recorded. Hand ``client`` (or ``async_client``) to the code under test.

    ``transport`` makes trouble: `RecordingTransport.refuse`, ``held=True``. Questions name fields as `AuditEvent` does.
    """

    def __init__(self, *, service: str = "test", tenant: str = "test", transport: RecordingTransport | None = None) -> None:
        self.transport = transport or RecordingTransport()
        self.client = AuditClient(self.transport, service=service, tenant=tenant)
        self.async_client = AsyncAuditClient(self.transport, service=service, tenant=tenant)

    def events(self, event_type: str = "", **fields: Any) -> list[dict[str, Any]]:
        """Recorded events, in order, whose named fields have these values; every column by name."""
        wanted = {"event_type": event_type, **fields} if event_type else fields
        return [event for event in self.transport.events if _differing(event, wanted) == []]

    def one(self, event_type: str = "", **fields: Any) -> dict[str, Any]:
        """The only event of that kind. AssertionError, which lists what was recorded, where there is none or another one."""
        found = self.events(event_type, **fields)
        if len(found) != 1:
            wanted = {"event_type": event_type, **fields} if event_type else fields
            raise AssertionError(f"{len(found)} events are {wanted}, expected exactly 1. {self._all(wanted)}")
        return found[0]

    def none(self, event_type: str = "", **fields: Any) -> None:
        """AssertionError where an event of that kind was recorded."""
        found = self.events(event_type, **fields)
        if found:
            wanted = {"event_type": event_type, **fields} if event_type else fields
            raise AssertionError(f"{len(found)} events are {wanted}, expected none. {self._all(wanted)}")

    def types(self) -> list[str]:
        """The types of all events, in order: compare it with the story that you expect."""
        return [str(event["event_type"]) for event in self.transport.events]

    def _all(self, wanted: dict[str, Any]) -> str:
        events = self.transport.events
        lines = [f"  {i}: {e['event_type']} ({'; '.join(_differing(e, wanted)) or 'fits'})" for i, e in enumerate(events)]
        return "Recorded:\n" + "\n".join(lines) if lines else "Nothing was recorded."


def _differing(event: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """How the event differs. Raises TypeError for a name that is no field."""
    unknown = sorted(wanted.keys() - event.keys())
    if unknown:
        raise TypeError(f"events have no field {', '.join(unknown)}; see AuditEvent")
    return [f"{name} is {event[name]!r}" for name, value in wanted.items() if event[name] != value]

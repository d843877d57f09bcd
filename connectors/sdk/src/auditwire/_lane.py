"""A lane: all events of one tenant, producer and epoch, numbered from 0 without gaps, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable

from auditwire._decode import Reader
from auditwire._event import AuditEvent, encode_parts, producer_start
from auditwire._wire import long, time

HEARTBEAT = "auditwire.producer.heartbeat"
CLOSED = "auditwire.producer.closed"


class Lane:
    """Kafka key, encoded producer and the next number. ``dropped``: events that were not taken, and used no number.

    ``said``: observed_at of the last heartbeat. Nothing with a higher number is observed before it, whatever the clock does.
    """

    __slots__ = ("dropped", "epoch", "key", "next", "said", "start", "tenant")

    def __init__(self, tenant: str, producer_id: str, epoch: int, following: int = 0) -> None:
        self.tenant = tenant
        self.epoch = epoch
        self.key = f"{tenant}/{producer_id}".encode()
        self.start = producer_start(producer_id, epoch)
        self.next = following
        self.dropped = 0
        self.said = 0

    def value(self, frame: bytes, head: bytes, tail: bytes, observed_at: int) -> bytes:
        """The message of an event with the next number."""
        if observed_at < self.said:  # it was under way while the heartbeat got its number, or the clock went back
            head = restamped(head, self.said)
        return b"".join((frame, head, self.start, long(self.next), tail))


def restamped(head: bytes, observed_at: int) -> bytes:
    """The first part of an encoded event with another observed_at: it follows three texts and a time."""
    reader = Reader(head)
    for _ in range(3):
        reader.string()
    reader.long()
    begin = reader.at
    if reader.long():
        reader.long()
    return head[:begin] + b"\x02" + time(observed_at) + head[reader.at :]


class Speaker:
    """Makes the lanes' own events: heartbeats and ends. ``interval``: seconds between heartbeats, 0 for no own events at all.

    One with number s says that all that was handed over before its observed_at, or was observed before it, has a number below
    s; and how many events the lane dropped.
    """

    def __init__(self, service: str, interval: float, clock: Callable[[], int], new_id: Callable[[], str]) -> None:
        self.interval = interval
        self._service = service
        self._clock = clock
        self._new_id = new_id

    def parts(self, kind: str, lane: Lane, mode: str) -> tuple[bytes, bytes, int]:
        """The encoded event without its number, and its observed_at. The clock is read here, so number it afterwards."""
        observed_at = max(self._clock(), lane.said)
        event = AuditEvent(
            event_type=kind,
            event_id=self._new_id(),
            tenant_id=lane.tenant,
            source=self._service,
            outcome="success",
            occurred_at=observed_at,
            attributes={"interval_seconds": f"{self.interval:g}", "dropped": str(lane.dropped)},
        )
        return *encode_parts(event, observed_at, mode), observed_at

"""The way out of a client: one small interface, with Kafka behind it or memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from auditwire._receipt import Outcome

Report = Callable[[Outcome], None]


class Full(Exception):  # noqa: N818 - not an error: the client waits for room
    """The transport's queue has no room; the message was not taken."""


class Transport(Protocol):
    """Takes messages in order and reports the outcome of each exactly once. Safe from many threads."""

    @property
    def schema_id(self) -> int:
        """Registry id of the event schema: the four bytes in front of every event."""

    @property
    def problem(self) -> str:
        """Why nothing gets through at the moment and what to do about it; empty where nothing is known to be wrong."""

    def send(self, key: bytes, value: bytes, report: Report) -> None:
        """Take one message without waiting. It MUST be reported later, from any thread, whatever happens to it.

        Messages of one key are stored in the order of the calls. Raises Full or DeliveryError: then it was not taken, and it
        MUST NOT be reported.
        """

    def flush(self, timeout: float) -> int:
        """Wait at most ``timeout`` seconds until every message taken is reported; how many are not."""

    def close(self) -> None:
        """Let go of everything. Messages that are still unreported MUST be reported as failed before this returns."""

    def after_fork(self) -> None:
        """In a forked child: forget the parent's connections and messages without sending or reporting any of them."""

"""What a lane does with its partition: the contract between `pipeline/lane.py` and `pipeline/partition.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from connectors.kafka_chunks import RawRecord


class Blocked(Exception):  # noqa: N818
    """The partition must not go on until something outside changes; the text says what. The lane waits and asks again.

    ``alarm``: waiting alone does not help, somebody must act.
    """

    def __init__(self, text: str, alarm: bool = False) -> None:
        super().__init__(text)
        self.alarm = alarm


class Outcome(Protocol):
    """What a batch became; ``end`` is the offset after the last record it covers, which may be less than was offered."""

    @property
    def end(self) -> int: ...


class Work(Protocol):
    """What is done with one partition. Blocking; called from one thread of the pool at a time."""

    def open(self) -> int:
        """Open a session and return the position to go on from. Raises RefusedToStart, or anything: tried again later."""

    def handle(self, records: Sequence[RawRecord], start: int, end: int, isolate: bool) -> Any:
        """Compute the `Outcome` of the offsets ``start … end - 1``; touches nothing. ``isolate``: find the record that fails.

        Raises Blocked (wait), or anything else when a record makes a stage fail.
        """

    def commit(self, outcome: Any) -> None:
        """Make it so, all or nothing. Anything raised ends the session: `open` comes next."""

    def close(self) -> None:
        """Drop the session."""

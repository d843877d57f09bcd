"""A cap on rejects: a flood of junk stops the partition instead of emptying the topic into quarantine."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 300.0
STAGES = ("decode", "validate")  # whose rejects are the sender's doing


class RejectCap:
    """Of one partition. ``ratio`` of rejects that is still let through (1: no cap), of at least ``sample`` records.

    Times are seconds of a monotonic clock. Once it has tripped it stays so: what is refused would be judged again in
    smaller batches, and pass bit by bit.
    """

    def __init__(self, ratio: float, sample: int) -> None:
        self._ratio, self._sample = ratio, sample
        self._batches: deque[tuple[float, int, int]] = deque()  # time, read, rejected
        self._read = self._rejected = 0  # of all these batches
        self.tripped = ""

    def check(self, now: float, read: int, rejected: int) -> str:
        """Empty where the batch may go on, else what to do: nothing of it must be written."""
        while self._batches and self._batches[0][0] < now - WINDOW_SECONDS:
            self._count(self._batches.popleft(), -1)
        total, bad = self._read + read, self._rejected + rejected
        if not self.tripped and rejected and total >= self._sample and bad > self._ratio * total:
            self.tripped = (
                f"{bad} of the last {total} raw records are no events that can be read, more than "
                f"AUDITWIRE_PROCESSOR_MAX_REJECT_RATIO ({self._ratio:g}) allows: nothing more goes into quarantine. Find out "
                "who sends them; to let them go into quarantine all the same, restart with a higher ratio (1: no cap)."
            )
        return self.tripped

    def note(self, now: float, read: int, rejected: int) -> None:
        """The batch is committed."""
        self._batches.append((now, read, rejected))
        self._count(self._batches[-1], 1)

    def _count(self, batch: tuple[float, int, int], sign: int) -> None:
        self._read += sign * batch[1]
        self._rejected += sign * batch[2]

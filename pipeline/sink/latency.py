"""How old the events of a range are, kept so that memory stays flat whatever the range's size and however long it is open."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

FINENESS = 16  # steps to a doubling of the age: an age is right to 3 %
LEAST = 0.001
MOST = 16_384  # times until they are counted

Times = npt.NDArray[np.float64]


class Ages:
    """Ages of events by what they count from: ``emitted`` and ``received``."""

    def __init__(self) -> None:
        self._known: dict[str, _Times] = {}

    def add(self, columns: pa.RecordBatch, now: float) -> None:
        """Take events at ``now`` (Unix time, seconds). A producer's clock that runs ahead counts as age 0."""
        emitted = pc.coalesce(columns.column("observed_at"), columns.column("occurred_at"))
        for since, column in (("emitted", emitted), ("received", columns.column("processed_ingested_at"))):
            times = _seconds(column)
            if len(times):
                self._known.setdefault(since, _Times()).add(np.minimum(times, now), now)

    def at(self, now: float) -> dict[str, tuple[list[float], list[int]]]:
        """Ages at ``now`` and how many events have each."""
        found = {}
        for since, known in self._known.items():
            known.count(now)
            found[since] = (np.maximum(now - known.times, 0.0).tolist(), known.counts.tolist())
        return found


class _Times:
    """Unix times in seconds and how many events are of each; those that came last are not counted yet."""

    def __init__(self) -> None:
        self.times: Times = np.empty(0)
        self.counts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._last: list[Times] = []
        self._size = 0

    def add(self, times: Times, now: float) -> None:
        self._last.append(times)
        self._size += len(times)
        if self._size >= MOST:
            self.count(now)

    def count(self, now: float) -> None:
        """Round to the middle of steps that widen with the age. Steps nest, so rounding again adds no error."""
        times = np.concatenate([self.times, *self._last])
        counts = np.concatenate([self.counts, np.ones(self._size, np.int64)])
        width = 2.0 ** np.floor(np.log2(np.maximum(now - times, LEAST))) / FINENESS
        self.times, where = np.unique((np.floor(times / width) + 0.5) * width, return_inverse=True)
        self.counts = np.bincount(where, counts, len(self.times)).astype(np.int64)
        self._last, self._size = [], 0


def _seconds(column: Any) -> Times:
    found: npt.NDArray[np.int64] = column.drop_null().cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found / 1e6

"""How old the events of a range are, kept in steps so that memory stays flat whatever the range's size."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

STEPS = 8  # to a doubling of the age: 9 %
LEAST = 0.001

Steps = npt.NDArray[np.int64]


class Ages:
    """Ages of events by what they count from: ``emitted`` and ``received``."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[float, Steps, Steps]]] = defaultdict(list)

    def add(self, columns: pa.RecordBatch, now: float) -> None:
        """Take events at ``now`` (Unix time, seconds). A producer's clock that runs ahead counts as age 0."""
        emitted = pc.coalesce(columns.column("observed_at"), columns.column("occurred_at"))
        for since, column in (("emitted", emitted), ("received", columns.column("processed_ingested_at"))):
            times = _numbers(column)
            if len(times):
                ages = np.maximum(now - times / 1e6, 0.0)
                steps, counts = np.unique(np.floor(np.log2(ages + LEAST) * STEPS).astype(np.int64), return_counts=True)
                self._parts[since].append((now, steps, counts))

    def at(self, now: float) -> dict[str, tuple[list[float], list[int]]]:
        """Ages at ``now`` and how many events have each."""
        return {
            since: (
                [age for then, steps, _ in parts for age in (_age(steps) + max(0.0, now - then)).tolist()],
                [count for _, _, counts in parts for count in counts.tolist()],
            )
            for since, parts in self._parts.items()
        }


def _age(steps: Steps) -> Any:
    return np.maximum(2.0 ** ((steps + 0.5) / STEPS) - LEAST, 0.0)


def _numbers(column: Any) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = column.drop_null().cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found

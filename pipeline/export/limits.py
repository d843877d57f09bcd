"""How often and how much a principal may ask; requests are counted in a token bucket per principal and instance."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from pipeline import metrics
from pipeline.export.errors import RefusedError

REPORT_SECONDS = 60.0
NAMELESS_PER_MINUTE = 300


class Limits(BaseModel):
    """Limits of one principal; what the principals file leaves out has these defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int = Field(
        default=300, ge=1, le=1_000_000, description="Requests under /v1, per instance of the service."
    )
    open_extracts: int = Field(default=5, ge=0, le=10_000, description="Unfinished extracts at a time.")
    extracts_per_day: int = Field(default=100, ge=0, le=1_000_000, description="Extracts begun in 24 hours.")
    rows_per_extract: int = Field(
        default=50_000_000, ge=1, le=9_007_199_254_740_992, description="Events that one extract may have."
    )


@dataclass
class _Bucket:
    left: float
    at: float
    refused: int = 0
    reported: float = -math.inf


class Buckets:
    """A bucket per principal: a minute's worth of requests at once, then as many as flow in. Safe from many threads.

    ``enabled=False`` refuses nothing: for negative tests only.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, enabled: bool = True) -> None:
        self._clock, self._enabled = clock, enabled
        self._lock = threading.Lock()
        self._of: dict[str, _Bucket] = {}

    def take(self, name: str, per_minute: int) -> None:
        """One request of the principal ``name``. Raises RefusedError (429).

        The first refusal is to be recorded, then one a minute, which says how many there were in between.
        """
        if (over := self._over(name, per_minute)) is None:
            return
        wait, count = over
        metrics.EXPORT_RATE_LIMITED.inc()
        raise too_often(per_minute, wait, count, record=count > 0)

    def nameless(self) -> int:
        """A refusal to somebody without a name: how many its audit event stands for; 0 where it gets none.

        Anybody can cause them: beyond NAMELESS_PER_MINUTE the first gets one, then one a minute.
        """
        over = self._over("", NAMELESS_PER_MINUTE)
        return 1 if over is None else over[1]

    def _over(self, name: str, per_minute: int) -> tuple[int, int] | None:
        """None within the limit; else the seconds to wait, and how many are to be reported now, 0 for none."""
        if not self._enabled:
            return None
        with self._lock:
            now = self._clock()
            bucket = self._of.setdefault(name, _Bucket(per_minute, now))
            bucket.left = min(per_minute, bucket.left + (now - bucket.at) * per_minute / 60)
            bucket.at = now
            if bucket.left >= 1:
                bucket.left -= 1
                return None
            bucket.refused += 1
            count = bucket.refused if now - bucket.reported >= REPORT_SECONDS else 0
            if count:
                bucket.refused, bucket.reported = 0, now
            return math.ceil((1 - bucket.left) * 60 / per_minute), count


def too_often(per_minute: int, wait: int, count: int, *, record: bool) -> RefusedError:
    """429 with the seconds until the next request is served."""
    return RefusedError(
        429,
        "too_often",
        f"The principal has asked more than {per_minute} times in a minute.",
        "Wait as long as `Retry-After` says; an operator sets `requests_per_minute` in the principals file.",
        retry_after=max(1, wait),
        attributes={"refused": str(count)},
        record=record,
    )

"""What a lane of a sink tells /metrics."""

from __future__ import annotations

from connectors.partitions import CommitError, LogError
from pipeline import metrics
from pipeline.sink.latency import Ages
from pipeline.sink.plan import FencedError, StoreError

_CAUSES = {FencedError: "fenced", StoreError: "store", LogError: "log", CommitError: "commit"}


def stored(store: str, events: int, ages: Ages, wall: float) -> None:
    """A range of so many events is stored, proved and committed at ``wall`` (Unix time)."""
    metrics.SINK_EVENTS.labels(store).inc(events)
    metrics.SINK_RANGES.labels(store).inc()
    metrics.SINK_RANGE_EVENTS.labels(store).observe(events)
    for since, (seconds, counts) in ages.at(wall).items():
        metrics.SINK_LATENCY.labels(store, since).observe_many(seconds, counts)


def went_back(store: str, exc: Exception) -> None:
    """A partition goes back to its plan because of ``exc``."""
    cause = next((cause for kind, cause in _CAUSES.items() if isinstance(exc, kind)), "registry")
    metrics.SINK_RETRIES.labels(store, cause).inc()
    if cause == "fenced":
        metrics.SINK_FENCED.labels(store).inc()

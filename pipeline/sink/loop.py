"""The loop of a sink: one thread polls the log and drives a lane for each partition of this member; both sinks share it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from connectors.partitions import LogError
from pipeline import metrics
from pipeline.sink.lane import Lane, Parts

logger = logging.getLogger(__name__)
STALLED_SECONDS = 120.0


class Loop:
    """Moves what its log delivers into its store until told to stop. Is the log's `connectors.partitions.Listener`.

    ``grace``: seconds that a partition handed over in good order may take to finish its range in flight; less than the group's
    session timeout. ``stalled``: seconds without progress after which a partition with lag counts as stalled.
    """

    def __init__(self, parts: Parts, grace: float = 5.0, stalled: float = STALLED_SECONDS) -> None:
        self._parts, self._grace = parts, grace
        self._stalled = max(stalled, 2 * parts.limits.seconds)
        self._part = f"{parts.store.name}-sink"
        metrics.OWNED.labels(self._part).set(0)
        self._lanes: dict[int, Lane] = {}
        self._paused: set[int] = set()
        self._polled = time.monotonic()

    def assigned(self, partitions: Sequence[int]) -> None:
        logger.info("%s: assigned %s", self._parts.log.topic, sorted(partitions))
        for partition in partitions:
            self._lanes[partition] = Lane(self._parts, partition)
            self._paused.discard(partition)
        self._note("assigned", len(partitions))

    def revoked(self, partitions: Sequence[int], lost: bool) -> None:
        logger.info("%s: %s %s", self._parts.log.topic, "lost" if lost else "gave back", sorted(partitions))
        deadline = time.monotonic() + self._grace
        for partition in partitions:
            lane = self._lanes.pop(partition, None)
            if lane is not None:
                lane.release(0 if lost else max(0.0, deadline - time.monotonic()))
            self._paused.discard(partition)
            for gauge in (metrics.SINK_LAG, metrics.SINK_HALTED):
                with suppress(KeyError):
                    gauge.remove(self._parts.store.name, str(partition))
        self._note("lost" if lost else "revoked", len(partitions))

    def _note(self, change: str, count: int) -> None:
        metrics.REBALANCES.labels(self._part, change).inc(count)
        metrics.OWNED.labels(self._part).set(len(self._lanes))

    def run(self, stop: threading.Event) -> int:
        """Until ``stop`` is set: 0. Ends with 1 when every partition of this member waits for a person (see the log)."""
        try:
            while not stop.is_set():
                self.turn(0.05)
                if self._lanes and all(lane.halted for lane in self._lanes.values()):
                    return 1
        except LogError:
            logger.exception("%s: the consumer ended", self._parts.log.topic)
            return 1
        finally:
            self.revoked(list(self._lanes), lost=False)
            self._parts.log.close()
        return 0

    def turn(self, timeout: float) -> None:
        """Poll once and let every lane do what it can."""
        for chunk in self._parts.log.poll(timeout):
            lane = self._lanes.get(chunk.partition)
            if lane is not None:
                lane.feed(chunk)
        for partition, lane in self._lanes.items():
            lane.tick()
            self._hold_back(partition, lane)
            self._note_lag(partition, lane)
        self._polled = time.monotonic()

    def _hold_back(self, partition: int, lane: Lane) -> None:
        wanted = lane.full or lane.halted is not None
        if wanted and partition not in self._paused:
            self._paused.add(partition)
            self._parts.log.pause(partition, True)
        elif not wanted and partition in self._paused:
            self._paused.discard(partition)
            self._parts.log.pause(partition, False)

    def _note_lag(self, partition: int, lane: Lane) -> None:
        end = self._parts.log.end_seen(partition)
        lag = max(0, end - lane.committed) if end is not None and lane.committed is not None else 0
        metrics.SINK_LAG.labels(self._parts.store.name, str(partition)).set(lag)
        lane.lag = lag

    def healthy(self) -> str | None:
        """None, or what is wrong in a sentence; safe from any thread."""
        now = time.monotonic()
        if now - self._polled > STALLED_SECONDS:
            return f"the loop has not polled for {now - self._polled:.0f} s: look at Kafka first; if it answers, restart the part"
        for lane in list(self._lanes.values()):
            if lane.halted is not None:
                return lane.halted
            if (lane.busy or lane.lag) and now - lane.progress > self._stalled:
                return f"{lane.place} has made no progress for {now - lane.progress:.0f} s: {lane.trouble or 'no answer yet'}"
        return self._parts.log.trouble()


def until_signalled(run: Callable[[threading.Event], int]) -> int:
    """Run until SIGTERM or SIGINT sets the event."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return run(stop)

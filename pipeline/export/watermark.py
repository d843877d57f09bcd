"""Up to which ingest time everything is stored: what an answer may call complete.

Per partition a *position* in the raw topic is found below which every record is processed and its clean event, if it has one,
stored. Its time comes from Kafka's own time index, so it needs no right to read, and records that became no clean event
(duplicates, quarantined, lost) or are deleted do not hold it back. Behind the last record it is the moment before the end was
asked for. The order of the questions is what makes it true: each asks for something that the answer before can only depend on.

It assumes what ``settle`` says: within so many seconds of its stamp a record is on all replicas that are in sync and so
visible, and brokers' clocks differ, and step back, by less. See docs/reading-api.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from connectors.clickhouse.client import ClickHouseError, Client
from connectors.kafka_marks import Marks, MarksError, Positions
from pipeline import metrics

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEEP_SECONDS = 1.0
LOOK_BACK = (600.0, 6 * 3600.0, 32 * 86400.0, 1e10)  # seconds
Points = Callable[[str], None]


@dataclass(frozen=True)
class Complete:
    """Everything with an ingest time before ``until`` (UTC) is stored at or below ``marks``, or became no event.

    ``raw``: partition → raw offset below which that is so.
    """

    until: datetime
    marks: Marks
    raw: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Safety:
    """What the answer waits for, all on. Tests switch one off to see that it is needed; nothing else may.

    ``outputs_last``: the clean topic's end is asked for after the processor's progress, not before.
    """

    processed: bool = True
    stored: bool = True
    outputs_last: bool = True


@dataclass(frozen=True)
class Stored:
    """The last stored clean event of a partition: its raw offset, and its ingest time in milliseconds."""

    raw_offset: int
    ingested: int


@dataclass(frozen=True)
class Progress:
    """What was found out about one partition; ``visible``: ``raw_end`` is all that was appended ``settle`` seconds before."""

    raw_end: int
    visible: bool
    processed: int
    clean_end: int
    mark: int
    stored: Stored | None

    @property
    def position(self) -> int:
        """Raw offset below which nothing is outstanding."""
        if self.mark >= self.clean_end:
            return self.processed
        return min(self.processed, self.stored.raw_offset + 1 if self.stored else 0)

    @property
    def done(self) -> bool:
        """Nothing is outstanding that was appended before the end was asked for."""
        return self.visible and self.position >= self.raw_end


class Watermark:
    """Answers are kept for a second, so that paging does not hammer Kafka, and never go back. Safe from many threads.

    ``settle`` in seconds, see the module; ``clock`` gives seconds since 1970; ``points`` is called between the questions (tests).
    """

    def __init__(
        self,
        namespace: str,
        positions: Callable[[], Positions],
        clickhouse: Client,
        settle: float,
        *,
        safety: Safety | None = None,
        clock: Callable[[], float] = time.time,
        points: Points = lambda _: None,
        keep: float = KEEP_SECONDS,
    ) -> None:
        self._namespace, self._connect, self._clickhouse = namespace, positions, clickhouse
        self._settle, self._safety, self._clock, self._points = settle, safety or Safety(), clock, points
        self._keep, self._lock = keep, threading.Lock()
        self._positions: Positions | None = None
        self._last: tuple[float, Complete] | None = None
        self._failed: tuple[float, Exception] | None = None
        self._floor: dict[int, int] = {}
        self._topic_id = ""

    def complete_until(self) -> datetime:
        """UTC, exclusive, of ingest times. Raises MarksError, ClickHouseError."""
        return self.now().until

    def now(self) -> Complete:
        """The moment, and the marks that go with it. Raises MarksError, ClickHouseError."""
        asked = time.monotonic()
        with self._lock:
            if self._failed is not None and self._failed[0] > asked:
                raise self._failed[1]  # it failed while this one waited: waiting in line would take all threads
            if self._last is None or time.monotonic() - self._last[0] > self._keep:
                found = self._asked_once()
                self._last = time.monotonic(), found
                metrics.EXPORT_COMPLETE_UNTIL.set(found.until.timestamp())
            return self._last[1]

    def topic_id(self, topic: str) -> str:
        """UUID of a topic. Raises MarksError."""
        return self._connected().topic_id(topic)

    def ends(self, topic: str, partitions: list[int]) -> dict[int, int]:
        """Partition → offset behind the last record of a topic. Raises MarksError."""
        return self._connected().ends(topic, partitions)

    def _connected(self) -> Positions:
        with self._lock:
            if self._positions is None:
                self._positions = self._connect()
            return self._positions

    def _asked_once(self) -> Complete:
        try:
            return self._asked()
        except (MarksError, ClickHouseError) as exc:
            self._failed = time.monotonic(), exc
            raise

    def _asked(self) -> Complete:
        if self._positions is None:
            self._positions = self._connect()
        ask, raw = self._positions, f"{self._namespace}.raw"
        before = int(self._clock() * 1000)
        visible = ask.replicated(raw)
        found, marks = self._progress(ask, visible, before)
        if marks.topic_id != self._topic_id:
            self._floor, self._topic_id = {}, marks.topic_id
        times = {p: before for p, progress in found.items() if progress.done}
        behind = {p: progress for p, progress in found.items() if not progress.done}
        times |= self._times(ask, raw, behind, before)
        for partition, moment in times.items():
            self._floor[partition] = max(moment, self._floor.get(partition, 0))
        until = EPOCH + timedelta(milliseconds=min(self._floor[p] for p in found)) - timedelta(seconds=self._settle)
        return Complete(max(until, EPOCH), marks, {p: progress.position for p, progress in found.items()})

    def _progress(self, ask: Positions, visible: Mapping[int, bool], before: int) -> tuple[dict[int, Progress], Marks]:
        raw, clean, partitions = f"{self._namespace}.raw", f"{self._namespace}.events", sorted(visible)
        ends = ask.ends(raw, partitions)
        early = None if self._safety.outputs_last else ask.ends(clean, partitions)
        self._points("raw ends")
        processed = ask.committed(f"{self._namespace}-processor", raw, partitions)
        self._points("processed")
        outputs = early or ask.ends(clean, partitions)
        self._points("outputs")
        marks = self._marks(ask, clean, outputs)
        behind = [p for p in partitions if marks.ends[p] < outputs[p]] if self._safety.stored else []
        stored = self._stored(marks, behind, before)
        found = {
            p: Progress(
                raw_end=ends[p],
                visible=visible[p],
                processed=(processed[p] or 0) if self._safety.processed else ends[p],
                clean_end=outputs[p] if self._safety.stored else 0,
                mark=marks.ends[p],
                stored=stored.get(p),
            )
            for p in partitions
        }
        return found, marks

    def _marks(self, ask: Positions, clean: str, ends: Mapping[int, int]) -> Marks:
        """How far the sink is. Where it has committed nothing and nothing is stored, it has not begun, so it is at 0."""
        group, topic_id = f"{self._namespace}-clickhouse-sink", ask.topic_id(clean)
        committed = ask.committed(group, clean, sorted(ends))
        unknown = [p for p, offset in committed.items() if offset is None and ends[p] > 0]
        if unknown:
            listed = ", ".join(map(str, unknown))
            sql = (
                f"SELECT count() FROM `{self._namespace}`.stored_positions(topic_id={{topic_id:String}})"  # noqa: S608
                f" WHERE kafka_partition IN ({listed})"
            )
            if self._clickhouse.rows(sql, {"topic_id": topic_id})[0][0]:
                text = f"Kafka no longer knows how far group {group} is on {clean}[{listed}]: start the ClickHouse sink"
                raise MarksError(text, passing=True)
        return Marks(topic_id, {p: offset or 0 for p, offset in committed.items()})

    def _stored(self, marks: Marks, partitions: list[int], before: int) -> dict[int, Stored]:
        """Per partition the stored event with the highest position below its mark, looked for in ever longer times back."""
        found: dict[int, Stored] = {}
        for back in LOOK_BACK:
            missing = [p for p in partitions if p not in found and marks.ends[p] > 0]
            if missing:
                found |= self._stored_since(marks, missing, max(0, before - int(back * 1000)))
        return found

    def _stored_since(self, marks: Marks, partitions: list[int], since: int) -> dict[int, Stored]:
        below = " OR ".join(f"(kafka_partition = {p:d} AND kafka_offset < {{mark_{p:d}:Int64}})" for p in partitions)
        sql = (
            "SELECT kafka_partition, argMax(processed_raw_offset, kafka_offset),"  # noqa: S608
            " toUnixTimestamp64Milli(assumeNotNull(max(processed_ingested_at)))"
            f" FROM `{self._namespace}`.stored_positions(topic_id={{topic_id:String}})"
            f" WHERE processed_ingested_at >= fromUnixTimestamp64Milli({{since:Int64}}) AND ({below})"
            " AND isNotNull(processed_raw_offset) GROUP BY kafka_partition"
        )
        values: dict[str, str | int] = {f"mark_{p}": marks.ends[p] for p in partitions}
        rows = self._clickhouse.rows(sql, values | {"topic_id": marks.topic_id, "since": since})
        return {p: Stored(raw_offset, ingested) for p, raw_offset, ingested in rows}

    def _times(self, ask: Positions, raw: str, behind: Mapping[int, Progress], before: int) -> dict[int, int]:
        """Per partition the append time (ms) of the record at its position, found by halving; all partitions at a time."""
        low = {p: max(self._floor.get(p, 0), f.stored.ingested if f.stored else 0) for p, f in behind.items()}
        high = {p: max(before, low[p]) + 1 for p in behind}
        while open_ := {p: (low[p] + high[p]) // 2 for p in behind if high[p] - low[p] > 1}:
            for p, found in ask.first_at(raw, open_).items():
                if found is None or found[0] > behind[p].position:
                    high[p] = open_[p]  # a record at or behind the position may be that early
                else:
                    low[p] = open_[p]
        return low

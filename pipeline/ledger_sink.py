"""The part ``ledger-sink``: the ledger topic as ClickHouse tables. At least once; a record's position makes its rows one.

It reads in its group's order, writes small batches, and commits behind what the server has. What goes wrong outside is waited
for; a record that is no ledger record, or one that Kafka no longer has, stops the partition for a person.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from connectors.avro import DecodeError, RecordCodec
from connectors.clickhouse import ledger as tables
from connectors.clickhouse.client import AccessError, ClickHouseError, Client
from connectors.clickhouse.ledger import Entry
from connectors.kafka import cluster_of
from connectors.kafka_partitions import KafkaPartitions, TopicError, sink_config, topic_id_of
from connectors.partitions import Chunk, CommitError, LogError, PartitionedLog
from pipeline import admin, metrics, settings
from pipeline.sink.loop import STALLED_SECONDS, until_signalled

log = logging.getLogger(__name__)
PART, SINK = "ledger-sink", "ledger"
MOST, POLLED = 10_000, 200  # rows and items of lists held, and so an insert; records a poll, which have 2 MB at most
POLL_SECONDS, FIRST_WAIT, LONGEST_WAIT = 0.5, 0.2, 15.0
Write = Callable[[str, Sequence[Entry]], None]
CAUSES: dict[type[Exception], str] = {ClickHouseError: "store", CommitError: "commit", LogError: "log"}


class MadeAnew(Exception):  # noqa: N818
    """The topic is another one than at the start: begin again."""


@dataclass(frozen=True)
class Safety:
    """Mechanisms, all on. Tests switch one off to see that it is needed; nothing else may.

    ``sequences_first``: a row in `ledger` says that the sequences of its range are stored.
    """

    sequences_first: bool = True


@dataclass
class Lane:
    """One partition: what is read and not yet written, the position behind it, and what is committed. None: not begun."""

    partition: int
    held: list[Entry] = field(default_factory=list)
    position: int | None = None
    committed: int | None = None
    halted: str | None = None


class LedgerSink:
    """Is the log's `connectors.partitions.Listener`. ``write(table, entries)`` raises ClickHouseError; ``points``: tests."""

    def __init__(
        self, source: PartitionedLog, write: Write, safety: Safety | None = None, points: Callable[[str], None] = lambda _: None
    ) -> None:
        self._log, self._write, self._points = source, write, points
        self._order = ("ledger_sequences", "ledger") if (safety or Safety()).sequences_first else ("ledger", "ledger_sequences")
        self._codec = RecordCodec("ledger_record", 0)
        self._lanes: dict[int, Lane] = {}
        self._trouble: str | None = None
        self._failures, self._wake, self._full = 0, 0.0, False
        self._polled = time.monotonic()
        metrics.OWNED.labels(PART).set(0)

    def assigned(self, partitions: Sequence[int]) -> None:
        log.info("%s: assigned %s", self._log.topic, sorted(partitions))
        self._lanes |= {p: Lane(p) for p in partitions}
        self._note("assigned", len(partitions))

    def revoked(self, partitions: Sequence[int], lost: bool) -> None:
        log.info("%s: %s %s", self._log.topic, "lost" if lost else "gave back", sorted(partitions))
        for partition in partitions:
            self._lanes.pop(partition, None)
            for gauge in (metrics.SINK_LAG, metrics.SINK_HALTED):
                with suppress(KeyError):
                    gauge.remove(SINK, str(partition))
        self._note("lost" if lost else "revoked", len(partitions))

    def _note(self, change: str, count: int) -> None:
        metrics.REBALANCES.labels(PART, change).inc(count)
        metrics.OWNED.labels(PART).set(len(self._lanes))

    def run(self, stop: threading.Event) -> int:
        """Until ``stop`` is set: 0. 1 where it has to be started again or every partition waits for a person (see the log)."""
        try:
            while not stop.is_set():
                self.turn(POLL_SECONDS)
                if self._lanes and all(lane.halted for lane in self._lanes.values()):
                    return 1
        except (LogError, MadeAnew) as exc:
            log.error("%s: %s", self._log.topic, exc)  # noqa: TRY400  the text says it all
            return 1
        finally:
            self._log.close()
        return 0

    def turn(self, timeout: float) -> None:
        """Poll once, then write and commit what is held. Raises what only a new start can mend."""
        for chunk in self._log.poll(timeout):
            lane = self._lanes.get(chunk.partition)
            if lane is not None and lane.halted is None and lane.position is not None:
                self._take(lane, chunk)
        self._polled = time.monotonic()
        if self._polled < self._wake:
            return
        try:
            self._begin()
            self._flush()
        except (ClickHouseError, CommitError, LogError) as exc:
            self._back(exc)
        else:
            self._failures, self._trouble = 0, None
        for lane in self._lanes.values():
            end = self._log.end_seen(lane.partition)
            lag = max(0, end - lane.committed) if end is not None and lane.committed is not None else 0
            metrics.SINK_LAG.labels(SINK, str(lane.partition)).set(lag)

    def _take(self, lane: Lane, chunk: Chunk) -> None:
        assert lane.position is not None  # noqa: S101
        chunk = chunk.since(lane.position)
        if chunk.error is not None:
            self._halt(lane, f"{chunk.error}; run `auditwired fsck`")
            return
        for offset, timestamp, value in zip(chunk.offsets, chunk.timestamps, chunk.values, strict=True):
            try:
                record = self._codec.decode(value or b"")
            except DecodeError as exc:
                self._halt(lane, f"offset {offset} is {exc}: upgrade this part if a newer processor runs, else run fsck")
                return
            lane.held.append(Entry(self._log.topic_id, lane.partition, offset, timestamp, tables.needed(record)))
            lane.position = offset + 1
        lane.position = max(lane.position, chunk.reached or 0)
        self._hold_back()

    def _begin(self) -> None:
        """Read partitions from where the group is: from the beginning where it never was, or was in another topic."""
        for lane in self._lanes.values():
            if lane.position is None:
                found = self._log.committed(lane.partition)
                if found is not None and found[1] != self._log.topic_id:
                    log.warning("%s[%d] was made anew: reading it from its beginning", self._log.topic, lane.partition)
                    found = None
                lane.position = lane.committed = self._log.bounds(lane.partition)[0] if found is None else found[0]
                self._log.start(lane.partition, lane.position)
                self._log.pause(lane.partition, self._full)

    def _flush(self) -> None:
        entries = [entry for lane in self._lanes.values() for entry in lane.held]
        if entries:
            if self._log.topic_id_now() != self._log.topic_id:
                raise MadeAnew("the topic was made anew: starting again")
            for table in self._order:
                self._write(table, entries)
                self._points(table)
        for lane in self._lanes.values():
            if lane.position is not None and lane.position != lane.committed:
                self._commit(lane, lane.position)
        metrics.LEDGER_RECORDS.inc(len(entries))
        self._hold_back()

    def _commit(self, lane: Lane, position: int) -> None:
        """Unknown where the group is: begin again there."""
        lane.held = []
        lane.position = lane.committed = None
        self._log.commit(lane.partition, position, self._log.topic_id)
        self._points("committed")
        lane.position = lane.committed = position

    def _hold_back(self) -> None:
        """No more is fetched while more than enough is held, such as when the server does not take it."""
        full = sum(entry.size for lane in self._lanes.values() for entry in lane.held) >= MOST
        if full != self._full:
            self._full = full
            for lane in self._lanes.values():
                self._log.pause(lane.partition, full or lane.halted is not None)

    def _back(self, exc: Exception) -> None:
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2**self._failures)
        self._failures += 1
        self._wake = time.monotonic() + wait
        metrics.SINK_RETRIES.labels(SINK, next(cause for kind, cause in CAUSES.items() if isinstance(exc, kind))).inc()
        log.warning("%s: again in %.1f s: %s", self._log.topic, wait, exc)
        self._trouble = str(exc)

    def _halt(self, lane: Lane, why: str) -> None:
        lane.halted = f"{self._log.topic}[{lane.partition}]: {why}"
        metrics.SINK_HALTED.labels(SINK, str(lane.partition)).set(1)
        log.error("stopped: %s", lane.halted)
        self._log.pause(lane.partition, True)

    def healthy(self) -> str | None:
        """None, or what is wrong in a sentence; safe from any thread."""
        silent = time.monotonic() - self._polled
        if silent > STALLED_SECONDS:
            return f"the loop has not polled for {silent:.0f} s: look at Kafka first; if it answers, restart the part"
        halted = next((lane.halted for lane in list(self._lanes.values()) if lane.halted), None)
        return halted or self._trouble or self._log.trouble()


def run(values: settings.LedgerSink, safety: Safety | None = None, points: Callable[[str], None] = lambda _: None) -> int:
    """Run until SIGTERM or SIGINT: 0; 1 when it cannot go on (the log says what to do). ``safety``, ``points``: tests only."""
    client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
    try:
        source = _source(values)
        if said := client.trouble():
            log.warning("%s", said)

        def write(table: str, entries: Sequence[Entry]) -> None:
            rows = tables.ledger_rows(entries) if table == "ledger" else tables.sequence_rows(entries)
            tables.write(client, values.namespace, table, rows)

        sink = LedgerSink(source, write, safety, points)
        source.subscribe(sink)
        admin.serve(PART, values.admin_listen, sink.healthy)
        return until_signalled(sink.run)
    except (TopicError, AccessError) as exc:
        log.error("%s", exc)  # noqa: TRY400  the text says it all
        return 1
    finally:
        client.close()


def _source(values: settings.LedgerSink) -> KafkaPartitions:
    cluster, topic = cluster_of(values.model_dump()), f"{values.namespace}.ledger"
    config = sink_config(cluster, f"{values.namespace}-{PART}", "classic", values.session_timeout_ms)
    slow = {"fetch.wait.max.ms": 500, "queued.max.messages.kbytes": 8192}
    return KafkaPartitions(cluster, {**config, **slow}, topic, topic_id_of(cluster, topic), POLLED)

"""Every metric of every part, declared once with its meaning and unit; `pipeline/metric_labels.py` bounds the labels.

A tenant, an agent, a tool or an id is never a label: they are as many as the world likes.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from connectors.series import SERIES
from pipeline.metric_labels import LABELS

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LATENCY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 21600.0, 86400.0)
MOST_CLASSES = 64
EVENTS = (1, 10, 100, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000)


class Tally(Histogram):
    """A histogram that takes many equal values at once."""

    def observe_many(self, values: Sequence[float], counts: Sequence[int]) -> None:
        """As if each value had been observed ``counts`` times."""
        for value, count in zip(values, counts, strict=True):
            bucket = next(i for i, bound in enumerate(self._upper_bounds) if value <= bound)
            self._buckets[bucket].inc(count)
            self._sum.inc(value * count)


UP = Gauge("auditwire_up", "1 while the part's last health check passed, else 0: what /healthz says.", ["part"])
BUILD = Gauge("auditwire_build_info", "Always 1; the labels say which version runs.", ["part", "version", "python"])
REBALANCES = Counter(
    "auditwire_rebalances_total", "Partitions that this process was given (assigned), gave back or lost.", ["part", "change"]
)
OWNED = Gauge("auditwire_partitions_owned", "Partitions that this process has now.", ["part"])

INGEST_REQUESTS = Counter("auditwire_ingest_requests_total", "Requests answered by the receiver.", ["route", "status"])
INGEST_SECONDS = Histogram(
    "auditwire_ingest_seconds",
    "Time from a request's head to its answer, the yes of Kafka or the spool included.",
    ["route"],
    buckets=SECONDS,
)
INGEST_EVENTS = Counter(
    "auditwire_ingest_events_total", "Events that the receiver acknowledged: Kafka, or its own spool, has them.", ["route"]
)
INGEST_QUARANTINED = Counter(
    "auditwire_ingest_quarantined_total", "Elements that the receiver could not understand and put into quarantine.", ["reason"]
)
INGEST_QUARANTINE_BYTES = Counter(
    "auditwire_ingest_quarantine_bytes_total", "Bytes of the records that the receiver put into quarantine."
)
INGEST_UNCONFIRMED = Counter(
    "auditwire_ingest_unconfirmed_total",
    "Events and rejects that Kafka, or the spool, did not confirm in time: answered with 503, sent again.",
)
INGEST_SPOOL_RECORDS = Gauge("auditwire_ingest_spool_records", "Records in the receiver's spool that Kafka does not have yet.")
INGEST_SPOOL_BYTES = Gauge(
    "auditwire_ingest_spool_bytes", "Bytes of the spool's files that hold records which Kafka does not have yet; 0 without any."
)
INGEST_SPOOL_LIMIT = Gauge("auditwire_ingest_spool_limit_bytes", "AUDITWIRE_INGEST_SPOOL_MAX_BYTES; 0 without a spool.")
INGEST_SPOOL_OLDEST = Gauge("auditwire_ingest_spool_oldest_seconds", "How long the oldest record waits in the spool for Kafka.")
INGEST_SPOOL_APPENDED = Counter("auditwire_ingest_spool_appended_total", "Records that the spool took, durably.")
INGEST_SPOOL_SENT = Counter("auditwire_ingest_spool_sent_total", "Records that Kafka confirmed, sent from the spool.")
INGEST_SPOOL_LOST = Gauge(
    "auditwire_ingest_spool_lost", "Acknowledged records that this process found unreadable in its spool: evidence is missing."
)
INGEST_SPOOL_REFUSED = Gauge(
    "auditwire_ingest_spool_refused", "Acknowledged records that Kafka refused for good, kept in the folder refused of the spool."
)
INGEST_IN_FLIGHT = Gauge(
    "auditwire_ingest_in_flight_bytes", "Bytes held for requests in the receiver, bodies counted eight-fold."
)

PROCESSOR_EVENTS = Counter(
    "auditwire_processor_events_total",
    "Raw records whose fate is committed: clean, conflict (clean and flagged), duplicate (suppressed), quarantined.",
    ["outcome"],
)
PROCESSOR_REJECTS = Counter(
    "auditwire_processor_rejects_total", "Raw records that are in quarantine, by what was wrong with them.", ["reason"]
)
PROCESSOR_QUARANTINE_BYTES = Counter(
    "auditwire_processor_quarantine_bytes_total", "Bytes of the records that the processor put into quarantine."
)
PROCESSOR_CAPTURED = Counter(
    "auditwire_processor_captured_events_total",
    "Clean events by how much of their content may be kept: the capture level that the rules give them, request_response where "
    "none is for them, metadata under outdated rules.",
    ["level"],
)
PROCESSOR_TOUCHED = Counter(
    "auditwire_processor_touched_fields_total",
    "Fields of clean events that were touched (entries of processed_redacted_fields), by what was done and who said so.",
    ["action", "by"],
)
PROCESSOR_CLASSED = Counter(
    "auditwire_processor_classed_events_total", "Clean events by the retention class that they got.", ["class"]
)
PROCESSOR_BATCH_EVENTS = Histogram(
    "auditwire_processor_batch_events", "Raw records that one transaction covers.", buckets=EVENTS[:9]
)
PROCESSOR_TRANSACTIONS = Counter("auditwire_processor_transactions_total", "Transactions committed.")
PROCESSOR_SECONDS = Histogram("auditwire_processor_seconds", "Duration of one batch by phase: handle, commit.", ["phase"])
PROCESSOR_LOST = Counter(
    "auditwire_processor_lost_total", "Raw records that Kafka deleted before they were processed; in the ledger as lost."
)
PROCESSOR_LAG = Gauge("auditwire_processor_lag", "Offsets of an owned raw partition not committed yet.", ["partition"])
PROCESSOR_BLOCKED = Gauge(
    "auditwire_processor_blocked",
    "1 where an owned raw partition waits for a person, such as for a newer processor.",
    ["partition"],
)
PROCESSOR_REJECTS_CAPPED = Gauge(
    "auditwire_processor_rejects_capped",
    "1 where an owned raw partition is stopped because most of its records are no events: AUDITWIRE_PROCESSOR_MAX_REJECT_RATIO.",
    ["partition"],
)
PROCESSOR_HELD_BYTES = Gauge("auditwire_processor_held_bytes", "Raw bytes fetched and not committed yet.")
PROCESSOR_DEDUPE_IDENTITIES = Gauge(
    "auditwire_processor_dedupe_identities", "Identities of an owned partition that deduplication remembers.", ["partition"]
)
PROCESSOR_DEDUPE_BYTES = Gauge("auditwire_processor_dedupe_bytes", "Memory of these identities, bytes.", ["partition"])
PROCESSOR_DEDUPE_HOURS = Gauge(
    "auditwire_processor_dedupe_hours",
    "How far back deduplication knows identities, hours; below the window once AUDITWIRE_PROCESSOR_DEDUPE_IDENTITIES is met.",
    ["partition"],
)
PROCESSOR_CHUNKS_REFUSED = Counter(
    "auditwire_processor_chunks_refused_total", "Chunks dropped because they did not begin at the position; asked for again."
)
PROCESSOR_REWINDS = Counter(
    "auditwire_processor_rewinds_total", "Times that expected records did not arrive and were asked for again."
)
PROCESSOR_SESSIONS = Counter("auditwire_processor_sessions_total", "Transactional sessions opened.")
PROCESSOR_SESSIONS_LOST = Counter(
    "auditwire_processor_sessions_lost_total", "Sessions given up after an error of the Kafka client."
)
PROCESSOR_FENCED = Counter(
    "auditwire_processor_fenced_total", "Sessions lost because another owner took the partition over, or the coordinator gave up."
)
PROCESSOR_HANDLER_FAILURES = Counter(
    "auditwire_processor_handler_failures_total", "Batches in which a stage raised; tried again."
)
PROCESSOR_SNAPSHOTS_SKIPPED = Counter(
    "auditwire_processor_snapshots_skipped_total",
    "Ledger snapshots left out because they would not fit in a record; rebuilds read further back.",
)
PROCESSOR_RAW_DELETED = Gauge(
    "auditwire_processor_raw_deleted_offset", "Raw offset up to which the janitor deleted.", ["partition"]
)

PROCESSOR_REFERENCE_REVISION = Gauge(
    "auditwire_processor_reference_revision",
    "Number of the revision of the series that the next batch is under; 0 where none was published.",
    ["series"],
)
PROCESSOR_REFERENCE_SINCE = Gauge(
    "auditwire_processor_reference_since_seconds", "When this process took it into use, seconds since 1970 (UTC).", ["series"]
)
PROCESSOR_REFERENCE_AGE = Gauge(
    "auditwire_processor_reference_age_seconds",
    "Time since the series' topic was last read in order; the last revision read stays in use meanwhile.",
    ["series"],
)

REFERENCE_WAITING = Gauge("auditwire_reference_waiting", "Revisions of the series stored and not published yet.", ["series"])
REFERENCE_WAITING_SECONDS = Gauge(
    "auditwire_reference_waiting_seconds", "Age of the oldest of them, seconds; 0 without any.", ["series"]
)
REFERENCE_REVISION = Gauge(
    "auditwire_reference_revision", "Number of the series' newest published revision; 0 before the first.", ["series"]
)
REFERENCE_PUBLISHED = Counter("auditwire_reference_published_total", "Revisions that this process published.", ["series"])
REFERENCE_FENCED = Counter(
    "auditwire_reference_fenced_total", "Times that another publisher took over from this one.", ["series"]
)
OF_OWNED = (
    *(PROCESSOR_LAG, PROCESSOR_BLOCKED, PROCESSOR_REJECTS_CAPPED, PROCESSOR_DEDUPE_IDENTITIES, PROCESSOR_DEDUPE_BYTES),
    PROCESSOR_RAW_DELETED,
)
"""Gauges of partitions: removed where a partition is no longer owned."""

EXPORT_REQUESTS = Counter("auditwire_export_requests_total", "Requests answered by the export service.", ["route", "status"])
EXPORT_JOBS = Counter("auditwire_export_jobs_total", "Extract jobs that this process ended: done, failed.", ["outcome"])
EXPORT_SCHEDULED = Counter("auditwire_export_scheduled_total", "Extracts that this process queued for a schedule.")
EXPORT_FILES_DELETED = Counter("auditwire_export_files_deleted_total", "Files of extracts that this process deleted.")
EXPORT_ROWS = Counter("auditwire_export_rows_total", "Events in the extracts that this process finished.")
EXPORT_RATE_LIMITED = Counter("auditwire_export_rate_limited_total", "Requests refused because their principal asked too often.")
EXPORT_COMPLETE_UNTIL = Gauge(
    "auditwire_export_complete_until_seconds",
    "Ingest time before which everything is stored, seconds since 1970, UTC; as of the last time somebody asked.",
)
EXPORT_READ_SECONDS = Histogram(
    "auditwire_export_read_seconds", "Time to read what a request of events or counts asks for.", ["route"], buckets=SECONDS
)
EXPORT_READ_EVENTS = Counter("auditwire_export_read_events_total", "Events in the answers to requests of events.")

SINK_EVENTS = Counter("auditwire_sink_events_total", "Events stored, proved and committed.", ["sink"])
SINK_LATENCY = Tally(
    "auditwire_sink_latency_seconds",
    "Age of an event when it is stored, proved and committed: since it was emitted (observed_at of the SDK, else occurred_at, by "
    "the producer's clock) and since it was received (append time of the raw record). Ages are right to 3 %.",
    ["sink", "since"],
    buckets=LATENCY,
)
SINK_RANGES = Counter("auditwire_sink_ranges_total", "Planned ranges stored, proved and committed.", ["sink"])
SINK_RANGE_EVENTS = Histogram("auditwire_sink_range_events", "Events of one range.", ["sink"], buckets=EVENTS)
SINK_REPLAYS = Counter("auditwire_sink_replays_total", "Planned ranges read again from Kafka after a takeover.", ["sink"])
SINK_RETRIES = Counter(
    "auditwire_sink_retries_total",
    "Times that a partition went back to its plan, by whose answer was missing.",
    ["sink", "cause"],
)
SINK_FENCED = Counter("auditwire_sink_fenced_total", "Writes refused because another owner had taken over.", ["sink"])
SINK_WRITE_SECONDS = Histogram("auditwire_sink_write_seconds", "Time to write a range and read it back, seconds.", ["sink"])
SINK_LAG = Gauge(
    "auditwire_sink_lag",
    "Positions of the topic that the sink reads (clean or ledger) not yet stored and committed.",
    ["sink", "partition"],
)
SINK_HALTED = Gauge("auditwire_sink_halted", "1 where a partition stopped until a person decides.", ["sink", "partition"])

LEDGER_RECORDS = Counter("auditwire_ledger_sink_records_total", "Ledger records written into the tables and committed.")

ARCHIVE_OBJECTS = Counter(
    "auditwire_archive_objects_total",
    "Parquet objects in place: created, or adopted (there already with the same events).",
    ["how"],
)
ARCHIVE_BYTES = Counter("auditwire_archive_bytes_total", "Bytes of the Parquet objects created.")
ARCHIVE_SPILL_BYTES = Gauge("auditwire_archive_spill_bytes", "Bytes of open ranges in the spill folder.")
ARCHIVE_SPILL_LIMIT = Gauge("auditwire_archive_spill_limit_bytes", "Most bytes in that folder.")

_PLACE = ["group", "topic", "partition"]
GROUP_LAG = Gauge(
    "auditwire_group_lag", "Offsets between the group's commit and the log's stable end; seen from outside the group.", _PLACE
)
GROUP_LAG_SECONDS = Gauge(
    "auditwire_group_lag_seconds",
    "Age of the oldest record that the group has not committed, by its append time; 0 without lag.",
    _PLACE,
)
GROUP_COMMITTED = Gauge(
    "auditwire_group_committed_offset", "Offset that the group has committed; -1 where there is none.", _PLACE
)
GROUP_STALLED_SECONDS = Gauge(
    "auditwire_group_stalled_seconds", "Time since the committed offset moved while there was lag; 0 without lag.", _PLACE
)
GROUP_STALLED = Gauge("auditwire_group_stalled", "1 where that time is longer than the setting for the group allows.", _PLACE)
GROUP_DELETED = Gauge(
    "auditwire_group_deleted_records", "Offsets that Kafka deleted before the group had committed them: lost to it.", _PLACE
)
GROUP_RETENTION_USED = Gauge(
    "auditwire_group_retention_used_ratio", "Age of the oldest record not committed, as a part of the topic's retention.", _PLACE
)
GROUP_MEMBERS = Gauge("auditwire_group_members", "Members of the group.", ["group"])
GROUP_UNOWNED = Gauge("auditwire_group_partitions_unowned", "Partitions that no member of the group has.", ["group"])
TOPIC_END = Gauge(
    "auditwire_topic_end_offset", "Stable end of the partition, behind the last ended transaction.", ["topic", "partition"]
)
TOPIC_OPEN = Gauge(
    "auditwire_topic_open_records", "Offsets behind the stable end: of transactions not yet ended.", ["topic", "partition"]
)
TOPIC_RECORDS = Gauge(
    "auditwire_topic_records",
    "Offsets from the partition's first to its stable end; with the marks of transactions.",
    ["topic", "partition"],
)
TOPIC_OLDEST = Gauge(
    "auditwire_topic_oldest_age_seconds",
    "Age of the partition's first record by its append time; 0 where there is none.",
    ["topic", "partition"],
)
TOPIC_PARTITIONS = Gauge(
    "auditwire_topic_partitions", "Partitions of the topic with a leader; 0 where it is not there.", ["topic"]
)
TOPIC_WANTED = Gauge("auditwire_topic_partitions_wanted", "Partitions of the topic by schemas/topics.yaml.", ["topic"])
LAST_LOOK = Gauge("auditwire_lag_exporter_last_look_timestamp_seconds", "When the last complete look at Kafka ended, Unix time.")


_classes: set[str] = set()


def class_label(name: str) -> str:
    """The label of a retention class: rules have 32 at most, and of those that rules had before a process remembers as many."""
    if len(_classes) < MOST_CLASSES:
        _classes.add(name)
    return name if name in _classes else "other"


def begin(part: str) -> None:
    """Let counters of a part begin at 0: Prometheus sees no increase in a series that begins at 1."""
    for change in ("assigned", "revoked", "lost"):
        REBALANCES.labels(part, change)
    if part == "processor":
        for outcome in ("clean", "conflict", "duplicate", "quarantined"):
            PROCESSOR_EVENTS.labels(outcome)
        PROCESSOR_REJECTS.labels("processing_error")
        for level in LABELS["level"].values:
            PROCESSOR_CAPTURED.labels(level)
        for action in LABELS["action"].values:
            PROCESSOR_TOUCHED.labels(action, "rule")
        PROCESSOR_TOUCHED.labels("mask", "detector")
        PROCESSOR_TOUCHED.labels("drop", "outdated")
    elif part == "export":
        for outcome in ("done", "failed"):
            EXPORT_JOBS.labels(outcome)
    elif part in ("clickhouse-sink", "archive-sink"):
        _begin_sink(part.removesuffix("-sink"))
    elif part == "reference-publisher":
        for series in SERIES:
            REFERENCE_PUBLISHED.labels(series.name)
            REFERENCE_FENCED.labels(series.name)
    elif part == "ledger-sink":
        for cause in ("store", "log", "commit"):
            SINK_RETRIES.labels("ledger", cause)


def _begin_sink(sink: str) -> None:
    for cause in ("store", "fenced", "log", "commit", "registry"):
        SINK_RETRIES.labels(sink, cause)
    for counter in (SINK_EVENTS, SINK_RANGES, SINK_REPLAYS, SINK_FENCED):
        counter.labels(sink)

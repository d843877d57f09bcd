"""Every metric of every part, declared once with its meaning and unit; labels are bounded."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

UP = Gauge("auditwire_up", "1 while the part's last health check passed, else 0.", ["part"])

INGEST_REQUESTS = Counter("auditwire_ingest_requests_total", "Requests answered by the receiver.", ["route", "status"])
INGEST_EVENTS = Counter("auditwire_ingest_events_total", "Events that the receiver acknowledged: Kafka has them.", ["route"])
INGEST_QUARANTINED = Counter(
    "auditwire_ingest_quarantined_total", "Elements that the receiver could not understand and put into quarantine.", ["reason"]
)
INGEST_IN_FLIGHT = Gauge(
    "auditwire_ingest_in_flight_bytes", "Bytes held for requests in the receiver, bodies counted eight-fold."
)

PROCESSOR_EVENTS = Counter(
    "auditwire_processor_events_total",
    "Raw records whose fate is committed: clean, conflict (clean and flagged), duplicate (suppressed), quarantined.",
    ["outcome"],
)
PROCESSOR_TRANSACTIONS = Counter("auditwire_processor_transactions_total", "Transactions committed.")
PROCESSOR_SECONDS = Histogram("auditwire_processor_seconds", "Duration of one batch by phase: handle, commit.", ["phase"])
PROCESSOR_LOST = Counter(
    "auditwire_processor_lost_total", "Raw records that Kafka deleted before they were processed; in the ledger as lost."
)
PROCESSOR_LAG = Gauge("auditwire_processor_lag", "Offsets of an owned raw partition not committed yet.", ["partition"])
PROCESSOR_HELD_BYTES = Gauge("auditwire_processor_held_bytes", "Raw bytes fetched and not committed yet.")
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

EXPORT_REQUESTS = Counter("auditwire_export_requests_total", "Requests answered by the export service.", ["route", "status"])
EXPORT_JOBS = Counter("auditwire_export_jobs_total", "Extract jobs that this process ended: done, failed.", ["outcome"])
EXPORT_ROWS = Counter("auditwire_export_rows_total", "Events in the extracts that this process finished.")
EXPORT_RATE_LIMITED = Counter(
    "auditwire_export_rate_limited_total", "Requests refused because their principal asked too often."
)
__all__ = ["UP", "Counter", "Gauge", "Histogram"]

SINK_EVENTS = Counter("auditwire_sink_events_total", "Events stored, proved and committed.", ["sink"])
SINK_RANGES = Counter("auditwire_sink_ranges_total", "Planned ranges stored, proved and committed.", ["sink"])
SINK_REPLAYS = Counter("auditwire_sink_replays_total", "Planned ranges read again from Kafka after a takeover.", ["sink"])
SINK_FENCED = Counter("auditwire_sink_fenced_total", "Writes refused because another owner had taken over.", ["sink"])
SINK_WRITE_SECONDS = Histogram("auditwire_sink_write_seconds", "Time to write a range and read it back, seconds.", ["sink"])
SINK_LAG = Gauge("auditwire_sink_lag", "Positions of the clean topic not yet stored and committed.", ["sink", "partition"])
SINK_HALTED = Gauge("auditwire_sink_halted", "1 where a partition stopped until a person decides.", ["sink", "partition"])

ARCHIVE_OBJECTS = Counter(
    "auditwire_archive_objects_total",
    "Parquet objects in place: created, or adopted (there already with the same events).",
    ["how"],
)
ARCHIVE_BYTES = Counter("auditwire_archive_bytes_total", "Bytes of the Parquet objects created.")
ARCHIVE_SPILL_BYTES = Gauge("auditwire_archive_spill_bytes", "Bytes of open ranges in the spill folder.")

"""What each label of a metric may say: a closed list, or a pattern whose values the code and the topics bound."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """``values`` is the closed list; ``pattern`` is for numbers and routes, which the cluster and the code bound."""

    meaning: str
    values: tuple[str, ...] = ()
    pattern: str = ""

    def allows(self, value: str) -> bool:
        return value in self.values or bool(self.pattern and re.fullmatch(self.pattern, value))


LABELS = {
    "part": Label(
        "The part of the pipeline",
        (
            "ingest",
            "processor",
            "clickhouse-sink",
            "archive-sink",
            "ledger-sink",
            "export",
            "reference-publisher",
            "lag-exporter",
        ),
    ),
    "version": Label("Auditwire's version", pattern=r"\d+\.\d+\.\d+\S{0,20}"),
    "python": Label("Python's version", pattern=r"\d+\.\d+\.\d+\S{0,10}"),
    "change": Label("What happened to the partition", ("assigned", "revoked", "lost")),
    "route": Label("Route of the HTTP interface, never a path with ids in it", pattern=r"(/[a-z0-9_{}.:-]*){1,6}|other"),
    "status": Label("HTTP status", pattern=r"[1-5]\d\d"),
    "outcome": Label(
        "What became of it", ("clean", "conflict", "duplicate", "quarantined", "done", "failed", "cancelled", "expired")
    ),
    "level": Label("Capture level", ("metadata", "request", "request_response")),
    "action": Label("What became of the field, or of what was found in it", ("drop", "mask", "hash", "cut")),
    "by": Label(
        "Who said so: a rule; nobody but the detectors, which mask without a rule; or that the rules are outdated",
        ("rule", "detector", "outdated"),
    ),
    "class": Label(
        "Retention class, of the rules or of `AUDITWIRE_RETENTION_CLASSES`; `other` beyond the first 64 of a process",
        pattern=r"[a-z0-9_-]{1,63}",
    ),
    "phase": Label("Part of the work", ("handle", "commit")),
    "partition": Label("Number of the Kafka partition", pattern=r"\d{1,4}"),
    "sink": Label("Store", ("clickhouse", "archive", "ledger")),
    "since": Label("From when the age counts", ("emitted", "received")),
    "cause": Label("Whose answer was missing", ("store", "fenced", "log", "commit", "registry")),
    "how": Label("How the object came", ("created", "adopted")),
    "group": Label("Consumer group without its namespace", ("processor", "clickhouse-sink", "archive-sink", "ledger-sink")),
    "topic": Label("Topic without its namespace", ("raw", "events", "quarantine", "ledger", "reference", "rules")),
    "series": Label("Series of revisions", ("reference", "rules")),
    "reason": Label(
        "Why a record is in quarantine",
        (
            *("bad_frame", "unknown_schema", "bad_avro", "too_large", "processing_error"),
            *("bad_event_id", "bad_tenant_id", "bad_event_type", "bad_producer_id", "bad_time", "bad_number"),
            *("nul_character", "too_many_items"),
            *("not_json", "not_an_object", "too_deep", "too_many_elements", "too_many_keys", "too_many_values"),
            *("bad_type", "bad_value", "bad_id", "no_time", "bad_cloudevent"),
            *("unknown_field", "no_event_type", "foreign"),
        ),
    ),
}


def unit_of(name: str) -> str:
    """The unit of a metric, which its name says; counters of things are pure numbers."""
    name = name.removesuffix("_total")
    for suffix, unit in _UNITS.items():
        if name.endswith(suffix):
            return unit
    return "number"


_UNITS = {
    "_timestamp_seconds": "Unix time, seconds",
    "_until_seconds": "Unix time, seconds",
    "_since_seconds": "Unix time, seconds",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_ratio": "part of 1",
    "_lag": "offsets",
    "_offset": "offset",
    "_info": "1",
    "_up": "0 or 1",
    "_halted": "0 or 1",
    "_blocked": "0 or 1",
    "_capped": "0 or 1",
    "_stalled": "0 or 1",
    "_revision": "revision",
}

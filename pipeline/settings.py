"""Settings of every part, parsed once from the environment into frozen objects; unknown ``AUDITWIRE_`` names are refused.

Each part has credentials of its own with least rights. ``PARTS`` maps a part's name to its settings.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

PREFIX = "AUDITWIRE_"

# What `make up` writes for lookers-in beyond the parts' settings, and what the local stack itself reads.
OTHER_NAMES = frozenset(
    PREFIX + n
    for n in (
        "KAFKA_USERNAME",
        "KAFKA_PASSWORD",
        "TENANT",
        "TRANSPORT",
        "MODE",
        "REDACT",
        "REDACT_ENCODED",
        "SPOOL_DIR",
        "SPOOL_KEY",
        "SPOOL_MAX_BYTES",
        "CLICKHOUSE_NATIVE",
        "CLICKHOUSE_USER",
        "CLICKHOUSE_PASSWORD",
        "INGEST_URL",
        "INGEST_TOKEN",
        "EXPORT_URL",
        "EXPORT_TOKEN",
        "METRICS_URLS",
        "STATE_DIR",
        "CACHE_DIR",
    )
)


class SettingsError(Exception):
    """A setting is missing, misspelt or impossible; the text says which and what to do. Fix the environment and start again."""


def setting(name: str, doc: str, default: Any = ...) -> Any:
    """A field read from ``AUDITWIRE_<name>``."""
    return Field(default, validation_alias=PREFIX + name, description=doc)


LOCK_MODE: Literal["GOVERNANCE", "COMPLIANCE"] = setting("OBJECT_LOCK_MODE", "Object lock of the archive bucket.", "GOVERNANCE")


class Common(BaseModel):
    """Where the servers are: the same for all parts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    namespace: str = setting("NAMESPACE", "Prefix of topics and groups and name of the ClickHouse database.", "audit")
    kafka_bootstrap: str = setting("KAFKA_BOOTSTRAP", "Kafka brokers, host:port, comma separated.")
    kafka_security_protocol: str = setting("KAFKA_SECURITY_PROTOCOL", "Kafka security protocol.", "SASL_SSL")
    kafka_sasl_mechanism: str = setting("KAFKA_SASL_MECHANISM", "Kafka SASL mechanism.", "SCRAM-SHA-512")
    schema_registry_url: str = setting("SCHEMA_REGISTRY_URL", "Confluent-compatible schema registry, with its path.")
    admin_listen: str = setting("ADMIN_LISTEN", "host:port of the part's /metrics and /healthz; empty for none.", "")
    log_format: Literal["json", "console"] = setting("LOG_FORMAT", "Form of the log lines.", "console")


class ClickHouse(BaseModel):
    clickhouse_url: str = setting("CLICKHOUSE_URL", "ClickHouse over HTTP(S), such as http://127.0.0.1:8123.")


class S3(BaseModel):
    s3_endpoint: str = setting("S3_ENDPOINT", "S3 endpoint URL.")
    s3_region: str = setting("S3_REGION", "S3 region.", "us-east-1")


class Archive(S3):
    s3_bucket: str = setting("S3_BUCKET", "Bucket of the Parquet archive, with versioning and object lock.")


class Extracts(S3):
    s3_extract_bucket: str = setting("S3_EXTRACT_BUCKET", "Bucket of extract files, without object lock.")
    extract_days: int = Field(
        7, validation_alias=PREFIX + "EXTRACT_DAYS", description="How many days extract files live, at most 7.", ge=1, le=7
    )


class Sealing(BaseModel):
    sealing_key: SecretStr = setting(
        "SEALING_KEY", "32 random bytes in base64: seals quarantined originals, keys the hashes of deduplication and of rules."
    )


class Ingest(Common, Sealing):
    """The receiver."""

    kafka_username: str = setting("INGEST_KAFKA_USERNAME", "Kafka user: may write raw and quarantine.", "ingest")
    kafka_password: SecretStr = setting("INGEST_KAFKA_PASSWORD", "Its password.")
    listen: str = setting("INGEST_LISTEN", "host:port of the receiver.", "127.0.0.1:8080")
    tokens_file: Path = setting("INGEST_TOKENS_FILE", "YAML list of {tenant, source, token_sha256}.")
    max_in_flight_bytes: int = setting(
        "INGEST_MAX_IN_FLIGHT_BYTES",
        "Memory for requests at once, a body counted eight-fold; more is a 503. At least eight times the largest body.",
        512 << 20,
    )
    max_body_bytes: int = setting("INGEST_MAX_BODY_BYTES", "Largest body; more is a 413.", 25 * 1024 * 1024)
    spool_dir: str = setting(
        "INGEST_SPOOL_DIR",
        "Folder on a disk that outlives the process: what is on it is acknowledged, Kafka may be away. Each instance needs one "
        "of its own. Empty: no spool, acknowledged is what Kafka has.",
        "",
    )
    spool_max_bytes: int = setting(
        "INGEST_SPOOL_MAX_BYTES",
        "Most bytes of what waits there for Kafka; more is a 503. What Kafka refuses for good may take as many again.",
        1 << 30,
    )


PUBLIC_KEYS: str = setting(
    "RETENTION_PUBLIC_KEYS",
    "Public keys of deletion certificates, comma separated, older ones too (`auditwired retention key` prints it).",
    "",
)


class Retention(BaseModel):
    retention_classes: str = setting(
        "RETENTION_CLASSES", "Retention classes that tenants may have, comma separated, at most 32.", "standard,extended"
    )
    retention_class: str = setting(
        "PROCESSOR_RETENTION_CLASS", "Retention class of events whose tenant has none of its own.", "standard"
    )

    @field_validator("retention_classes")
    @classmethod
    def _few(cls, value: str) -> str:
        if len(value.split(",")) > 32:  # each is a partition of the table a month
            raise ValueError("names more than 32 classes")
        return value


class Redaction(BaseModel):
    redact_encoded: Literal["percent", "base64"] = setting(
        "PROCESSOR_REDACT_ENCODED",
        "What redaction looks behind, one level deep: percent escapes, or base64: these and base64.",
        "percent",
    )


class Processor(Common, Sealing, Retention, Redaction):
    """The Faust processors."""

    kafka_username: str = setting(
        "PROCESSOR_KAFKA_USERNAME", "Kafka user: reads raw and ledger, writes events, quarantine, ledger.", "processor"
    )
    kafka_password: SecretStr = setting("PROCESSOR_KAFKA_PASSWORD", "Its password.")
    batch_events: int = setting("PROCESSOR_BATCH_EVENTS", "Most events a transaction.", 10_000)
    linger_ms: int = setting("PROCESSOR_LINGER_MS", "Wait for a fuller batch, milliseconds.", 100)
    hold_bytes: int = setting("PROCESSOR_HOLD_BYTES", "Raw bytes held per process before fetching pauses.", 64 << 20)
    dedupe_window_hours: int = setting("PROCESSOR_DEDUPE_WINDOW_HOURS", "How long ids of sources are remembered.", 24)
    dedupe_identities: int = setting(
        "PROCESSOR_DEDUPE_IDENTITIES",
        "Ids remembered at most, a partition, 20 bytes each; where more come in the window, its oldest five minutes are dropped.",
        20_000_000,
    )
    rules_max_age_seconds: float = Field(
        300.0,
        validation_alias=PREFIX + "PROCESSOR_RULES_MAX_AGE_SECONDS",
        description="How long rules are in use while their topic cannot be read, seconds; at least 10.",
        ge=10,
    )
    rules_outdated: Literal["wait", "strictest"] = setting(
        "PROCESSOR_RULES_OUTDATED",
        "What happens after that: wait, or strictest: go on without keeping any content, which nothing brings back.",
        "wait",
    )
    session_timeout_ms: int = setting("PROCESSOR_SESSION_TIMEOUT_MS", "Consumer group session timeout.", 10_000)
    transaction_timeout_ms: int = setting("PROCESSOR_TRANSACTION_TIMEOUT_MS", "Kafka transaction timeout.", 30_000)
    max_reject_ratio: float = setting(
        "PROCESSOR_MAX_REJECT_RATIO",
        "A partition stops when a larger share of its records of the last five minutes cannot be read as events; 1: never.",
        0.5,
    )
    reject_sample: int = setting("PROCESSOR_REJECT_SAMPLE", "Fewest records by which that is judged.", 1000)
    raw_keep_minutes: int = setting("PROCESSOR_RAW_KEEP_MINUTES", "How long processed raw records are kept.", 60)
    data_dir: Path = setting("PROCESSOR_DATA_DIR", "Folder that Faust may write to.", Path("/tmp/auditwire-faust"))  # noqa: S108


class ClickHouseSink(Common, ClickHouse):
    """The ClickHouse sink."""

    kafka_username: str = setting("CLICKHOUSE_SINK_KAFKA_USERNAME", "Kafka user: reads events.", "clickhouse-sink")
    kafka_password: SecretStr = setting("CLICKHOUSE_SINK_KAFKA_PASSWORD", "Its password.")
    clickhouse_user: str = setting("CLICKHOUSE_SINK_CLICKHOUSE_USER", "ClickHouse user: inserts events and fence.", "sink")
    clickhouse_password: SecretStr = setting("CLICKHOUSE_SINK_CLICKHOUSE_PASSWORD", "Its password.")
    batch_events: int = setting("CLICKHOUSE_SINK_BATCH_EVENTS", "Most events an insert.", 50_000)
    batch_bytes: int = setting("CLICKHOUSE_SINK_BATCH_BYTES", "Most bytes of Avro an insert.", 64 << 20)
    flush_ms: int = setting("CLICKHOUSE_SINK_FLUSH_MS", "Longest wait for a fuller insert, milliseconds.", 500)
    session_timeout_ms: int = setting("CLICKHOUSE_SINK_SESSION_TIMEOUT_MS", "Consumer group session timeout.", 10_000)
    group_protocol: Literal["classic", "consumer"] = setting(
        "CLICKHOUSE_SINK_GROUP_PROTOCOL", "Consumer group protocol: classic, or consumer (KIP-848).", "classic"
    )


class LedgerSink(Common, ClickHouse):
    """The ledger sink: what became of every raw record, as tables."""

    kafka_username: str = setting("LEDGER_SINK_KAFKA_USERNAME", "Kafka user: reads the ledger.", "ledger-sink")
    kafka_password: SecretStr = setting("LEDGER_SINK_KAFKA_PASSWORD", "Its password.")
    clickhouse_user: str = setting(
        "LEDGER_SINK_CLICKHOUSE_USER", "ClickHouse user: inserts into the two tables of the ledger.", "ledger_sink"
    )
    clickhouse_password: SecretStr = setting("LEDGER_SINK_CLICKHOUSE_PASSWORD", "Its password.")
    session_timeout_ms: int = setting("LEDGER_SINK_SESSION_TIMEOUT_MS", "Consumer group session timeout.", 10_000)


class ArchiveSink(Common, Archive):
    """The Parquet archive sink."""

    kafka_username: str = setting("ARCHIVE_SINK_KAFKA_USERNAME", "Kafka user: reads events.", "archive-sink")
    kafka_password: SecretStr = setting("ARCHIVE_SINK_KAFKA_PASSWORD", "Its password.")
    s3_access_key_id: str = setting("ARCHIVE_SINK_S3_ACCESS_KEY_ID", "S3 key: reads and writes the archive bucket.")
    s3_secret_access_key: SecretStr = setting("ARCHIVE_SINK_S3_SECRET_ACCESS_KEY", "Its secret.")
    flush_bytes: int = setting("ARCHIVE_SINK_FLUSH_BYTES", "Close an object at about so many bytes of Avro.", 512 << 20)
    flush_seconds: float = setting("ARCHIVE_SINK_FLUSH_SECONDS", "Close an object at this age at the latest.", 900.0)
    spill_dir: Path = setting("ARCHIVE_SINK_SPILL_DIR", "Folder for open batches (Arrow IPC); emptied at start.")
    spill_bytes: int = setting(
        "ARCHIVE_SINK_SPILL_BYTES", "Most bytes in that folder; objects are closed early at the limit.", 4 << 30
    )
    session_timeout_ms: int = setting("ARCHIVE_SINK_SESSION_TIMEOUT_MS", "Consumer group session timeout.", 10_000)
    group_protocol: Literal["classic", "consumer"] = setting(
        "ARCHIVE_SINK_GROUP_PROTOCOL", "Consumer group protocol: classic, or consumer (KIP-848).", "classic"
    )


class Export(Common, ClickHouse, Extracts):
    """The export service."""

    kafka_username: str = setting(
        "EXPORT_KAFKA_USERNAME", "Kafka user: writes its own audit events, sees the sink's offsets.", "export"
    )
    kafka_password: SecretStr = setting("EXPORT_KAFKA_PASSWORD", "Its password.")
    clickhouse_user: str = setting(
        "EXPORT_CLICKHOUSE_USER", "ClickHouse user: may read only the view events_of(tenant).", "export"
    )
    clickhouse_password: SecretStr = setting("EXPORT_CLICKHOUSE_PASSWORD", "Its password.")
    postgres_dsn: SecretStr = setting(
        "EXPORT_POSTGRES_DSN", "PostgreSQL with the extract jobs, postgresql://user:password@host/db."
    )
    s3_access_key_id: str = setting("EXPORT_S3_ACCESS_KEY_ID", "S3 key: reads and writes the extract bucket.")
    s3_secret_access_key: SecretStr = setting("EXPORT_S3_SECRET_ACCESS_KEY", "Its secret.")
    listen: str = setting("EXPORT_LISTEN", "host:port of the export service.", "127.0.0.1:8081")
    principals_file: Path = setting("EXPORT_PRINCIPALS_FILE", "YAML list of {name, token_sha256, tenants, rights}.")
    lease_seconds: float = setting("EXPORT_LEASE_SECONDS", "How long a dead instance keeps its extract from the others.", 30.0)
    settle_seconds: float = setting(
        "EXPORT_SETTLE_SECONDS",
        "What is ingested counts as complete so many seconds later: more than the brokers' replica.lag.time.max.ms and a half,"
        " and than their clocks differ; with one replica a second will do.",
        60.0,
    )


class ReferencePublisher(Common):
    """The publisher of reference data and rules."""

    kafka_username: str = setting(
        "REFERENCE_PUBLISHER_KAFKA_USERNAME",
        "Kafka user: writes reference and rules, and raw for its audit events.",
        "reference-publisher",
    )
    kafka_password: SecretStr = setting("REFERENCE_PUBLISHER_KAFKA_PASSWORD", "Its password.")
    postgres_dsn: SecretStr = setting(
        "REFERENCE_PUBLISHER_POSTGRES_DSN",
        "PostgreSQL with reference data and rules: reads revisions, marks them as published.",
    )


class Reference(Retention):
    """`auditwired reference`: reference data of compliance and platform people. Not used by any running part."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    namespace: str = setting("NAMESPACE", "Prefix of topics and groups and name of the ClickHouse database.", "audit")
    postgres_dsn: SecretStr = setting(
        "REFERENCE_POSTGRES_DSN", "PostgreSQL with the reference data: reads revisions and adds new ones, changes none."
    )


class Rules(Retention):
    """`auditwired rules`: rules for data, of compliance people. Not used by any running part."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    namespace: str = setting("NAMESPACE", "Prefix of topics and groups and name of the ClickHouse database.", "audit")
    postgres_dsn: SecretStr = setting(
        "RULES_POSTGRES_DSN", "PostgreSQL with the rules: reads revisions and adds new ones, changes none."
    )


class RulesPreview(ClickHouse):
    """`auditwired rules preview`: reads stored events besides. Not used by any running part."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    namespace: str = setting("NAMESPACE", "Prefix of topics and groups and name of the ClickHouse database.", "audit")
    clickhouse_user: str = setting("RULES_CLICKHOUSE_USER", "ClickHouse user: reads events, of all tenants.", "rules")
    clickhouse_password: SecretStr = setting("RULES_CLICKHOUSE_PASSWORD", "Its password.")


class LagExporter(Common):
    """The lag exporter: watches topics and consumer groups from outside, for Prometheus."""

    kafka_username: str = setting(
        "LAG_EXPORTER_KAFKA_USERNAME", "Kafka user: sees topics and groups, reads no record.", "lag-exporter"
    )
    kafka_password: SecretStr = setting("LAG_EXPORTER_KAFKA_PASSWORD", "Its password.")
    every_seconds: float = setting("LAG_EXPORTER_EVERY_SECONDS", "Pause between two looks, seconds.", 5.0)
    stall_seconds: float = setting(
        "LAG_EXPORTER_STALL_SECONDS", "A partition with lag whose commit stands for so long counts as stalled, seconds.", 120.0
    )
    archive_stall_seconds: float = setting(
        "LAG_EXPORTER_ARCHIVE_STALL_SECONDS",
        "The same for the archive sink: more than twice AUDITWIRE_ARCHIVE_SINK_FLUSH_SECONDS.",
        2000.0,
    )


class Migrate(Common, ClickHouse, Archive, Extracts):
    """`auditwired migrate`: provisions topics, ACLs, schemas, tables, buckets. Not used by any running part."""

    kafka_username: str = setting("ADMIN_KAFKA_USERNAME", "Kafka user that may create topics and ACLs.", "admin")
    kafka_password: SecretStr = setting("ADMIN_KAFKA_PASSWORD", "Its password.")
    clickhouse_user: str = setting("ADMIN_CLICKHOUSE_USER", "ClickHouse user that may create tables.", "admin")
    clickhouse_password: SecretStr = setting("ADMIN_CLICKHOUSE_PASSWORD", "Its password.")
    postgres_dsn: SecretStr = setting("ADMIN_POSTGRES_DSN", "PostgreSQL as owner of the database.")
    s3_access_key_id: str = setting("ADMIN_S3_ACCESS_KEY_ID", "S3 key that may create buckets.")
    s3_secret_access_key: SecretStr = setting("ADMIN_S3_SECRET_ACCESS_KEY", "Its secret.")
    replication_factor: int = setting("REPLICATION_FACTOR", "Copies of each topic; 3 or more needs min.insync.replicas 2.", 3)
    min_insync_replicas: int = setting("MIN_INSYNC_REPLICAS", "Copies that must have a record before it is acknowledged.", 2)
    object_lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] = LOCK_MODE
    object_lock_days: int = setting("OBJECT_LOCK_DAYS", "Its length in days.", 365)


class Operator(Common, ClickHouse, Archive, Sealing):
    """Tools of operators: fsck and quarantine. Reads everything; writes raw for `quarantine replay`."""

    kafka_username: str = setting(
        "OPERATOR_KAFKA_USERNAME", "Kafka user: reads events, quarantine, ledger; writes raw.", "operator"
    )
    kafka_password: SecretStr = setting("OPERATOR_KAFKA_PASSWORD", "Its password.")
    clickhouse_user: str = setting("OPERATOR_CLICKHOUSE_USER", "ClickHouse user: reads events.", "operator")
    clickhouse_password: SecretStr = setting("OPERATOR_CLICKHOUSE_PASSWORD", "Its password.")
    postgres_dsn: SecretStr = setting(
        "OPERATOR_POSTGRES_DSN",
        "PostgreSQL with statements about producers and the rules; for `completeness`, `producer`, `explain`.",
        "",
    )
    s3_access_key_id: str = setting("OPERATOR_S3_ACCESS_KEY_ID", "S3 key: reads the archive bucket.")
    s3_secret_access_key: SecretStr = setting("OPERATOR_S3_SECRET_ACCESS_KEY", "Its secret.")
    public_keys: str = PUBLIC_KEYS


class Rebuild(BaseModel):
    """`auditwired rebuild`: what it writes with; it reads with the operator's rights. Not used by any running part."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    clickhouse_user: str = setting(
        "REBUILD_CLICKHOUSE_USER",
        "ClickHouse user: reads and inserts events, fence and ledger, changes and removes nothing.",
        "rebuild",
    )
    clickhouse_password: SecretStr = setting("REBUILD_CLICKHOUSE_PASSWORD", "Its password.")
    s3_access_key_id: str = setting("REBUILD_S3_ACCESS_KEY_ID", "S3 key: reads the archive bucket and adds objects to it.")
    s3_secret_access_key: SecretStr = setting("REBUILD_S3_SECRET_ACCESS_KEY", "Its secret.")


class RetentionRuns(Common, ClickHouse, Archive):
    """`auditwired retention`: plans deletions and carries them out. Not used by any running part."""

    kafka_username: str = setting(
        "RETENTION_KAFKA_USERNAME", "Kafka user: sees the sinks' offsets, writes raw for its audit events.", "retention"
    )
    kafka_password: SecretStr = setting("RETENTION_KAFKA_PASSWORD", "Its password.")
    clickhouse_user: str = setting(
        "RETENTION_CLICKHOUSE_USER",
        "ClickHouse user: reads positions, classes and digests of events, drops partitions, adds to the table `deletions`.",
        "retention",
    )
    clickhouse_password: SecretStr = setting("RETENTION_CLICKHOUSE_PASSWORD", "Its password.")
    postgres_dsn: SecretStr = setting("RETENTION_POSTGRES_DSN", "PostgreSQL with the rules: reads revisions, nothing else.")
    s3_access_key_id: str = setting(
        "RETENTION_S3_ACCESS_KEY_ID",
        "S3 key: reads the archive bucket, deletes and locks versions below events/, adds objects below deletions/.",
    )
    s3_secret_access_key: SecretStr = setting("RETENTION_S3_SECRET_ACCESS_KEY", "Its secret.")
    signing_key: SecretStr = setting(
        "RETENTION_SIGNING_KEY", "Ed25519 key of deletion certificates: 32 random bytes in base64, or PEM."
    )
    public_keys: str = PUBLIC_KEYS
    object_lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] = LOCK_MODE


PARTS: dict[str, type[Common]] = {
    "ingest": Ingest,
    "processor": Processor,
    "clickhouse-sink": ClickHouseSink,
    "archive-sink": ArchiveSink,
    "ledger-sink": LedgerSink,
    "export": Export,
    "lag-exporter": LagExporter,
    "reference-publisher": ReferencePublisher,
}
ALL: dict[str, type[BaseModel]] = {
    **PARTS,
    "migrate": Migrate,
    "operator": Operator,
    "reference": Reference,
    "rules": Rules,
    "rules preview": RulesPreview,
    "rebuild": Rebuild,
    "retention": RetentionRuns,
}

S = TypeVar("S", bound=BaseModel)


def names_of(model: type[BaseModel]) -> dict[str, str]:
    """Environment name → field name."""
    return {str(f.validation_alias): name for name, f in model.model_fields.items()}


def known_names() -> frozenset[str]:
    """Every ``AUDITWIRE_`` name that any part, tool or the local stack reads."""
    return OTHER_NAMES.union(*(names_of(m) for m in ALL.values()))


def unknown_names(env: Mapping[str, str]) -> dict[str, str]:
    """Names in ``env`` that begin like settings and that nobody reads, each with a hint at the nearest known one, or ""."""
    known = known_names()
    unknown = sorted(name for name in env if name.startswith(PREFIX) and name not in known)
    near = {name: difflib.get_close_matches(name, known, n=1) for name in unknown}
    return {name: f" Did you mean {found[0]}?" if found else "" for name, found in near.items()}


def load(model: type[S], env: Mapping[str, str] | None = None) -> S:
    """Settings of one part from ``env`` (default: the process environment).

    Raises SettingsError: a name that nobody reads (with the nearest known one), a missing or an impossible value. Values of
    secrets are never quoted.
    """
    env = os.environ if env is None else env
    for name, hint in unknown_names(env).items():
        raise SettingsError(f"{name} is not a setting of Auditwire.{hint} Unset it or correct its name (docs/configuration.md).")
    try:
        return model.model_validate({n: env[n] for n in names_of(model) if env.get(n, "") != ""})
    except ValidationError as exc:
        lines = []
        for error in exc.errors(include_input=False, include_url=False):
            name = str(error["loc"][0]) if error["loc"] else "?"
            lines.append(f"{name} is not set." if error["type"] == "missing" else f"{name}: {error['msg']}.")
        raise SettingsError(
            f"settings of {model.__name__}: " + " ".join(lines) + " Set them in the environment (docs/configuration.md)."
        ) from None

"""The settings (`AUDITWIRE_…`) of every part and tool for one stack, and what lookers-in get."""

from __future__ import annotations

import hashlib
from pathlib import Path

from infra.stack import state
from infra.stack.server import HOST
from infra.stack.servers.s3 import bucket
from infra.stack.state import State
from pipeline.retention.certificate import SigningKey, public_text


def everything(directory: Path, st: State, namespace: str) -> dict[str, str]:
    """Every setting of every part but AUDITWIRE_ADMIN_LISTEN, which differs from part to part."""
    return {**_common(st, namespace), **_kafka(st), **_stores(st), **_files(directory, st)}


def _common(st: State, namespace: str) -> dict[str, str]:
    p = st.ports
    return {
        "AUDITWIRE_NAMESPACE": namespace,
        "AUDITWIRE_KAFKA_BOOTSTRAP": f"{HOST}:{p['kafka']}",
        "AUDITWIRE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "AUDITWIRE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "AUDITWIRE_SCHEMA_REGISTRY_URL": f"http://{HOST}:{p['registry']}/apis/ccompat/v7",
        "AUDITWIRE_CLICKHOUSE_URL": f"http://{HOST}:{p['clickhouse_http']}",
        "AUDITWIRE_S3_ENDPOINT": f"http://{HOST}:{p['s3']}",
        "AUDITWIRE_S3_REGION": "us-east-1",
        "AUDITWIRE_S3_BUCKET": bucket(namespace, "archive"),
        "AUDITWIRE_S3_EXTRACT_BUCKET": bucket(namespace, "extracts"),
        "AUDITWIRE_SEALING_KEY": st.secrets["sealing_key"],
        "AUDITWIRE_RETENTION_SIGNING_KEY": st.secrets["retention_signing_key"],
        "AUDITWIRE_RETENTION_PUBLIC_KEYS": public_text(SigningKey(st.secrets["retention_signing_key"]).public),
        "AUDITWIRE_REPLICATION_FACTOR": "1",
        "AUDITWIRE_MIN_INSYNC_REPLICAS": "1",
        "AUDITWIRE_EXPORT_SETTLE_SECONDS": "1",
    }


def _kafka(st: State) -> dict[str, str]:
    env: dict[str, str] = {}
    for user in state.KAFKA_USERS:
        prefix = "AUDITWIRE_KAFKA" if user == "sdk" else f"AUDITWIRE_{user.upper().replace('-', '_')}_KAFKA"
        env |= {f"{prefix}_USERNAME": user, f"{prefix}_PASSWORD": st.secrets[f"kafka_{user}"]}
    return env


def _stores(st: State) -> dict[str, str]:
    clickhouse = {
        "ADMIN": "admin",
        "CLICKHOUSE_SINK": "sink",
        "LEDGER_SINK": "ledger_sink",
        "EXPORT": "export",
        "OPERATOR": "operator",
        "REBUILD": "rebuild",
        "RETENTION": "retention",
        "RULES": "rules",
    }
    s3 = {
        "ADMIN": "admin",
        "ARCHIVE_SINK": "archive",
        **{name.upper(): name for name in ("export", "operator", "rebuild", "retention")},
    }
    postgres = {"ADMIN": "auditwire", **{role.upper(): role for role in state.PART_ROLES}}
    env: dict[str, str] = {}
    for part, user in clickhouse.items():
        env[f"AUDITWIRE_{part}_CLICKHOUSE_USER"] = user
        env[f"AUDITWIRE_{part}_CLICKHOUSE_PASSWORD"] = st.secrets[f"clickhouse_{user}"]
    for part, identity in s3.items():
        env[f"AUDITWIRE_{part}_S3_ACCESS_KEY_ID"] = identity
        env[f"AUDITWIRE_{part}_S3_SECRET_ACCESS_KEY"] = st.secrets[f"s3_{identity}"]
    for part, role in postgres.items():
        env[f"AUDITWIRE_{part}_POSTGRES_DSN"] = postgres_dsn(st, role, "auditwire")
    return env


def postgres_dsn(st: State, role: str, database: str) -> str:
    """Connection string of ``role`` for ``database``."""
    return f"postgresql://{role}:{st.secrets['postgres_' + role]}@{HOST}:{st.ports['postgres']}/{database}"


def _files(directory: Path, st: State) -> dict[str, str]:
    return {
        "AUDITWIRE_INGEST_LISTEN": f"{HOST}:{st.ports['ingest_listen']}",
        "AUDITWIRE_EXPORT_LISTEN": f"{HOST}:{st.ports['export_listen']}",
        "AUDITWIRE_INGEST_TOKENS_FILE": str(directory / "ingest-tokens.yaml"),
        "AUDITWIRE_EXPORT_PRINCIPALS_FILE": str(directory / "export-principals.yaml"),
        "AUDITWIRE_ARCHIVE_SINK_SPILL_DIR": str(directory / "spill"),
        "AUDITWIRE_PROCESSOR_DATA_DIR": str(directory / "faust"),
    }


def looker_in(st: State, env: dict[str, str]) -> dict[str, str]:
    """What `make up` writes for people who want to look around: an SDK producer, an analyst, a reader of the archive."""
    names = ["KAFKA_BOOTSTRAP", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_USERNAME", "KAFKA_PASSWORD"]
    names += ["SCHEMA_REGISTRY_URL", "CLICKHOUSE_URL", "S3_ENDPOINT", "S3_BUCKET"]
    admins = [f"http://{HOST}:{st.ports[part + '_admin']}/metrics" for part in state.PARTS]
    return {
        **{f"AUDITWIRE_{n}": env[f"AUDITWIRE_{n}"] for n in names},
        "AUDITWIRE_CLICKHOUSE_NATIVE": f"{HOST}:{st.ports['clickhouse_tcp']}",
        "AUDITWIRE_CLICKHOUSE_USER": "analyst",
        "AUDITWIRE_CLICKHOUSE_PASSWORD": st.secrets["clickhouse_analyst"],
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": st.secrets["s3_reader"],
        "AUDITWIRE_INGEST_URL": f"http://{env['AUDITWIRE_INGEST_LISTEN']}",
        "AUDITWIRE_INGEST_TOKEN": st.secrets["ingest_token"],
        "AUDITWIRE_EXPORT_URL": f"http://{env['AUDITWIRE_EXPORT_LISTEN']}",
        "AUDITWIRE_EXPORT_TOKEN": st.secrets["export_token"],
        "AUDITWIRE_METRICS_URLS": ",".join(admins),
    }


def write_token_files(directory: Path, st: State) -> None:
    """The demo tenant's tokens, hashed. Files that are there stay as they are: people add tokens of their own."""
    ingest = f"- tenant: demo\n  source: gitlab\n  token_sha256: {_sha256(st.secrets['ingest_token'])}\n"
    export = f"- name: compliance@example.com\n  token_sha256: {_sha256(st.secrets['export_token'])}\n"
    export += "  tenants: [demo]\n  rights: [read, extract]\n"
    for name, text in (("ingest-tokens.yaml", ingest), ("export-principals.yaml", export)):
        if not (directory / name).exists():
            state.private(directory / name, text)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

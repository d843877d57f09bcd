"""Settings of the client from the environment."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditwire import _modes
from auditwire._errors import ConfigurationError
from auditwire._kafka import KafkaTransport
from auditwire._modes import Mode
from auditwire._print import PrintTransport
from auditwire._spool_place import SpoolFolder
from auditwire._transport import Transport

if TYPE_CHECKING:
    from auditwire.redaction import Encoded

NAMES = (
    "AUDITWIRE_TRANSPORT",
    "AUDITWIRE_KAFKA_BOOTSTRAP",
    "AUDITWIRE_KAFKA_SECURITY_PROTOCOL",
    "AUDITWIRE_KAFKA_SASL_MECHANISM",
    "AUDITWIRE_KAFKA_USERNAME",
    "AUDITWIRE_KAFKA_PASSWORD",
    "AUDITWIRE_SCHEMA_REGISTRY_URL",
    "AUDITWIRE_NAMESPACE",
    "AUDITWIRE_TENANT",
    "AUDITWIRE_MODE",
    "AUDITWIRE_REDACT",
    "AUDITWIRE_REDACT_ENCODED",
    "AUDITWIRE_SPOOL_DIR",
    "AUDITWIRE_SPOOL_KEY",
    "AUDITWIRE_SPOOL_MAX_BYTES",
)
PREFIX = "AUDITWIRE_"
# Beginnings of the service's own names, which may stand in the same environment (`. .auditwire/env`): none of our business.
OTHERS = (
    "ADMIN_",
    "ARCHIVE_",
    "CACHE_DIR",
    "CLICKHOUSE_",
    "EXPORT_",
    "EXTRACT_",
    "INGEST_",
    "LAG_EXPORTER_",
    "LEDGER_",
    "LOG_FORMAT",
    "METRICS_",
    "MIN_INSYNC_REPLICAS",
    "OBJECT_LOCK_",
    "OPERATOR_",
    "REBUILD_",
    "PROCESSOR_",
    "REFERENCE_",
    "REPLICATION_FACTOR",
    "RETENTION_",
    "RULES_",
    "S3_",
    "SEALING_KEY",
    "STATE_DIR",
)


@dataclass(frozen=True)
class Settings:
    """Where events go: ``printed``, or to Kafka; where it and the registry are, who we are there, and what `record` promises."""

    printed: bool
    bootstrap: str
    schema_registry_url: str
    security_protocol: str
    sasl_mechanism: str
    username: str
    password: str
    namespace: str
    tenant: str
    mode: Mode | dict[str, Mode]
    spool: SpoolFolder | None
    redact: bool
    redact_encoded: Encoded

    def __repr__(self) -> str:
        return f"Settings(bootstrap={self.bootstrap!r}, username={self.username!r}, namespace={self.namespace!r})"

    def transport(self) -> Transport:
        """The transport that they name. Raises RegistryError, ConfigurationError."""
        if self.printed:
            return PrintTransport(topic=f"{self.namespace}.raw")
        return KafkaTransport(
            topic=f"{self.namespace}.raw",
            bootstrap=self.bootstrap,
            schema_registry_url=self.schema_registry_url,
            security_protocol=self.security_protocol,
            sasl_mechanism=self.sasl_mechanism,
            username=self.username,
            password=self.password,
            schema_memory=self.spool.path / "schema.json" if self.spool else None,
        )


def load(env: Mapping[str, str]) -> Settings:
    """Settings from ``AUDITWIRE_*`` variables. Raises ConfigurationError that names what is missing, misspelt or impossible."""
    _refuse_misspelt(env)
    printed = _printed(env.get("AUDITWIRE_TRANSPORT") or "kafka")
    protocol = env.get("AUDITWIRE_KAFKA_SECURITY_PROTOCOL") or "SASL_SSL"
    needed = [] if printed else ["AUDITWIRE_KAFKA_BOOTSTRAP", "AUDITWIRE_SCHEMA_REGISTRY_URL"]
    if needed and protocol.startswith("SASL"):
        needed += ["AUDITWIRE_KAFKA_USERNAME", "AUDITWIRE_KAFKA_PASSWORD"]
    missing = [name for name in needed if not env.get(name)]
    if missing:
        raise ConfigurationError(
            f"not set: {', '.join(missing)}. Set them in the environment (see the README's table), "
            "or AUDITWIRE_TRANSPORT=print to try without Kafka"
        )
    return Settings(
        printed=printed,
        bootstrap=env.get("AUDITWIRE_KAFKA_BOOTSTRAP", ""),
        schema_registry_url=env.get("AUDITWIRE_SCHEMA_REGISTRY_URL", ""),
        security_protocol=protocol,
        sasl_mechanism=env.get("AUDITWIRE_KAFKA_SASL_MECHANISM") or "SCRAM-SHA-512",
        username=env.get("AUDITWIRE_KAFKA_USERNAME", ""),
        password=env.get("AUDITWIRE_KAFKA_PASSWORD", ""),
        namespace=env.get("AUDITWIRE_NAMESPACE") or "audit",
        tenant=env.get("AUDITWIRE_TENANT", ""),
        mode=_modes.parse(env.get("AUDITWIRE_MODE") or _modes.DEFAULT),
        spool=None if printed else _spool(env),
        redact=_redact(env.get("AUDITWIRE_REDACT") or "false"),
        redact_encoded=_encoded(env.get("AUDITWIRE_REDACT_ENCODED") or "percent"),
    )


def _redact(text: str) -> bool:
    if text not in ("true", "false"):
        raise ConfigurationError("AUDITWIRE_REDACT must be true or false (the default): correct it")
    return text == "true"


def _encoded(text: str) -> Encoded:
    if text not in ("percent", "base64"):
        raise ConfigurationError("AUDITWIRE_REDACT_ENCODED must be percent (the default) or base64: correct it")
    return "base64" if text == "base64" else "percent"


def _spool(env: Mapping[str, str]) -> SpoolFolder | None:
    """What was spooled for Kafka is never printed: printing clients have no spool."""
    folder, key = env.get("AUDITWIRE_SPOOL_DIR"), env.get("AUDITWIRE_SPOOL_KEY", "")
    if not folder:
        return None
    try:
        sealed_with, most = bytes.fromhex(key), int(env.get("AUDITWIRE_SPOOL_MAX_BYTES") or SpoolFolder.max_bytes)
    except ValueError:
        raise ConfigurationError(
            "AUDITWIRE_SPOOL_KEY must be 64 hex digits (`openssl rand -hex 32`) and AUDITWIRE_SPOOL_MAX_BYTES a number"
        ) from None
    return SpoolFolder(Path(folder), sealed_with, most)


def _refuse_misspelt(env: Mapping[str, str]) -> None:
    for name in env:
        if not name.startswith(PREFIX) or name in NAMES or name.removeprefix(PREFIX).startswith(OTHERS):
            continue
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigurationError(
            f"{name} is not a setting of auditwire.{hint} Unset it or correct its name (see the README's table)"
        )


def _printed(transport: str) -> bool:
    if transport not in ("kafka", "print"):
        raise ConfigurationError("AUDITWIRE_TRANSPORT must be kafka (the default) or print: correct it")
    return transport == "print"

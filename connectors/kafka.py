"""Kafka client settings (librdkafka) that every part shares, and what their errors mean."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException

Config = dict[str, Any]
CALLBACKS = frozenset({"error_cb", "stats_cb", "throttle_cb", "oauth_cb", "on_delivery", "on_commit", "logger"})
SILENT: Config = {"log_level": 0}
LOG_SECONDS = 30.0


@dataclass(frozen=True)
class Cluster:
    """Where Kafka is and as whom to speak to it. The password hides from repr."""

    bootstrap: str
    security_protocol: str
    sasl_mechanism: str
    username: str
    password: Secret

    def config(self, **extra: Any) -> Config:
        """librdkafka settings for any client of this user; ``extra`` names use ``_`` for ``.``."""
        sasl = self.security_protocol.startswith("SASL")
        credentials = {
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password.value,
        }
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol,
            **(credentials if sasl else {}),
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "socket.keepalive.enable": True,
            "metadata.recovery.strategy": "none",  # docs/decisions/0006
            "log_level": 3,
            **{name if name in CALLBACKS else name.replace("_", "."): value for name, value in extra.items()},
        }


class Secret:
    """A string that does not show in repr, logs or tracebacks."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "Secret(…)"


def producer_config(cluster: Cluster, **extra: Any) -> Config:
    """An idempotent producer that waits for all in-sync replicas; murmur2 like every other client."""
    return cluster.config(
        **{
            "acks": "all",
            "enable_idempotence": True,
            "partitioner": "murmur2_random",
            "compression_type": "zstd",
            "linger_ms": 5,
            "metadata_recovery_strategy": "none" if "transactional_id" in extra else "rebootstrap",
            **extra,
        }
    )


def consumer_config(cluster: Cluster, group: str, **extra: Any) -> Config:
    """A consumer that reads committed transactions only, checks their bytes and never commits or resets by itself.

    Bytes that fail the check come as an error ``_BAD_MSG``, and the client goes on behind them: whoever reads must not.
    """
    base = {
        "group_id": group,
        "enable_auto_commit": False,
        "enable_auto_offset_store": False,
        "auto_offset_reset": "error",
        "isolation_level": "read_committed",
        "check_crcs": True,
        "metadata_recovery_strategy": "rebootstrap",
    }
    return cluster.config(**{**base, **extra})


class ErrorWatch:
    """Collects what librdkafka says in the background, to tell wrong credentials from a broker that does not answer.

    Pass ``watch`` as ``error_cb``; ``explain()`` gives a sentence with what to do, or None while nothing was said. ``logger``
    gets that sentence, at most twice a minute; pass ``SILENT`` to the client then, it writes forty lines a second itself.
    """

    def __init__(
        self,
        bootstrap: str,
        username: str,
        on_error: Callable[[KafkaError], None] | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self._bootstrap, self._username, self._on_error = bootstrap, username, on_error
        self._logger, self._logged = logger, -LOG_SECONDS
        self._lock = threading.Lock()
        self._last: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        with self._lock:
            if self._last is None or self._last.code() != KafkaError._AUTHENTICATION:
                self._last = error
        if self._logger is not None and time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            self._logger.warning("%s", self.explain())
        if self._on_error is not None:
            self._on_error(error)

    @property
    def refused(self) -> bool:
        """The password was refused: waiting does not help."""
        with self._lock:
            return self._last is not None and self._last.code() == KafkaError._AUTHENTICATION

    def explain(self) -> str | None:
        with self._lock:
            last = self._last
        if last is None:
            return None
        if last.code() == KafkaError._AUTHENTICATION:
            return (
                f"Kafka {self._bootstrap} refused the password of user {self._username}: correct the part's KAFKA_USERNAME and "
                "KAFKA_PASSWORD settings (docs/configuration.md)"
            )
        return f"Kafka {self._bootstrap} does not answer ({last.name()}): is it up, is AUDITWIRE_KAFKA_BOOTSTRAP right?"


_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional-id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}


def denied(error: KafkaError | None, user: str, operation: str, name: str) -> str | None:
    """What to run where Kafka refused for want of a right (an ACL); None for every other error. ``name``: topic, group or id."""
    kind = _RIGHTS.get(error.code()) if error is not None else None
    if kind is None:
        return None
    resource = "cluster" if kind == "cluster" else f"{kind} {name}"
    return (
        f"Kafka user {user} lacks the right {operation} on {resource}: run `auditwired migrate`, which grants what "
        f"schemas/topics.yaml says, or `kafka-acls.sh --add --allow-principal User:{user} --operation {operation} --{resource}`"
    )


def error_of(exc: BaseException) -> KafkaError | None:
    """The KafkaError inside an exception of the client, else None."""
    if isinstance(exc, KafkaException) and exc.args and isinstance(exc.args[0], KafkaError):
        return exc.args[0]
    return None


def cluster_of(values: Mapping[str, Any]) -> Cluster:
    """From the Kafka fields of a part's settings (``model_dump()`` of it; the password a pydantic SecretStr)."""
    return Cluster(
        values["kafka_bootstrap"],
        values["kafka_security_protocol"],
        values["kafka_sasl_mechanism"],
        values["kafka_username"],
        Secret(values["kafka_password"].get_secret_value()),
    )

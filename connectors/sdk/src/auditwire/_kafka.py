"""The transport to Kafka: an idempotent librdkafka producer whose every delivery report is heard."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from auditwire._errors import ClosedError, ConfigurationError, DeliveryError
from auditwire._event import SCHEMA
from auditwire._receipt import Position
from auditwire._registry import remembered_id
from auditwire._registry import schema_id as ask_registry
from auditwire._transport import Full, Report

log = logging.getLogger("auditwire")
# What receipts and gap-free numbers rest on; not to be overruled.
_PROMISED: dict[str, Any] = {"acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random"}
_DEFAULTS: dict[str, Any] = {
    "compression.type": "lz4",
    "socket.keepalive.enable": True,
    "log_level": 2,  # what matters comes as an error or a report, in plain words; 3 adds a line to every failed connection
}


class KafkaTransport:
    """Sends to one topic with acks=all, idempotence and lz4, in the order of the calls.

    ``bootstrap``: host:port, comma separated. ``schema_registry_url``: asked once, here. ``delivery_timeout``: seconds after
    which an event that Kafka did not confirm fails. ``queue_events`` and ``queue_bytes`` bound what waits in memory.
    ``linger``: seconds to wait for a fuller request. ``options``: librdkafka settings on top, such as ssl.ca.location.
    ``schema_memory``: a file that keeps the schema's id for a start at which the registry does not answer.
    Raises RegistryError, ConfigurationError, and with ``schema_memory`` SpoolError.
    """

    def __init__(
        self,
        *,
        topic: str,
        bootstrap: str,
        schema_registry_url: str,
        security_protocol: str = "SASL_SSL",
        sasl_mechanism: str = "SCRAM-SHA-512",
        username: str = "",
        password: str = "",
        delivery_timeout: float = 120.0,
        connect_timeout: float = 30.0,
        linger: float = 0.005,
        queue_events: int = 100_000,
        queue_bytes: int = 64 << 20,
        options: dict[str, Any] | None = None,
        schema_memory: Path | None = None,
    ) -> None:
        self.topic = topic
        self._user = username
        self._bootstrap = bootstrap
        self._schema_id = (
            remembered_id(schema_registry_url, topic, SCHEMA, connect_timeout, schema_memory)
            if schema_memory
            else ask_registry(schema_registry_url, topic, SCHEMA, connect_timeout)
        )
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "security.protocol": security_protocol,
            "linger.ms": linger * 1000,
            "message.timeout.ms": int(delivery_timeout * 1000),
            "queue.buffering.max.messages": queue_events,
            "queue.buffering.max.kbytes": max(1, queue_bytes >> 10),
            **_DEFAULTS,
            **_PROMISED,
        }
        if security_protocol.startswith("SASL"):
            self._config |= {"sasl.mechanism": sasl_mechanism, "sasl.username": username, "sasl.password": password}
        self._config |= _checked(options or {})
        self._lock = threading.Lock()
        self._problem = ""
        self._refused = False
        self._closed = False
        self._running: _Running | None = _Running(self._config, self._heard)

    @property
    def schema_id(self) -> int:
        """Registry id of the event schema."""
        return self._schema_id

    @property
    def problem(self) -> str:
        """What the brokers' last error means; empty once an event came through."""
        return self._problem

    def send(self, key: bytes, value: bytes, report: Report) -> None:
        """See Transport. Raises Full, DeliveryError (not taken, and why), ClosedError."""
        running = self._running or self._start()
        try:
            running.producer.produce(self.topic, value, key, on_delivery=lambda err, msg: self._report(report, err, msg))
        except BufferError:
            raise Full from None
        except KafkaException as error:
            raise DeliveryError(self._refused_by(error)) from None

    def flush(self, timeout: float) -> int:
        """See Transport."""
        running = self._running
        if running is None or running.producer.flush(timeout) == 0:
            return 0
        running.producer.poll(0)  # errors that wait to be told count as if they were messages
        return len(running.producer)

    def close(self) -> None:
        """See Transport. What is in the queue or under way is given up: flush before."""
        with self._lock:
            running, self._running, self._closed = self._running, None, True
        if running:
            running.stop()

    def after_fork(self) -> None:
        """See Transport. The parent's producer is never freed here: freeing waits for threads that a child does not have."""
        if self._running:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._running.producer))
        self._lock = threading.Lock()
        self._running = None
        self._problem = ""

    def _start(self) -> _Running:
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed: make a new one")
            if self._running is None:
                self._running = _Running(self._config, self._heard)
            return self._running

    def _report(self, report: Report, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._problem, self._refused = "", False
            report(Position(message.topic(), message.partition(), message.offset()))
        else:
            report(DeliveryError(self._explained(error)))

    def _heard(self, error: KafkaError) -> None:
        """librdkafka's errors: credentials are told apart from brokers that do not answer."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._refused:
            return  # it follows every refusal, and says less
        self._refused = error.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED)
        before, self._problem = self._problem, self._meaning(error)
        if self._problem != before:
            log.warning("%s", self._problem)

    def _meaning(self, error: KafkaError) -> str:
        if self._refused:
            return (
                f"Kafka refused the credentials of user {self._user!r} ({error.str()}): "
                "check AUDITWIRE_KAFKA_USERNAME, _PASSWORD and _SASL_MECHANISM"
            )
        if error.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return self._may_not_write()
        if error.code() == KafkaError._SSL:
            return f"no TLS connection to Kafka ({error.str()}): check AUDITWIRE_KAFKA_SECURITY_PROTOCOL and ssl.ca.location"
        return (
            f"no broker of {self._bootstrap} answers ({error.str()}): "
            "check AUDITWIRE_KAFKA_BOOTSTRAP, AUDITWIRE_KAFKA_SECURITY_PROTOCOL and the network"
        )

    def _refused_by(self, error: KafkaException) -> str:
        failed = error.args and isinstance(error.args[0], KafkaError) and error.args[0].code() == KafkaError._FATAL
        return f"{self._problem}; then close this client and make a new one" if failed and self._problem else _refusal(error)

    def _may_not_write(self) -> str:
        return (
            f"Kafka user {self._user!r} may not write topic {self.topic}: use credentials of the SDK's kind, or have the "
            f"platform team run `kafka-acls.sh --add --allow-principal User:{self._user} --producer --topic {self.topic}`"
        )

    def _explained(self, error: KafkaError) -> str:
        code = error.code()
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return self._may_not_write()
        if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
            return f"topic {self.topic} does not exist: run `auditwired migrate`; check AUDITWIRE_NAMESPACE"
        if code in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            return "the client was closed before Kafka confirmed the event, so it may or may not be stored: flush before closing"
        if code == KafkaError._MSG_TIMED_OUT:
            return f"Kafka did not confirm the event in time: {self._problem or error.str()}"
        return f"Kafka did not store the event: {error.str()}"


class _Running:
    """A producer and the thread that hears its reports."""

    def __init__(self, config: dict[str, Any], heard: Callable[[KafkaError], None]) -> None:
        try:
            self.producer = Producer({**config, "error_cb": heard, "logger": logging.getLogger("auditwire.kafka")})
        except KafkaException as error:
            raise ConfigurationError(f"Kafka's client refuses its settings ({error.args[0].str()}): correct them") from None
        self._heard = heard
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="auditwire-reports", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                self.producer.poll(0.1)
            except KafkaException as error:  # how the client tells that it has failed for good
                self._heard(error.args[0])
                self._stopping.wait(0.1)
            except Exception:
                log.exception("a delivery callback failed")

    def stop(self) -> None:
        self.producer.purge()
        self.producer.flush(5)
        self._stopping.set()
        self._thread.join(5)


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    refused = sorted(options.keys() & _PROMISED.keys())
    if refused:
        raise ConfigurationError(f"options may not set {', '.join(refused)}: receipts and gap-free numbers rest on it")
    return options


def _refusal(error: KafkaException) -> str:
    cause = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None
    if cause is not None and cause.fatal():
        return f"Kafka's client has failed for good ({cause.str()}): close this client and make a new one"
    return f"Kafka's client does not take the event ({cause.str() if cause else error}): check the transport's options"

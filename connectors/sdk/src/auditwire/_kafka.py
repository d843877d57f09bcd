"""The transport to Kafka: an idempotent librdkafka producer whose every delivery report is heard."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
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
_FAILED = "Kafka's client failed for good; a new one is made for what comes next"
_LONGEST_PAUSE = 30.0  # seconds between new ones while each of them fails
# What receipts and gap-free numbers rest on; not to be overruled.
_PROMISED: dict[str, Any] = {"acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random"}
_DEFAULTS: dict[str, Any] = {
    "compression.type": "lz4",
    "socket.keepalive.enable": True,
    "log_level": 2,  # what matters comes as an error or a report, in plain words; 3 adds a line to every failed connection
}


class KafkaTransport:
    """Sends to one topic with acks=all, idempotence and lz4, in the order of the calls.

    Where librdkafka fails for good, what it had not confirmed fails, and the next send gets a new one.
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
        self._failures, self._again = 0, 0.0  # producers that failed since an event came through; when the next may be made
        self._ending: list[_Running] = []
        self._running: _Running | None = _Running(self._config, self._heard, self._give_up)

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
            running.producer.produce(self.topic, value, key, on_delivery=lambda e, msg: self._report(running, report, e, msg))
        except BufferError:
            raise Full from None
        except KafkaException as error:
            if not _fatal(error):
                raise DeliveryError(_refusal(error)) from None
            self._give_up(running)
            self.send(key, value, report)  # ends: a new one is made at ever longer intervals

    def reach(self, timeout: float) -> None:
        """Return once a broker has told where the topic is, within ``timeout`` seconds. Raises DeliveryError, ClosedError."""
        try:
            found = (self._running or self._start()).producer.list_topics(self.topic, timeout).topics[self.topic].error
        except KafkaException as error:
            raise DeliveryError(self._problem or self._meaning(error.args[0])) from None
        if found is not None:
            raise DeliveryError(self._explained(found))

    def flush(self, timeout: float) -> int:
        """See Transport."""
        until = time.monotonic() + timeout
        running = self._running
        try:
            if running and running.producer.flush(timeout):
                running.producer.poll(0)  # errors that wait to be told count as if they were messages
        except KafkaException as error:
            self._heard(error.args[0])
            if _fatal(error) and running:
                self._give_up(running)
        with self._lock:
            ending = self._ending = _open_still(self._ending)
        for one in ending:
            one.ended.wait(max(0.0, until - time.monotonic()))
        open_ones = {*ending, running} if running else {*ending}
        return sum(len(one.producer) for one in open_ones)

    def close(self) -> None:
        """See Transport. What is in the queue or under way is given up: flush before."""
        with self._lock:
            running, self._running, self._closed = self._running, None, True
            ending, self._ending = self._ending, []
        if running:
            running.stop()
        for one in ending:
            one.ended.wait(5)

    def after_fork(self) -> None:
        """See Transport. The parent's producer is never freed here: freeing waits for threads that a child does not have."""
        for one in [*self._ending, *([self._running] if self._running else [])]:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one.producer))
        self._lock = threading.Lock()
        self._running, self._ending, self._failures, self._problem = None, [], 0, ""

    def _start(self) -> _Running:
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed: make a new one")
            if self._running is None:
                if self._failures and time.monotonic() < self._again:
                    raise DeliveryError(self._problem or _FAILED)
                try:
                    self._running = _Running(self._config, self._heard, self._give_up)
                except ConfigurationError as error:
                    raise DeliveryError(str(error)) from None
            return self._running

    def _give_up(self, running: _Running) -> None:
        """It failed for good: its own thread reports what is open as failed; the next send gets a new one, soon."""
        with self._lock:
            if self._running is running:
                self._running = None
                self._failures += 1
                self._again = time.monotonic() + (0 if self._failures == 1 else min(2.0 ** (self._failures - 2), _LONGEST_PAUSE))
                self._ending = [*_open_still(self._ending), running]
        running.failed = True
        running.stopping.set()

    def _report(self, running: _Running, report: Report, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._problem, self._refused, self._failures = "", False, 0
            report(Position(message.topic(), message.partition(), message.offset()))
        elif running.failed and error.code() in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL):
            report(
                DeliveryError(f"{self._problem or _FAILED}. The event was not confirmed before, so it may or may not be stored")
            )
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
        if error.fatal() or error.code() == KafkaError._FATAL:
            return f"{_FAILED} ({error.str()}): if it happens again, look for this error in the brokers' log"
        return (
            f"no broker of {self._bootstrap} answers ({error.str()}): "
            "check AUDITWIRE_KAFKA_BOOTSTRAP, AUDITWIRE_KAFKA_SECURITY_PROTOCOL and the network"
        )

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


def _open_still(ending: list[_Running]) -> list[_Running]:
    """Without those that have ended, whose threads go with them."""
    return [one for one in ending if not one.ended.is_set()]


class _Running:
    """A producer and the thread that hears its reports."""

    def __init__(
        self, config: dict[str, Any], heard: Callable[[KafkaError], None], failed_for_good: Callable[[_Running], None]
    ) -> None:
        try:
            self.producer = Producer({**config, "error_cb": heard, "logger": logging.getLogger("auditwire.kafka")})
        except KafkaException as error:
            raise ConfigurationError(f"Kafka's client refuses its settings ({error.args[0].str()}): correct them") from None
        self._heard, self._failed_for_good = heard, failed_for_good
        self.failed = False
        self.stopping, self.ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._listen, name="auditwire-reports", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self.stopping.is_set():
            self._hear(lambda: self.producer.poll(0.1))
        if self.failed:
            self._empty()
        self.ended.set()

    def _hear(self, poll: Callable[[], int]) -> int:
        try:
            return poll()
        except KafkaException as error:  # how the client tells that it has failed for good
            self._heard(error.args[0])
            if _fatal(error) and not self.failed:
                self._failed_for_good(self)
        except Exception:
            log.exception("a delivery callback failed")
        return len(self.producer)

    def _empty(self) -> None:
        """Report everything that is open as failed."""
        until = time.monotonic() + 5
        self.producer.purge()
        while self._hear(lambda: self.producer.flush(0.5)) and time.monotonic() < until:
            pass

    def stop(self) -> None:
        self._empty()
        self.stopping.set()
        self._thread.join(5)


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    refused = sorted(options.keys() & _PROMISED.keys())
    if refused:
        raise ConfigurationError(f"options may not set {', '.join(refused)}: receipts and gap-free numbers rest on it")
    return options


def _fatal(error: KafkaException) -> bool:
    cause = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None
    return cause is not None and (cause.fatal() or cause.code() == KafkaError._FATAL)


def _refusal(error: KafkaException) -> str:
    cause = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None
    return f"Kafka's client does not take the event ({cause.str() if cause else error}): check the transport's options"

"""The writing side of a series' topic: a revision, the pointer to it and its audit event in one Kafka transaction.

All publishers of a series in a namespace share one transactional id, so one that was overtaken while it stood still writes
nothing more, and the pointer never goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

import schemas
from connectors.avro import RecordCodec, frame
from connectors.kafka import SILENT, Cluster, ErrorWatch, denied, error_of, producer_config
from connectors.kafka_lanes import Point, again, fenced, nothing
from connectors.kafka_partitions import TopicError, topic_id_of
from connectors.kafka_read import PartitionReader, ReadError
from connectors.postgres.reference import Revision
from connectors.reference_topic import PARTITION, POINTER, REVISION, Assembly, Decoder, ReferenceTopicError
from connectors.registry import RegistryError, SchemaRegistry
from connectors.series import Series

MAX_MESSAGE_BYTES = 8_388_608  # as max.message.bytes of the topic
KEPT = 20  # revisions whose documents stay in Kafka; PostgreSQL has all
Event = tuple[bytes, bytes]  # key and Avro body without frame


class PublishError(Exception):
    """Kafka or the registry refused or did not answer: drop the writer, wait, open another. ``fenced``: another one took over."""

    def __init__(self, text: str, *, fenced: bool = False) -> None:
        super().__init__(text)
        self.fenced = fenced


class ReferenceWriter:
    """Makes this process the one that writes, then reads what the topic holds: ``position``, ``digests``.

    Raises PublishError. ``transactional=False`` (anybody writes at any time, record by record) and ``points`` (called with
    each step just taken) are for tests of faults only.
    """

    def __init__(
        self,
        cluster: Cluster,
        registry_url: str,
        namespace: str,
        series: Series,
        *,
        transactional: bool = True,
        points: Point = nothing,
    ) -> None:
        self._cluster, self._namespace, self._series, self._points = cluster, namespace, series, points
        self._transactional, self._topic = transactional, series.topic(namespace)
        self._id = series.transactional_id(namespace)
        self._watch = ErrorWatch(cluster.bootstrap, cluster.username)
        self.position, self.digests = 0, dict[int, str]()
        self._producer = Producer(self._config())
        try:
            self._codec, self._event_frame = self._schemas(registry_url)
            if transactional:
                again(self._producer.init_transactions, 30)
            self._topic_id = topic_id_of(cluster, self._topic)
            self._look(registry_url)
        except (KafkaException, RegistryError, ReadError, ReferenceTopicError, TopicError) as exc:
            failed = self._failed("cannot begin", exc)
            self.close()
            raise failed from exc

    def publish(self, revision: Revision, event: Event | None) -> None:
        """Return means that every in-sync replica has all of it. Raises PublishError: then all of it or nothing is there."""
        try:
            if self._transactional:
                self._producer.begin_transaction()
            self._points("begun")
            self._write(revision, event)
            if self._transactional:
                again(self._producer.commit_transaction, 60)
            self._points("committed")
        except (KafkaException, BufferError) as exc:
            raise self._failed(f"revision {revision.revision} is not confirmed", exc) from exc
        self.position, self.digests[revision.revision] = revision.revision, revision.sha256

    def confirm(self) -> None:
        """That the topic is the one that was read at the start. Raises PublishError: what it held is gone, or nobody knows."""
        try:
            now = topic_id_of(self._cluster, self._topic)
        except TopicError as exc:
            raise PublishError(str(exc)) from exc
        if now != self._topic_id:
            raise PublishError(f"{self._topic}: the topic was made anew, beginning again")

    def close(self) -> None:
        """Drop the producer with whatever it still holds; never raises."""
        with suppress(KafkaException):
            self._producer.purge()
        with suppress(KafkaException, SystemError):  # a fenced one raises either; freeing it ends its threads
            self._producer.close()

    def _config(self) -> dict[str, Any]:
        own: dict[str, Any] = {"message_max_bytes": MAX_MESSAGE_BYTES, "linger_ms": 0}
        if self._transactional:
            own |= {"transactional_id": self._id, "transaction_timeout_ms": 30_000}
        return {**producer_config(self._cluster, error_cb=self._watch, **own), **SILENT}

    def _schemas(self, registry_url: str) -> tuple[RecordCodec, bytes]:
        registry = SchemaRegistry(registry_url)
        try:
            mine = registry.id_of(f"{self._topic}-value", schemas.schema_text("reference_record"))
            event = registry.id_of(f"{self._namespace}.raw-value", schemas.schema_text("audit_event"))
        finally:
            registry.close()
        return RecordCodec("reference_record", mine), frame(event)

    def _look(self, registry_url: str) -> None:
        """After `init_transactions` only: no earlier writer can add to what is read here."""
        decoder, assembly = Decoder(registry_url, self._series), Assembly(self._series)
        try:
            with PartitionReader(self._cluster, f"{self._namespace}-reference-publisher") as reader:
                low, high = reader.watermarks(self._topic, PARTITION)
                for record in reader.read(self._topic, PARTITION, low, high):
                    held = None if record.value is None else decoder.decode(record.value)
                    if assembly.take(record.key, held) and held is not None:
                        self.position = int(held.revision)
                        self.digests[self.position] = held.sha256
        finally:
            decoder.close()

    def _write(self, revision: Revision, event: Event | None) -> None:
        number, old = str(revision.revision), revision.revision - KEPT
        about = {
            "revision": number,
            "sha256": revision.sha256,
            "applied_at": revision.applied_at,
            "applied_by": revision.applied_by,
            "reason": revision.reason,
        }
        document = self._codec.encode({**about, "document": revision.document})
        self._send([(self._topic, REVISION + number.encode(), document)])
        if old > 0:
            self._send([(self._topic, REVISION + str(old).encode(), None)])
        if event is not None:
            self._send([(f"{self._namespace}.raw", event[0], self._event_frame + event[1])])
        self._points("produced")
        self._send([(self._topic, POINTER, self._codec.encode({**about, "document": ""}))])
        self._points("pointed")

    def _send(self, records: Sequence[tuple[str, bytes, bytes | None]]) -> None:
        """No delivery reports: a record that fails fails the commit, and a report after a fatal error breaks the client."""
        for topic, key, value in records:
            self._producer.produce(topic, value, key)
        if self._producer.flush(30):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def _failed(self, what: str, exc: Exception) -> PublishError:
        with suppress(KafkaException):
            self._producer.poll(0)  # hands the errors of the background to the watch
        error = error_of(exc)
        of_id = error is not None and error.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        said = denied(error, self._cluster.username, "Write", self._id if of_id else self._topic)
        said = said or (self._watch.explain() if isinstance(exc, KafkaException) else None)
        return PublishError(f"{self._topic}: {what}: {said or exc}", fenced=fenced(exc))

"""The reading side of a series' topic: a thread that always knows the newest whole revision.

The topic is compacted: one record a revision (key ``revision/<number>``) and a pointer (key ``current``). A revision holds only
once the pointer names it and its text has the digest that the pointer says, so a reader never sees half of one.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

import schemas
from connectors.avro import schema_id_of
from connectors.kafka import SILENT, Cluster, ErrorWatch, consumer_config
from connectors.registry import RegistryError, SchemaRegistry
from connectors.series import Series

log = logging.getLogger(__name__)
POINTER = b"current"
REVISION = b"revision/"
RETRY_SECONDS = 1.0
ASK_SECONDS = 5.0
PARTITION = 0


class ReferenceTopicError(Exception):
    """The series could not be read in time; the text says why and what to do. Try again, or wait longer."""


@dataclass(frozen=True, slots=True)
class Held:
    """One record of the topic. ``applied_at`` is UTC; a pointer has no document."""

    revision: str
    sha256: str
    document: str
    applied_at: datetime
    applied_by: str
    reason: str


def digest(document: str) -> str:
    """SHA-256 of a document, 64 hex digits."""
    return hashlib.sha256(document.encode()).hexdigest()


class Decoder:
    """Framed values of the topic, whatever release wrote them, by the writer's schema from the registry."""

    def __init__(self, registry_url: str, series: Series) -> None:
        self._registry, self._series = SchemaRegistry(registry_url), series
        self._mine = fastavro.parse_schema(json.loads(schemas.schema_text("reference_record")))
        self._writers: dict[int, Any] = {}

    def decode(self, value: bytes) -> Held:
        """Raises ReferenceTopicError where the bytes are no such record, RegistryError where the registry does not answer."""
        schema_id = schema_id_of(value)
        if schema_id is None:
            only = "only the part reference-publisher may write"
            raise ReferenceTopicError(f"a record of the {self._series.name} topic has no schema id: {only}")
        if schema_id not in self._writers:
            self._writers[schema_id] = fastavro.parse_schema(json.loads(self._registry.schema_of(schema_id)))
        try:
            found: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), self._writers[schema_id], self._mine)
            return Held(**found)
        except Exception as exc:  # fastavro raises what it meets
            said = f"does not decode ({type(exc).__name__})"
            raise ReferenceTopicError(f"a record of the {self._series.name} topic {said}") from None

    def close(self) -> None:
        """Let go of the registry's connections."""
        self._registry.close()


class Assembly:
    """Records in the topic's order → the newest whole revision. Pure; of documents it keeps those since the last pointer."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._documents: dict[str, str] = {}
        self._pointer: Held | None = None

    def take(self, key: bytes | None, held: Held | None) -> bool:
        """One record (``held`` None: its deletion); True where it moved the pointer."""
        if key is not None and key.startswith(REVISION):
            if held is None:
                self._documents.pop(key.removeprefix(REVISION).decode(errors="replace"), None)
            else:
                self._documents[held.revision] = held.document
        elif key == POINTER and held is not None:
            self._pointer = held
            self._documents = {r: d for r, d in self._documents.items() if r == held.revision}
            return True
        return False

    def whole(self) -> tuple[str, str]:
        """(revision, document), both empty before the first pointer. Raises ReferenceTopicError where it is missing."""
        if self._pointer is None:
            return "", ""
        name, document = self._pointer.revision, self._documents.get(self._pointer.revision)
        if document is None or digest(document) != self._pointer.sha256:
            what = "does not hold it" if document is None else "holds another text under it"
            anew = f"{self._series.apply} {self._series.title} anew"
            raise ReferenceTopicError(f"the {self._series.name} topic names revision {name} and {what}: {anew}")
        return name, document


class ReferenceTopic:
    """Reads a series' topic in a thread, outside any group. ``start()``, ``wait_loaded()``, then ``current()`` at will.

    ``group`` is never joined: it names a group that the user may look at. When Kafka or the registry goes away the last whole
    revision stays, and reading goes on by itself when they are back.
    """

    def __init__(self, cluster: Cluster, registry_url: str, namespace: str, series: Series, group: str) -> None:
        self._topic, self._series, self._cluster, self._group = series.topic(namespace), series, cluster, group
        self._decoder = Decoder(registry_url, series)
        self._current = ("", "")
        self._trouble: str | None = "nothing has been read yet"
        self._heard = time.monotonic()
        self._loaded, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=series.name, daemon=True)

    def start(self) -> ReferenceTopic:
        """Begin to read; returns at once."""
        self._thread.start()
        return self

    def wait_loaded(self, seconds: float = 60.0) -> None:
        """Return once everything that the topic held at the start was read. Raises ReferenceTopicError after so many seconds."""
        if not self._loaded.wait(seconds):
            raise ReferenceTopicError(f"{self._series.title} could not be read within {seconds:g} s: {self._trouble}")

    def current(self) -> tuple[str, str]:
        """(revision, canonical document) of the newest whole revision; both empty where none was published. Never blocks."""
        return self._current

    def problem(self) -> str | None:
        """None while reading works, else one sentence; the last whole revision is still in use then."""
        return self._trouble

    def age(self) -> float:
        """Seconds since what is in use was known to be what the topic says, at most a few while all is well; before the first
        load, since the start.
        """
        return time.monotonic() - self._heard

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._decoder.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            watch = ErrorWatch(self._cluster.bootstrap, self._cluster.username)
            try:
                self._session(watch)
            except Exception as exc:  # whatever it is: without this thread a processor would wait, or grow stale, for ever
                text = self._said(exc, watch)
                if text != self._trouble:
                    log.warning("%s", text)
                self._trouble = text
                self._stop.wait(RETRY_SECONDS)

    def _said(self, exc: Exception, watch: ErrorWatch) -> str:
        if isinstance(exc, ReferenceTopicError | RegistryError):
            return str(exc)
        if isinstance(exc, KafkaException):
            return watch.explain() or f"{self._topic}: {exc}"
        return f"{self._topic}: reading failed with {type(exc).__name__}: report it as a bug"

    def _session(self, watch: ErrorWatch) -> None:
        """From the topic's beginning on: old pointers in it hold nothing back, as only what stands at its end is given out."""
        config = consumer_config(self._cluster, self._group, enable_partition_eof=True, error_cb=watch)
        consumer = Consumer({**config, **SILENT})
        try:
            end = self._end(consumer)
            consumer.assign([TopicPartition(self._topic, PARTITION, 0)])
            assembly, loaded = Assembly(self._series), False
            while not self._stop.is_set():
                message = consumer.poll(0.5)
                if message is None:
                    self._ask(consumer)
                    continue
                moved = self._take(assembly, message)
                self._hear()
                position = message.offset() + (0 if message.error() else 1)
                if (loaded and moved) or (not loaded and position >= end):
                    self._give(assembly, first=not loaded)
                    loaded = True
        finally:
            consumer.close()

    def _ask(self, consumer: Consumer) -> None:
        """A topic on which nothing happens and one that cannot be reached look alike to a poll."""
        if self.age() > ASK_SECONDS:
            consumer.get_watermark_offsets(TopicPartition(self._topic, PARTITION), timeout=ASK_SECONDS)
            self._hear()

    def _hear(self) -> None:
        """Reading the topic anew and in vain is no news of it."""
        if self._trouble is None:
            self._heard = time.monotonic()

    def _end(self, consumer: Consumer) -> int:
        found = consumer.list_topics(self._topic, timeout=10).topics[self._topic]
        if found.error is not None:
            raise ReferenceTopicError(f"topic {self._topic} cannot be read ({found.error.name()}): run `auditwired migrate`")
        return int(consumer.get_watermark_offsets(TopicPartition(self._topic, PARTITION), timeout=10)[1])

    def _take(self, assembly: Assembly, message: Message) -> bool:
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return False
            raise KafkaException(error)
        value = message.value()
        return assembly.take(message.key(), None if value is None else self._decoder.decode(value))

    def _give(self, assembly: Assembly, *, first: bool) -> None:
        before, found = self._current, assembly.whole()
        if before[0] and not found[0]:
            raise ReferenceTopicError(
                f"topic {self._topic} was made anew and holds nothing: revision {before[0]} stays in use until the part "
                "reference-publisher has published again"
            )
        self._current, self._trouble = found, None
        self._hear()
        if first:
            self._loaded.set()
        if before[0] != self._current[0]:
            log.info("%s: revision %s", self._series.title, self._current[0])

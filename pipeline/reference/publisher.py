"""The publisher of reference data and rules: revisions from PostgreSQL's outboxes to Kafka, each once and in order.

Each series is published by itself: where one cannot go on, the other does. One of several instances works on a series at a time,
by a lock of PostgreSQL; the others stand by. Should the lock be lost unnoticed, Kafka refuses the one that was overtaken. What
was on the way at a crash is looked up in Kafka first: nothing is written twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from auditwire import AuditEvent, encode, within_limits
from connectors.kafka import cluster_of
from connectors.postgres import PostgresError
from connectors.postgres.reference import Outbox, Revision
from connectors.reference_publish import Event, PublishError, ReferenceWriter
from connectors.series import SERIES, Series
from pipeline import admin, metrics, settings

log = logging.getLogger(__name__)
PART = "reference-publisher"
OWN_TENANT = "auditwire"
POLL_SECONDS, STANDBY_SECONDS, RETRY_SECONDS = 15.0, 2.0, 1.0
SLICE_SECONDS = 0.5  # how long a stop may take


class Contradiction(Exception):  # noqa: N818
    """PostgreSQL and Kafka do not belong together; the text says what a person must decide."""


@dataclass(frozen=True)
class Safety:
    """The mechanisms that make it exactly once. Tests switch one off to see the harm it prevents; nothing else may."""

    transactional: bool = True
    look_first: bool = True


class Publisher:
    """One series: ``run()`` until ``stop()``. ``points`` is called with each step just taken: for tests of crashes only."""

    def __init__(
        self,
        values: settings.ReferencePublisher,
        series: Series,
        safety: Safety | None = None,
        points: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._values, self._series, self._safety, self._points = values, series, safety or Safety(), points
        self._dsn = values.postgres_dsn.get_secret_value()
        self._stop = threading.Event()
        self._trouble: str | None = "it is starting"

    def healthy(self) -> str | None:
        """None while it publishes or stands by, else what is wrong in one sentence."""
        return self._trouble

    def stop(self) -> None:
        """End soon; from any thread or a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Returns after ``stop()``. Every error of a server ends in a new beginning, which trusts only what the servers hold."""
        while not self._stop.is_set():
            try:
                with Outbox(self._dsn, self._values.namespace, self._series) as outbox:
                    if self._leads(outbox):
                        self._work(outbox)
            except (PostgresError, PublishError, Contradiction) as exc:
                if isinstance(exc, PublishError) and exc.fenced:
                    metrics.REFERENCE_FENCED.labels(self._series.name).inc()
                self._wait(str(exc))
            except Exception as exc:  # whatever it is: without this thread the series would stand still unseen
                self._wait(f"publishing failed with {type(exc).__name__}: report it as a bug", exc)

    def _wait(self, trouble: str, bug: Exception | None = None) -> None:
        if trouble != self._trouble:
            log.warning("%s: %s", self._series.name, trouble, exc_info=bug)
        self._trouble = trouble
        self._stop.wait(RETRY_SECONDS)

    def _leads(self, outbox: Outbox) -> bool:
        """True once this instance is the one that works, False when it shall stop."""
        while not self._stop.is_set():
            if outbox.lead():
                return True
            self._trouble = None
            self._measure(outbox)
            self._stop.wait(STANDBY_SECONDS)
        return False

    def _work(self, outbox: Outbox) -> None:
        values = self._values
        self._measure(outbox)  # what waits shows also while Kafka cannot be reached
        writer = ReferenceWriter(
            cluster_of(dict(values)),
            values.schema_registry_url,
            values.namespace,
            self._series,
            transactional=self._safety.transactional,
            points=self._points,
        )
        try:
            self._reconcile(outbox, writer)
            while not self._stop.is_set():
                self._drain(outbox, writer)
                self._trouble = None
                self._measure(outbox)
                if not self._rest(outbox):
                    writer.confirm()
        finally:
            writer.close()

    def _drain(self, outbox: Outbox, writer: ReferenceWriter) -> None:
        """Everything that waits, oldest first; marked only when Kafka has it."""
        while not self._stop.is_set() and (revision := outbox.waiting()) is not None:
            self._points("read")
            if revision.revision > writer.position or not self._safety.look_first:
                writer.publish(revision, audit_event(revision, self._values.namespace, self._series))
                metrics.REFERENCE_PUBLISHED.labels(self._series.name).inc()
                log.info("revision %d of %s is published", revision.revision, self._series.title)
            outbox.published(revision.revision)
            self._points("marked")
        metrics.REFERENCE_REVISION.labels(self._series.name).set(writer.position)

    def _reconcile(self, outbox: Outbox, writer: ReferenceWriter) -> None:
        """Refuse where Kafka knows other revisions than PostgreSQL; give Kafka anew what it has lost."""
        topic, newest = self._series.topic(self._values.namespace), outbox.newest()
        for number, digest in writer.digests.items():
            stored = outbox.get(number)
            if stored is None or stored.sha256 != digest:
                has = "does not have" if stored is None else "has otherwise"
                raise Contradiction(
                    f"topic {topic} holds a revision {number} that PostgreSQL {has}: was PostgreSQL restored from an older "
                    "backup? Restore the newer one; or, if it is lost, delete the topic and run `auditwired migrate`: the newest "
                    "revision is then published again."
                )
        waiting = outbox.waiting()
        if newest is not None and waiting is None and writer.position < newest.revision:
            log.warning("topic %s lacks revision %d, which was published before: publishing it again", topic, newest.revision)
            writer.publish(newest, None)

    def _measure(self, outbox: Outbox) -> None:
        count, age = outbox.backlog()
        metrics.REFERENCE_WAITING.labels(self._series.name).set(count)
        metrics.REFERENCE_WAITING_SECONDS.labels(self._series.name).set(age)

    def _rest(self, outbox: Outbox) -> bool:
        """Until something is applied (True), or for a while."""
        end = time.monotonic() + POLL_SECONDS
        while not self._stop.is_set() and time.monotonic() < end:
            if outbox.wait(SLICE_SECONDS):
                return True
        return self._stop.is_set()


class Publishers:
    """All series side by side, each in a thread of its own: what stops one holds up no other. ``run()`` until ``stop()``."""

    def __init__(self, values: settings.ReferencePublisher) -> None:
        self._of = {series.name: Publisher(values, series) for series in SERIES}

    def healthy(self) -> str | None:
        """None while each series is published or stood by for, else what is wrong with which."""
        found = ((name, publisher.healthy()) for name, publisher in self._of.items())
        return "; ".join(f"{name}: {wrong}" for name, wrong in found if wrong is not None) or None

    def stop(self) -> None:
        """End soon; from any thread or a signal handler."""
        for publisher in self._of.values():
            publisher.stop()

    def run(self) -> None:
        """Returns after ``stop()``."""
        threads = [threading.Thread(target=publisher.run, name=name) for name, publisher in self._of.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def audit_event(revision: Revision, namespace: str, series: Series) -> Event:
    """Key and body of the revision's own audit event: the same bytes whoever makes them and how often."""
    source_id = f"{namespace}/{revision.revision}/{revision.sha256}"
    content = json.loads(revision.document)
    counts = {kind: str(len(found)) for kind, found in content.items() if isinstance(found, list)}
    event = AuditEvent(
        event_id=str(uuid.uuid5(series.events, source_id)),
        tenant_id=OWN_TENANT,
        event_type=series.event_type,
        occurred_at=revision.applied_at,
        source=series.source,
        source_event_id=source_id,
        activity="update",
        outcome="success",
        actor_type="human",
        actor_id=revision.applied_by,
        target_type=series.target_type,
        target_id=str(revision.revision),
        reason=revision.reason,
        attributes={**counts, "sha256": revision.sha256, "database_user": revision.database_user},
    )
    spread = hashlib.sha256(source_id.encode()).digest()[0]
    return f"{OWN_TENANT}/{series.source}/{spread:02x}".encode(), encode(within_limits(event))


def run(values: settings.ReferencePublisher) -> int:
    """Run until SIGTERM or SIGINT: 0."""
    publishers = Publishers(values)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: publishers.stop())
    admin.serve(PART, values.admin_listen, publishers.healthy)
    publishers.run()
    return 0

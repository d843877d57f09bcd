"""The newest reference data, ready for the stages. Taken at the start of each batch, so that a batch is under one revision."""

from __future__ import annotations

import threading
import time

from connectors.reference_topic import ReferenceTopic, ReferenceTopicError
from connectors.series import REFERENCE
from pipeline import metrics
from pipeline.reference.model import EMPTY, ModelError, Snapshot, parse
from pipeline.stages import Lookup
from pipeline.work import Blocked

FIRST_LOAD_SECONDS = 5.0


class Reference:
    """Follows `ReferenceTopic`. ``allowed``: the retention classes that a revision may give. Safe from several threads.

    ``follow`` off, for tests: the revision that is read first stays for ever.
    """

    def __init__(self, topic: ReferenceTopic, allowed: frozenset[str], *, follow: bool = True) -> None:
        self._topic, self._allowed, self._follow = topic, allowed, follow
        self._lock = threading.Lock()
        self._ready: tuple[tuple[str, str], Lookup] | None = None

    def start(self) -> None:
        """Begin to read; returns at once."""
        self._topic.start()
        metrics.PROCESSOR_REFERENCE_AGE.labels(REFERENCE.name).set_function(self._topic.age)
        metrics.PROCESSOR_REFERENCE_REVISION.labels(REFERENCE.name).set_function(self._number)

    def close(self) -> None:
        """Stop reading."""
        self._topic.close()

    def lookup(self) -> Lookup:
        """What to enrich a batch with: the newest revision; the last one while the topic cannot be read.

        Raises Blocked before the first full load, and with an alarm where this version cannot use the newest revision.
        """
        try:
            self._topic.wait_loaded(FIRST_LOAD_SECONDS)
        except ReferenceTopicError as exc:
            raise Blocked(str(exc)) from None
        newest = self._topic.current()
        with self._lock:
            if self._ready is None or (self._follow and self._ready[0] != newest):
                self._ready = newest, Lookup(self._usable(*newest))
                metrics.PROCESSOR_REFERENCE_SINCE.labels(REFERENCE.name).set(time.time())
            return self._ready[1]

    def missing(self) -> str | None:
        """None once a revision is at hand, or that none was published is known; else what is waited for. Never blocks."""
        try:
            self._topic.wait_loaded(0)
        except ReferenceTopicError:
            return f"events wait for the reference data: {self._topic.problem()}"
        return None

    def _number(self) -> float:
        """The newest revision read, also while no event comes."""
        revision = self._topic.current()[0] if self.missing() is None else ""
        return float(revision) if revision.isdecimal() else 0.0

    def _usable(self, revision: str, document: str) -> Snapshot:
        if not revision:
            return EMPTY
        try:
            snapshot = parse(revision, document)
        except ModelError as exc:
            raise Blocked(str(exc), alarm=True) from None
        others = {tenant.retention_class for tenant in snapshot.tenants} - self._allowed - {""}
        if others:
            raise Blocked(
                f"revision {revision} of the reference data gives tenants the retention class {min(others)}, which "
                "AUDITWIRE_RETENTION_CLASSES of this processor lacks: add it there, or apply reference data without it",
                alarm=True,
            )
        return snapshot

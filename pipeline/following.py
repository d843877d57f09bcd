"""The newest revision of a series, ready for the stages. Each batch takes it once, so that it is under one revision."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from connectors.reference_topic import ReferenceTopic, ReferenceTopicError
from connectors.series import Series
from pipeline import metrics
from pipeline.work import Blocked

FIRST_LOAD_SECONDS = 5.0
T = TypeVar("T")


class Followed(Generic[T]):
    """Follows a topic. ``made``: number and document of a revision (both empty where none was published) → what the stages take;
    raises Blocked where this version cannot use it. Safe from several threads.

    ``follow`` off, for tests: the revision that is read first stays for ever.
    """

    def __init__(self, topic: ReferenceTopic, series: Series, made: Callable[[str, str], T], *, follow: bool = True) -> None:
        self._topic, self._series, self._made, self._follow = topic, series, made, follow
        self._lock = threading.Lock()
        self._ready: tuple[tuple[str, str], T] | None = None

    def start(self) -> None:
        """Begin to read; returns at once."""
        self._topic.start()
        metrics.PROCESSOR_REFERENCE_AGE.labels(self._series.name).set_function(self._topic.age)
        metrics.PROCESSOR_REFERENCE_REVISION.labels(self._series.name).set_function(self._number)

    def close(self) -> None:
        """Stop reading."""
        self._topic.close()

    def newest(self) -> T:
        """What to work a batch with: the newest revision; the last one while the topic cannot be read.

        Raises Blocked before the first full load, and where this version cannot use the newest revision.
        """
        try:
            self._topic.wait_loaded(FIRST_LOAD_SECONDS)
        except ReferenceTopicError as exc:
            raise Blocked(str(exc)) from None
        newest = self._topic.current()
        with self._lock:
            if self._ready is None or (self._follow and self._ready[0] != newest):
                self._ready = newest, self._made(*newest)
                metrics.PROCESSOR_REFERENCE_SINCE.labels(self._series.name).set(time.time())
            return self._ready[1]

    def age(self) -> float:
        """Seconds since it was known to be the newest."""
        return self._topic.age()

    def missing(self) -> str | None:
        """None once a revision is at hand, or that none was published is known; else what is waited for. Never blocks."""
        try:
            self._topic.wait_loaded(0)
        except ReferenceTopicError:
            return f"events wait for {self._series.title}: {self._topic.problem()}"
        return None

    def _number(self) -> float:
        """The newest revision read, also while no event comes."""
        revision = self._topic.current()[0] if self.missing() is None else ""
        return float(revision) if revision.isdecimal() else 0.0

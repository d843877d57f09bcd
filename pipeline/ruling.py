"""The newest rules for data, ready for the stages; and what happens while nobody knows which are the newest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from auditwire.redaction import DETECTORS, Detector
from connectors.reference_topic import ReferenceTopic
from connectors.series import RULES
from pipeline.following import Followed
from pipeline.rules.decide import NO_RULES, Rules
from pipeline.rules.model import EMPTY, ModelError, parse
from pipeline.rules.nodes import TreeError
from pipeline.rules.patterns import Unusable
from pipeline.work import Blocked

log = logging.getLogger(__name__)
CLASSES = 32


@dataclass(frozen=True)
class Age:
    """How long rules may be in use without news of the topic (seconds), and what happens then: wait, or keep no content.

    ``catch_up``: seconds in which it is waited all the same, since after an outage of Kafka events may be back before the rules.
    """

    most: float
    outdated: Literal["wait", "strictest"]
    catch_up: float = 15.0


class Ruling(Followed[Rules]):
    """Follows the rules. ``allowed``: the retention classes of AUDITWIRE_RETENTION_CLASSES. ``detectors``: the built-in ones.
    ``clock``: seconds, only rising.
    """

    def __init__(
        self,
        topic: ReferenceTopic,
        allowed: frozenset[str],
        age: Age,
        *,
        detectors: tuple[Detector, ...] = DETECTORS,
        follow: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(topic, RULES, self._usable, follow=follow)
        self._allowed, self._age, self._clock, self._detectors = allowed, age, clock, detectors
        self._none = NO_RULES if detectors == DETECTORS else Rules(EMPTY, detectors=detectors)
        self._noticed: float | None = None
        self._strict: tuple[Rules, Rules] | None = None
        self._noticing = threading.Lock()

    def rules(self) -> Rules:
        """What to work a batch with. Raises Blocked, see `newest`; and where the rules are outdated and that means to wait."""
        found = self.newest()
        with self._noticing:
            if self.age() <= self._age.most:
                self._noticed = None
                return found
            now = self._clock()
            if self._noticed is None or now - self.age() > self._noticed:  # there was news in between: it is another outage
                self._noticed = now
            if self._age.outdated == "wait" or now - self._noticed < self._age.catch_up:
                raise Blocked(self._said())
            if self._strict is None or self._strict[0] is not found:
                log.error("%s: no content is kept until it can be read again", self._said())
                self._strict = found, Rules(found.snapshot, outdated=True, detectors=self._detectors)
            return self._strict[1]

    def missing(self) -> str | None:
        """None while there are rules to work with, else what is waited for. Never blocks."""
        waits = self._age.outdated == "wait" and self.age() > self._age.most
        return super().missing() or (self._said() if waits else None)

    def _said(self) -> str:
        why = self._topic.problem() or "no error was reported"
        return (
            f"the rules were known to be the newest {self.age():.0f} s ago, and AUDITWIRE_PROCESSOR_RULES_MAX_AGE_SECONDS is "
            f"{self._age.most:g}: {why}"
        )

    def _usable(self, revision: str, document: str) -> Rules:
        if not revision:
            return self._none
        try:
            rules = Rules(parse(revision, document), detectors=self._detectors)
        except (ModelError, TreeError, Unusable) as exc:
            raise Blocked(f"revision {revision} of the rules cannot be used by this release: {exc}", alarm=True) from None
        unknown = {rule.retention_class for rule in rules.snapshot.retentions} - rules.classes - self._allowed
        way = "AUDITWIRE_RETENTION_CLASSES of this processor"
        if unknown:
            raise Blocked(
                f"revision {revision} of the rules gives events the retention class {min(unknown)}, which neither it nor "
                f"{way} has: add it there, or publish rules with this class",
                alarm=True,
            )
        if len(rules.classes | self._allowed) > CLASSES:
            raise Blocked(
                f"revision {revision} of the rules and {way} have more than {CLASSES} retention classes together: take some away",
                alarm=True,
            )
        return rules

"""The series of revisions that one machinery stores, publishes and follows: reference data, and rules for data.

Each has people, tables, a topic and numbers of its own. A revision's identity is the digest of its document; the number is for
people, who count, and for the order in which revisions came.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """``name``: in metrics, topic, tables and on the command line; ``title``: what people call it. ``apply``, ``applied``: what
    they do with the next revision. ``id_suffix`` ends the transactional id; ``events``: namespace of the ids of its audit events.
    """

    name: str
    title: str
    apply: str
    applied: str
    event_type: str
    id_suffix: str
    events: uuid.UUID

    @property
    def revisions(self) -> str:
        """PostgreSQL's table of the revisions."""
        return f"{self.name}_revisions"

    @property
    def outbox(self) -> str:
        """PostgreSQL's table of what Kafka does not have yet; also the channel on which that is told."""
        return f"{self.name}_outbox"

    @property
    def source(self) -> str:
        """Source of its audit events."""
        return f"auditwire-{self.name}"

    @property
    def target_type(self) -> str:
        """What its audit events are about."""
        return f"{self.name}_revision"

    def topic(self, namespace: str) -> str:
        """The compacted topic that holds its documents and the pointer to the newest."""
        return f"{namespace}.{self.name}"

    def transactional_id(self, namespace: str) -> str:
        """Shared by all that publish it, so that Kafka refuses whoever was overtaken."""
        return f"{namespace}-reference-publisher{self.id_suffix}"


REFERENCE = Series(
    name="reference",
    title="the reference data",
    apply="apply",
    applied="applied",
    event_type="reference.applied",
    id_suffix="",
    events=uuid.UUID("6f0c2d0e-8d2b-5d3c-9d51-2f6f3a1f7a11"),
)
RULES = Series(
    name="rules",
    title="the rules",
    apply="publish",
    applied="published",
    event_type="rules.published",
    id_suffix="-rules",
    events=uuid.UUID("c1b0a5f4-6f39-5a0e-8c57-7d4be2c9a3d8"),
)
SERIES = (REFERENCE, RULES)

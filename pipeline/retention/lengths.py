"""How long a class is kept, out of the revisions of the rules, and so when what was ingested in a month ends. Pure.

A longer length holds for what is stored already, a shorter one only for what is ingested after it was published. So the length
of a class and a month is the greatest that was in force at any moment from a day before that month until now; and there is none
before Kafka had a revision that says one, as what is kept for ever becomes shorter by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.postgres.reference import Revision
from pipeline.rules.model import parse

LATE = timedelta(days=1)  # processors may be minutes behind a revision, and clocks differ


@dataclass(frozen=True)
class Term:
    """A revision's lengths, class → calendar months, and when they were in force: ``since <= moment < until`` (None: still).

    ``published``: when Kafka had it; None: not yet.
    """

    revision: int
    sha256: str
    since: datetime
    until: datetime | None
    months: Mapping[str, int]
    published: datetime | None = None


@dataclass(frozen=True)
class Unit:
    """What expires together: a retention class and the month (UTC, ``2026-03``) in which the broker appended the events."""

    retention_class: str
    month: str

    def __str__(self) -> str:
        return f"{self.retention_class or '(no class)'} {self.month}"


@dataclass(frozen=True)
class End:
    """When a unit ends (UTC), and by which revision: its number, the digest of its document, the months that it says."""

    at: datetime
    months: int
    revision: int
    sha256: str


def terms(revisions: Sequence[Revision]) -> list[Term]:
    """Revisions in rising order → when each was in force: from its application, published or not, until its successor was
    published. Both ways an error of the order keeps events rather than deleting them. Raises ModelError.
    """
    followers = [*revisions[1:], None][: len(revisions)]
    return [
        Term(
            one.revision,
            one.sha256,
            one.applied_at,
            None if after is None else after.published_at,
            {c.name: c.months for c in parse(str(one.revision), one.document).classes},
            one.published_at,
        )
        for one, after in zip(revisions, followers, strict=True)
    ]


def end_of(unit: Unit, known: Iterable[Term], now: datetime) -> End | None:
    """None where no published revision in force since the month began says how long the class is kept: then it is for ever."""
    begin = begin_of(unit.month) - LATE
    held = [
        term
        for term in known
        if unit.retention_class in term.months and term.since <= now and (term.until is None or term.until > begin)
    ]
    if all(term.published is None for term in held):
        return None
    months, revision, sha256 = max((term.months[unit.retention_class], term.revision, term.sha256) for term in held)
    return End(begin_of(later(unit.month, months + 1)), months, revision, sha256)


def begin_of(month: str) -> datetime:
    """The first moment of a month, UTC. Raises ValueError on text that is not ``YYYY-MM``."""
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def later(month: str, months: int) -> str:
    """The month so many months later."""
    year, number = divmod(12 * int(month[:4]) + int(month[5:]) - 1 + months, 12)
    return f"{year:04d}-{number + 1:02d}"

"""Revisions of the reference data in PostgreSQL, and the outbox that the publisher empties."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from connectors.postgres import PostgresError, explained, session

CHANNEL = "reference_outbox"
_FIELDS = sql.SQL("r.revision, r.applied_at, r.applied_by, r.database_user, r.reason, r.sha256, r.document, o.published_at")
_FROM = sql.SQL("SELECT {} FROM reference_revisions r JOIN reference_outbox o USING (namespace, revision) ").format(_FIELDS)
_NEWEST = _FROM + sql.SQL("WHERE namespace = %s ORDER BY revision DESC LIMIT 1")
_ONE = _FROM + sql.SQL("WHERE namespace = %s AND revision = %s")
_ALL = _FROM + sql.SQL("WHERE namespace = %s ORDER BY revision DESC LIMIT %s")
_WAITING = _FROM + sql.SQL("WHERE namespace = %s AND o.published_at IS NULL ORDER BY revision LIMIT 1")
_ADD = """
    INSERT INTO reference_revisions (namespace, revision, applied_by, reason, sha256, document)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
_MARK = "UPDATE reference_outbox SET published_at = now() WHERE namespace = %s AND revision = %s AND published_at IS NULL"
_BACKLOG = """
    SELECT count(*), coalesce(extract(epoch FROM now() - min(queued_at)), 0) FROM reference_outbox
    WHERE namespace = %s AND published_at IS NULL
"""


@dataclass(frozen=True)
class Revision:
    """One revision as the tables have it. Times are UTC; ``published_at`` None: Kafka does not have it yet."""

    revision: int
    applied_at: datetime
    applied_by: str
    database_user: str
    reason: str
    sha256: str
    document: str
    published_at: datetime | None


class OutdatedError(Exception):
    """The newest revision is not the one the caller had in mind; nothing was applied. Compare with it, then apply again."""


class Revisions:
    """Revisions of one namespace as those who apply see them. Each method is one transaction; raises PostgresError.

    ``serialise=False`` lets applications run into each other: for the negative control only.
    """

    def __init__(self, dsn: str, namespace: str, *, serialise: bool = True) -> None:
        self._dsn, self._namespace, self._serialise = dsn, namespace, serialise

    def apply(self, document: str, applied_by: str, reason: str, expected: int | None = None) -> tuple[Revision, bool]:
        """The revision with this document as the newest, and whether it is new: the same document again makes none.

        The outbox has it in the same transaction. ``expected``: number of the newest revision (0: there is none) that the
        caller compared with. Raises OutdatedError where it is another one by now.
        """
        sha256 = hashlib.sha256(document.encode()).hexdigest()
        with session(self._dsn) as db:
            if self._serialise:
                db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self._namespace}/{CHANNEL}",))
            newest = _one(db, _NEWEST, (self._namespace,))
            number = newest.revision if newest else 0
            if newest and newest.sha256 == sha256:
                return newest, False
            if expected is not None and expected != number:
                raise OutdatedError(f"revision {number} is the newest, not {expected}: compare with it (diff), then apply again")
            db.execute(_ADD, (self._namespace, number + 1, applied_by, reason, sha256, document))
            db.execute("INSERT INTO reference_outbox (namespace, revision) VALUES (%s, %s)", (self._namespace, number + 1))
            db.execute("SELECT pg_notify(%s, %s)", (CHANNEL, self._namespace))
            applied = _one(db, _ONE, (self._namespace, number + 1))
        if applied is None:
            raise PostgresError("PostgreSQL does not show the revision that it took: look at its log", passing=False)
        return applied, True

    def newest(self) -> Revision | None:
        """The newest revision, published or not; None where there is none."""
        with session(self._dsn) as db:
            return _one(db, _NEWEST, (self._namespace,))

    def get(self, number: int) -> Revision | None:
        """One revision, None where there is none of that number."""
        with session(self._dsn) as db:
            return _one(db, _ONE, (self._namespace, number))

    def history(self, most: int) -> list[Revision]:
        """The newest revisions, newest first."""
        with session(self._dsn) as db:
            return db.cursor(row_factory=class_row(Revision)).execute(_ALL, (self._namespace, most)).fetchall()


class Outbox:
    """The publisher's side: one connection, held while this publisher is the one at work. ``with Outbox(…) as outbox:``

    Every method raises PostgresError when the connection is gone: the right to publish is gone with it, so begin anew.
    """

    def __init__(self, dsn: str, namespace: str) -> None:
        self._dsn, self._namespace = dsn, namespace
        with _explaining(dsn):
            self._db: psycopg.Connection[Any] = psycopg.connect(
                dsn, autocommit=True, connect_timeout=5, options="-c statement_timeout=15000"
            )
        with self._explaining():
            self._db.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    def lead(self) -> bool:
        """Whether this connection is now the one that publishes; another one may be until its connection ends."""
        with self._explaining():
            row = self._db.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 1))", (f"{self._namespace}/{CHANNEL}",))
            return any(found for (found,) in row)

    def waiting(self) -> Revision | None:
        """The oldest revision that is not marked as published, None where there is none."""
        with self._explaining():
            return _one(self._db, _WAITING, (self._namespace,))

    def published(self, number: int) -> None:
        """Mark a revision as published, once Kafka has acknowledged it."""
        with self._explaining():
            self._db.execute(_MARK, (self._namespace, number))

    def newest(self) -> Revision | None:
        """The newest revision, published or not; None where there is none."""
        with self._explaining():
            return _one(self._db, _NEWEST, (self._namespace,))

    def get(self, number: int) -> Revision | None:
        """One revision, None where there is none of that number."""
        with self._explaining():
            return _one(self._db, _ONE, (self._namespace, number))

    def backlog(self) -> tuple[int, float]:
        """How many revisions wait, and the age of the oldest in seconds."""
        with self._explaining():
            count, age = self._db.execute(_BACKLOG, (self._namespace,)).fetchall()[0]
            return int(count), max(0.0, float(age))

    def wait(self, seconds: float) -> bool:
        """True as soon as something was applied, False after so many seconds."""
        with self._explaining():
            return any(True for _ in self._db.notifies(timeout=seconds, stop_after=1))

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        with _explaining(self._dsn):
            yield


@contextmanager
def _explaining(dsn: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        raise explained(dsn, exc) from exc


def _one(db: psycopg.Connection[Any], query: sql.Composed, values: tuple[Any, ...]) -> Revision | None:
    return db.cursor(row_factory=class_row(Revision)).execute(query, values).fetchone()

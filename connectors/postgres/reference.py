"""Revisions of a series in PostgreSQL, and the outbox that the publisher empties."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from connectors.postgres import PostgresError, explained, session
from connectors.series import Series

_FROM = """
    SELECT r.revision, r.applied_at, r.applied_by, r.database_user, r.reason, r.sha256, r.document, o.published_at
    FROM {revisions} r JOIN {outbox} o USING (namespace, revision) WHERE namespace = %s
"""
_NEWEST = _FROM + "ORDER BY revision DESC LIMIT 1"
_ONE = _FROM + "AND revision = %s"
_ALL = _FROM + "ORDER BY revision DESC LIMIT %s"
_AFTER = _FROM + "AND revision > %s ORDER BY revision LIMIT %s"
_WAITING = _FROM + "AND o.published_at IS NULL ORDER BY revision LIMIT 1"
_ADD = """
    INSERT INTO {revisions} (namespace, revision, applied_by, reason, sha256, document)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
_QUEUE = "INSERT INTO {outbox} (namespace, revision) VALUES (%s, %s)"
_MARK = "UPDATE {outbox} SET published_at = now() WHERE namespace = %s AND revision = %s AND published_at IS NULL"
_BACKLOG = """
    SELECT count(*), coalesce(extract(epoch FROM now() - min(queued_at)), 0) FROM {outbox}
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
    """One namespace's revisions of a series, as those who add to it see them. Each method is one transaction; raises
    PostgresError.

    ``serialise=False`` lets applications run into each other: for the negative control only.
    """

    def __init__(self, dsn: str, namespace: str, series: Series, *, serialise: bool = True) -> None:
        self._dsn, self._namespace, self._series, self._serialise = dsn, namespace, series, serialise

    def apply(self, document: str, applied_by: str, reason: str, expected: int | None = None) -> tuple[Revision, bool]:
        """The revision with this document as the newest, and whether it is new: the same document again makes none.

        The outbox has it in the same transaction. ``expected``: number of the newest revision (0: there is none) that the
        caller compared with. Raises OutdatedError where it is another one by now.
        """
        sha256 = hashlib.sha256(document.encode()).hexdigest()
        with session(self._dsn) as db:
            if self._serialise:
                db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (_lock(self._namespace, self._series),))
            newest = _one(db, self._series, _NEWEST, (self._namespace,))
            number = newest.revision if newest else 0
            if newest and newest.sha256 == sha256:
                return newest, False
            if expected is not None and expected != number:
                again = f"compare with it (diff), then {self._series.apply} again"
                raise OutdatedError(f"revision {number} is the newest, not {expected}: {again}")
            db.execute(_of(self._series, _ADD), (self._namespace, number + 1, applied_by, reason, sha256, document))
            db.execute(_of(self._series, _QUEUE), (self._namespace, number + 1))
            db.execute("SELECT pg_notify(%s, %s)", (self._series.outbox, self._namespace))
            applied = _one(db, self._series, _ONE, (self._namespace, number + 1))
        if applied is None:
            raise PostgresError("PostgreSQL does not show the revision that it took: look at its log", passing=False)
        return applied, True

    def newest(self) -> Revision | None:
        """The newest revision, published or not; None where there is none."""
        with session(self._dsn) as db:
            return _one(db, self._series, _NEWEST, (self._namespace,))

    def get(self, number: int) -> Revision | None:
        """One revision, None where there is none of that number."""
        with session(self._dsn) as db:
            return _one(db, self._series, _ONE, (self._namespace, number))

    def after(self, number: int, most: int) -> list[Revision]:
        """The revisions behind this number, oldest first."""
        with session(self._dsn) as db:
            rows = db.cursor(row_factory=class_row(Revision))
            return rows.execute(_of(self._series, _AFTER), (self._namespace, number, most)).fetchall()

    def history(self, most: int) -> list[Revision]:
        """The newest revisions, newest first."""
        with session(self._dsn) as db:
            rows = db.cursor(row_factory=class_row(Revision))
            return rows.execute(_of(self._series, _ALL), (self._namespace, most)).fetchall()


class Outbox:
    """The publisher's side: one connection, held while this is the one that publishes the series. ``with Outbox(…) as outbox:``

    Every method raises PostgresError when the connection is gone: the right to publish is gone with it, so begin anew.
    """

    def __init__(self, dsn: str, namespace: str, series: Series) -> None:
        self._dsn, self._namespace, self._series = dsn, namespace, series
        with _explaining(dsn):
            self._db: psycopg.Connection[Any] = psycopg.connect(
                dsn, autocommit=True, connect_timeout=5, options="-c statement_timeout=15000"
            )
        with self._explaining():
            self._db.execute(sql.SQL("LISTEN {}").format(sql.Identifier(series.outbox)))

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    def lead(self) -> bool:
        """Whether this connection is now the one that publishes; another one may be until its connection ends."""
        with self._explaining():
            mine = (_lock(self._namespace, self._series),)
            return any(found for (found,) in self._db.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 1))", mine))

    def waiting(self) -> Revision | None:
        """The oldest revision that is not marked as published, None where there is none."""
        with self._explaining():
            return _one(self._db, self._series, _WAITING, (self._namespace,))

    def published(self, number: int) -> None:
        """Mark a revision as published, once Kafka has acknowledged it."""
        with self._explaining():
            self._db.execute(_of(self._series, _MARK), (self._namespace, number))

    def newest(self) -> Revision | None:
        """The newest revision, published or not; None where there is none."""
        with self._explaining():
            return _one(self._db, self._series, _NEWEST, (self._namespace,))

    def get(self, number: int) -> Revision | None:
        """One revision, None where there is none of that number."""
        with self._explaining():
            return _one(self._db, self._series, _ONE, (self._namespace, number))

    def backlog(self) -> tuple[int, float]:
        """How many revisions wait, and the age of the oldest in seconds."""
        with self._explaining():
            count, age = self._db.execute(_of(self._series, _BACKLOG), (self._namespace,)).fetchall()[0]
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


def _of(series: Series, statement: LiteralString) -> sql.Composed:
    return sql.SQL(statement).format(revisions=sql.Identifier(series.revisions), outbox=sql.Identifier(series.outbox))


def _one(db: psycopg.Connection[Any], series: Series, statement: LiteralString, values: tuple[Any, ...]) -> Revision | None:
    return db.cursor(row_factory=class_row(Revision)).execute(_of(series, statement), values).fetchone()


def _lock(namespace: str, series: Series) -> str:
    return f"{namespace}/{series.outbox}"

"""Operators' statements about producers: append-only, the newest of a producer counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from connectors.postgres import session

_FIELDS = "tenant, producer_id, producer_epoch, stated_at, stated_by, database_user, reason"
_LIST = f"SELECT {_FIELDS} FROM producer_statements WHERE namespace = %s AND tenant = %s ORDER BY id"  # noqa: S608
_INSERT = f"""
    INSERT INTO producer_statements (namespace, tenant, producer_id, producer_epoch, stated_by, reason)
    VALUES (%s, %s, %s, %s, %s, %s) RETURNING {_FIELDS}
"""  # noqa: S608


@dataclass(frozen=True)
class Declared:
    """A producer epoch was declared dead. ``stated_by`` is what the person said, ``database_user`` what PostgreSQL knows."""

    tenant: str
    producer_id: str
    producer_epoch: int
    stated_at: datetime
    stated_by: str
    database_user: str
    reason: str


class Statements:
    """Of one namespace. Every method is one transaction and raises PostgresError when the database is away."""

    def __init__(self, dsn: str, namespace: str) -> None:
        self._dsn, self._namespace = dsn, namespace

    def of(self, tenant: str) -> list[Declared]:
        """All of a tenant's, oldest first."""
        with session(self._dsn) as db:
            return db.cursor(row_factory=class_row(Declared)).execute(_LIST, (self._namespace, tenant)).fetchall()

    def declare_dead(self, tenant: str, producer: str, epoch: int, by: str, reason: str) -> Declared:
        """The statement as it was recorded, for good."""
        values = (self._namespace, tenant, producer, epoch, by, reason)
        with session(self._dsn) as db:
            made = db.cursor(row_factory=class_row(Declared)).execute(_INSERT, values).fetchone()
        assert made is not None  # noqa: S101
        return made

"""Saved definitions of extracts, some with a schedule. A definition is made and deleted, never changed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from connectors.postgres import session

Every = Literal["day", "week", "month"]
_FIELDS = sql.SQL("id, name, tenant, principal, query, every, created_at, stopped")
_INSERT = sql.SQL("""
    INSERT INTO extract_definitions (id, namespace, name, tenant, principal, query, every) VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (namespace, tenant, name) WHERE deleted_at IS NULL DO NOTHING RETURNING {}
""").format(_FIELDS)
_LIVE = sql.SQL("SELECT {} FROM extract_definitions WHERE namespace = %s AND deleted_at IS NULL").format(_FIELDS)
_COUNT = "SELECT count(*) FROM extract_definitions WHERE namespace = %s AND principal = %s AND deleted_at IS NULL"


@dataclass(frozen=True)
class Definition:
    """One definition. ``query`` has time, filters, columns and format; ``every`` None: no schedule; ``stopped``: why it ended."""

    id: uuid.UUID
    name: str
    tenant: str
    principal: str
    query: dict[str, Any]
    every: Every | None
    created_at: datetime
    stopped: str


@dataclass(frozen=True)
class NewDefinition:
    """What to save."""

    name: str
    tenant: str
    principal: str
    query: Mapping[str, Any]
    every: Every | None


class Definitions:
    """Definitions of one namespace. Every method is one transaction and raises PostgresError when the database is away."""

    def __init__(self, dsn: str, namespace: str) -> None:
        self._dsn, self._namespace = dsn, namespace

    def count(self, principal: str) -> int:
        """How many the principal has."""
        with session(self._dsn) as db:
            return sum(int(row[0]) for row in db.execute(_COUNT, (self._namespace, principal)))

    def create(self, made: uuid.UUID, new: NewDefinition) -> Definition | None:
        """A new definition; None where the tenant has one of that name."""
        values = (made, self._namespace, new.name, new.tenant, new.principal, Jsonb(new.query), new.every)
        with session(self._dsn) as db:
            return db.cursor(row_factory=class_row(Definition)).execute(_INSERT, values).fetchone()

    def get(self, definition: uuid.UUID) -> Definition | None:
        """The definition, or None where there is none, or none any more."""
        with session(self._dsn) as db:
            cursor = db.cursor(row_factory=class_row(Definition))
            return cursor.execute(_LIVE + sql.SQL(" AND id = %s"), (self._namespace, definition)).fetchone()

    def newest(self, tenants: Sequence[str], limit: int, after: tuple[datetime, uuid.UUID] | None = None) -> list[Definition]:
        """Definitions of these tenants, newest first, older than ``after`` (created_at, id) only."""
        text = _LIVE + sql.SQL(" AND tenant = ANY(%s) AND (%s::timestamptz IS NULL OR (created_at, id) < (%s, %s::uuid))")
        text += sql.SQL(" ORDER BY created_at DESC, id DESC LIMIT %s")
        at, after_id = after or (None, None)
        with session(self._dsn) as db:
            values = (self._namespace, list(tenants), at, at, after_id, limit)
            return db.cursor(row_factory=class_row(Definition)).execute(text, values).fetchall()

    def scheduled(self) -> list[Definition]:
        """Every definition whose schedule goes on, oldest first."""
        text = _LIVE + sql.SQL(" AND every IS NOT NULL AND stopped = '' ORDER BY created_at, id")
        with session(self._dsn) as db:
            return db.cursor(row_factory=class_row(Definition)).execute(text, (self._namespace,)).fetchall()

    def stop(self, definition: uuid.UUID, reason: str) -> bool:
        """End its schedule for good; False where another instance was faster."""
        with session(self._dsn) as db:
            text = "UPDATE extract_definitions SET stopped = %s WHERE id = %s AND namespace = %s AND stopped = ''"
            return db.execute(text, (reason, definition, self._namespace)).rowcount == 1

    def delete(self, definition: uuid.UUID) -> bool:
        """Take it away; its extracts stay. False where it was gone already."""
        with session(self._dsn) as db:
            text = "UPDATE extract_definitions SET deleted_at = now() WHERE id = %s AND namespace = %s AND deleted_at IS NULL"
            return db.execute(text, (definition, self._namespace)).rowcount == 1

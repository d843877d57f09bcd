"""PostgreSQL: what people change and must not lose. The schema as numbered migrations, and how errors read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x61756469  # any number, the same in every process that migrates


class PostgresError(Exception):
    """PostgreSQL does not answer or refuses; the text says which and what to do. ``passing``: trying again later can help."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing


@contextmanager
def session(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """One connection, one transaction: committed at the end, rolled back on an error. Raises PostgresError only."""
    try:
        with psycopg.connect(dsn, connect_timeout=5, options="-c statement_timeout=15000") as db:
            yield db
    except psycopg.Error as exc:
        raise explained(dsn, exc) from exc


def apply(dsn: str) -> list[str]:
    """Run the migrations that the database has not seen yet, as its owner; returns what was done. Safe to repeat and to race.

    Needs roles ``export``, ``operator``, ``reference``, ``rules``, ``reference_publisher`` and ``retention`` to exist: grants go
    to them.
    Raises PostgresError; then nothing was changed.
    """
    done = []
    with session(dsn) as db:
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        db.execute("CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, at timestamptz DEFAULT now() NOT NULL)")
        seen = {row[0] for row in db.execute("SELECT name FROM schema_migrations")}
        for path in sorted(MIGRATIONS.glob("*.sql")):
            if path.stem not in seen:
                db.execute(path.read_bytes())
                db.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (path.stem,))
                done.append(f"PostgreSQL migration {path.stem}")
    return done


def explained(dsn: str, exc: psycopg.Error) -> PostgresError:
    """What an error of the client means, and what to do about it; the password of ``dsn`` is not in the text."""
    where = conninfo_to_dict(dsn)
    place = f"PostgreSQL {where.get('host', '')}:{where.get('port', 5432)}/{where.get('dbname', '')}"
    user = where.get("user", "")
    if isinstance(exc, psycopg.errors.UndefinedTable):
        return PostgresError(f"{place} lacks a table: run `auditwired migrate`", passing=False)
    if isinstance(exc, psycopg.errors.UndefinedObject):
        return PostgresError(f"{place}: {exc.diag.message_primary}: create the role, then run migrate again", passing=False)
    if isinstance(exc, psycopg.errors.InsufficientPrivilege):
        text = f"{place}: user {user} lacks a right ({exc.diag.message_primary}): migrate as the owner of the database"
        return PostgresError(text, passing=False)
    if "password authentication failed" in str(exc):
        return PostgresError(f"{place} refused the password of user {user}: correct the POSTGRES_DSN setting", passing=False)
    if isinstance(exc, psycopg.OperationalError):
        absent = f'database "{where.get("dbname", "")}" does not exist' in str(exc)
        remedy = "there is no such database: create it, then run `auditwired migrate`"
        silent = "does not answer: is it up, is the POSTGRES_DSN setting right?"
        return PostgresError(f"{place}: {remedy}" if absent else f"{place} {silent}", passing=not absent)
    return PostgresError(f"{place} refused a statement ({type(exc).__name__}, {exc.sqlstate})", passing=False)

"""PostgreSQL dumped and restored with its own programs, as the runbook says: nothing is lost and the publisher goes on."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from connectors.series import RULES
from infra.stack import env, install
from infra.stack.servers.postgres import Postgres
from tests.references import apply, held, store, worker
from tests.space import Space
from tests.waiting import until

TABLES = (
    *("extract_definitions", "extract_jobs", "schema_migrations"),
    *("reference_revisions", "reference_outbox", "rules_revisions", "rules_outbox"),
)


def _owner(space: Space) -> str:
    return space.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]


def _program(name: str, *arguments: str) -> None:
    done = subprocess.run([install.postgres_bin() / name, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _everything(space: Space) -> dict[str, list[tuple[Any, ...]]]:
    """Rows and grants, as text."""
    with psycopg.connect(_owner(space)) as db:
        rows = {
            t: db.execute(sql.SQL("SELECT x::text FROM {} x ORDER BY 1").format(sql.Identifier(t))).fetchall() for t in TABLES
        }
        grants = "SELECT grantee, table_name, column_name, privilege_type FROM information_schema.column_privileges"
        return {**rows, "grants": sorted(db.execute(grants).fetchall())}


def _lose(space: Space) -> None:
    """The database is gone; an empty one stands in its place."""
    with psycopg.connect(env.postgres_dsn(space.stack.state, "postgres", "postgres"), autocommit=True) as db:
        db.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(space.name)))
        cast(Postgres, space.stack.servers["postgres"]).create_database(db, space.name, "auditwire")


def _published(space: Space, number: int) -> bool:
    found = store(space).get(number)
    return found is not None and found.published_at is not None


def test_a_restored_database_is_the_one_that_was_dumped(provisioned: Space, tmp_path: Path) -> None:
    definition, query, dump = uuid.uuid4(), Jsonb({"columns": ["event_id"]}), tmp_path / "auditwire.dump"
    with psycopg.connect(_owner(provisioned)) as db:
        db.execute(
            "INSERT INTO extract_definitions (id, namespace, name, tenant, principal, query, every)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (definition, provisioned.name, "denials", "demo", "olga@example.com", query, "day"),
        )
        db.execute(
            "INSERT INTO extract_jobs (id, namespace, tenant, principal, query, definition) VALUES (%s, %s, %s, %s, %s, %s)",
            (uuid.uuid4(), provisioned.name, "demo", "olga@example.com", query, definition),
        )
    apply(provisioned, "demo")
    with worker(provisioned):
        until(lambda: _published(provisioned, 1), otherwise="the first revision is published")
    apply(provisioned, "demo", "acme")
    apply(provisioned, "demo", series=RULES)
    before = _everything(provisioned)
    assert all(before.values())

    _program("pg_dump", "--format=custom", f"--file={dump}", _owner(provisioned))
    _lose(provisioned)
    _program("pg_restore", "--single-transaction", f"--dbname={_owner(provisioned)}", str(dump))

    assert _everything(provisioned) == before
    assert apply(provisioned, "demo", "acme", "third").revision == 3
    with worker(provisioned):
        until(lambda: _published(provisioned, 3), otherwise="what waited in the outbox and what came after is published")
    found = held(provisioned)
    assert found.revisions == ["revision/1", "revision/2", "revision/3"]
    assert found.events == {"1": 1, "2": 1, "3": 1}

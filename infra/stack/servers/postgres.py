"""PostgreSQL 18: the registry's store and the service's own database."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import psycopg
from psycopg import sql

from infra.stack import install, state
from infra.stack.server import HOST, Server, StackError

DATABASES = {"registry": "registry", "auditwire": "auditwire"}


class Postgres(Server):
    """Superuser ``postgres`` (the stack's own), databases ``registry`` and ``auditwire`` with owners of the same names.

    The parts' roles may log in to ``auditwire`` and nothing else: `auditwired migrate` grants what they need. What a newer
    release needs besides is added to a data directory that is there already.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": open sessions are ended, nothing is lost

    def prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self._forget_the_dead()

    def _initdb(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        fresh = self.data.with_suffix(".new")  # renamed when complete: a killed initdb leaves no half of a database
        shutil.rmtree(fresh, ignore_errors=True)
        password = state.private(self.place.directory / "postgres.password", self.secrets["postgres_postgres"])
        argv = [install.postgres_bin() / "initdb", "-D", fresh, "-U", "postgres", f"--pwfile={password}"]
        try:
            self.run([*argv, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], userns=self.userns)
        finally:
            password.unlink()
        fresh.rename(self.data)

    def _forget_the_dead(self) -> None:
        """We hold the stack's lock, so a postmaster before us is dead, though perhaps not reaped; its workers end soon.

        PostgreSQL would take the unreaped one for alive and refuse to start.
        """
        deadline = time.monotonic() + 20
        while users := [p for p in Path("/proc").glob("[0-9]*") if _working_directory(p) == str(self.data)]:
            if time.monotonic() > deadline:
                raise StackError(f"process {users[0].name} still works in {self.data}: end it and start again")
            time.sleep(0.02)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def command(self) -> list[str]:
        options = ("unix_socket_directories=", "shared_buffers=64MB", "max_connections=200")
        argv = [str(install.postgres_bin() / "postgres"), "-D", str(self.data), "-h", HOST, "-p", str(self.ports["postgres"])]
        return argv + [a for option in options for a in ("-c", option)]

    @property
    def userns(self) -> bool:
        return os.geteuid() == 0

    def dsn(self, role: str, database: str) -> str:
        """Connection string of ``role``."""
        return f"postgresql://{role}:{self.secrets['postgres_' + role]}@{HOST}:{self.ports['postgres']}/{database}"

    def ready(self) -> bool:
        with psycopg.connect(self.dsn("postgres", "postgres"), connect_timeout=2) as db:
            return db.execute("SELECT 1").fetchone() == (1,)

    def settle(self) -> None:
        with psycopg.connect(self.dsn("postgres", "postgres"), autocommit=True) as db:
            roles = {row[0] for row in db.execute("SELECT rolname FROM pg_roles")}
            for role in state.POSTGRES_ROLES:
                if role not in roles:
                    password = sql.Literal(self.secrets[f"postgres_{role}"])
                    db.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), password))
            for database, owner in DATABASES.items():
                self.create_database(db, database, owner)

    def create_database(self, db: psycopg.Connection[tuple[object, ...]], database: str, owner: str) -> None:
        """Create ``database`` unless it exists; only its owner and the parts' roles (not in the registry's) may connect."""
        name, role = sql.Identifier(database), sql.Identifier(owner)
        if not db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
            db.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))
            db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        if owner == "auditwire":
            roles = sql.SQL(", ").join(map(sql.Identifier, state.PART_ROLES))
            db.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, roles))

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.ports['postgres']}"


def _working_directory(process: Path) -> str:
    try:
        return str((process / "cwd").readlink())
    except OSError:
        return ""

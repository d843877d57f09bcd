"""Brings a ClickHouse database to the newest tables. Forward only: `migrations/NNNN_name.sql`, each run once, in order."""

from __future__ import annotations

import re
from pathlib import Path

from connectors.clickhouse.client import Client

FOLDER = Path(__file__).parent / "migrations"
LEDGER = """CREATE TABLE IF NOT EXISTS {namespace}.migrations
(number UInt16, name String, at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')) ENGINE = MergeTree ORDER BY number"""


class MigrationError(Exception):
    """The database cannot be migrated by this version; the text says why."""


def files(folder: Path = FOLDER) -> dict[int, Path]:
    """Number → file, in order."""
    return {int(path.name[:4]): path for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))}


def statements(text: str, namespace: str) -> list[str]:
    """The statements of a migration for one namespace; each ends with a semicolon at a line's end."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", namespace):
        raise MigrationError(f"{namespace!r} cannot name a database: use a-z, 0-9 and _ in AUDITWIRE_NAMESPACE")
    code = "\n".join(line for line in text.replace("{namespace}", namespace).splitlines() if not line.startswith("--"))
    return [s.strip() for s in re.split(r";\s*$", code, flags=re.MULTILINE) if s.strip()]


def apply(client: Client, namespace: str, folder: Path = FOLDER) -> list[str]:
    """Make the database and run what has not run yet; returns the names of the files that ran, none the second time.

    Where a table is gone that was made before, everything runs again: it comes back empty, what is there stays. Each statement
    is safe to repeat, so a run that broke off is simply run again. Raises ClickHouseError, or MigrationError
    when a newer version of Auditwire was here before.
    """
    known = files(folder)
    client.command(statements("CREATE DATABASE IF NOT EXISTS {namespace};", namespace)[0])
    client.command(LEDGER.replace("{namespace}", namespace))
    done = {int(number) for (number,) in client.rows("SELECT number FROM migrations", database=namespace)}
    if unknown := sorted(done - set(known)):
        raise MigrationError(f"database {namespace} has migration {unknown[0]:04d}, unknown to this version: run the newer one")
    again, ran = done and _gone(client, namespace, [known[n] for n in sorted(done)]), []
    for number, path in known.items():
        if number not in done or again:
            for statement in statements(path.read_text(encoding="utf-8"), namespace):
                client.command(statement)
            ran.append(path.name)
        if number not in done:
            client.command(
                "INSERT INTO migrations (number, name) VALUES ({number:UInt16}, {name:String})",
                {"number": number, "name": path.name},
                database=namespace,
            )
    return ran


def _gone(client: Client, namespace: str, ran: list[Path]) -> bool:
    """Whether a table is not there that one of these files made."""
    made = {
        name for path in ran for name in re.findall(r"^CREATE TABLE IF NOT EXISTS \{namespace\}\.(\w+)", path.read_text(), re.M)
    }
    there = client.rows("SELECT name FROM system.tables WHERE database = {database:String}", {"database": namespace})
    return not made <= {name for (name,) in there}

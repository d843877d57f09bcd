"""A namespace of a test's own on the shared stack: topics, databases, buckets and settings nobody else uses."""

from __future__ import annotations

import tempfile
import urllib.error
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import psycopg
from confluent_kafka.admin import AdminClient
from psycopg import sql
from pydantic import BaseModel

from infra.stack import Stack, env, ports
from infra.stack.servers.clickhouse import ClickHouse
from infra.stack.servers.kafka import Kafka
from infra.stack.servers.postgres import Postgres
from pipeline import settings

POOL = tuple(f"audit_t{i:03}" for i in range(400))  # the stack's users.xml and S3 identities name them, so they are fixed
ANALYSED = POOL[-24:]  # those that tenants' analysts may read
S = TypeVar("S", bound=BaseModel)


@dataclass
class Space:
    """One namespace. ``env`` has every setting of every part, with listening ports and folders of its own."""

    stack: Stack
    name: str
    folder: Path
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.env = env.everything(self.folder, self.stack.state, self.name)
        env.write_token_files(self.folder, self.stack.state)
        ingest, export = ports.pick(2, self.stack.state.ports.values())
        self.env |= {
            "AUDITWIRE_INGEST_LISTEN": f"127.0.0.1:{ingest}",
            "AUDITWIRE_EXPORT_LISTEN": f"127.0.0.1:{export}",
            "AUDITWIRE_ADMIN_POSTGRES_DSN": env.postgres_dsn(self.stack.state, "auditwire", self.name),
            "AUDITWIRE_EXPORT_POSTGRES_DSN": env.postgres_dsn(self.stack.state, "export", self.name),
            "AUDITWIRE_OPERATOR_POSTGRES_DSN": env.postgres_dsn(self.stack.state, "operator", self.name),
            "AUDITWIRE_REFERENCE_POSTGRES_DSN": env.postgres_dsn(self.stack.state, "reference", self.name),
            "AUDITWIRE_RULES_POSTGRES_DSN": env.postgres_dsn(self.stack.state, "rules", self.name),
            "AUDITWIRE_RETENTION_POSTGRES_DSN": env.postgres_dsn(self.stack.state, "retention", self.name),
            "AUDITWIRE_REFERENCE_PUBLISHER_POSTGRES_DSN": env.postgres_dsn(self.stack.state, "reference_publisher", self.name),
        }
        with self._postgres() as db:
            cast(Postgres, self.stack.servers["postgres"]).create_database(db, self.name, "auditwire")

    def settings(self, model: type[S], **overrides: object) -> S:
        """Settings of one part here; ``overrides`` by the name after ``AUDITWIRE_``, such as ``PROCESSOR_LINGER_MS=5``."""
        return settings.load(model, {**self.env, **{settings.PREFIX + k: str(v) for k, v in overrides.items()}})

    def part_env(self, part: str, **overrides: object) -> dict[str, str]:
        """The environment of one part as a process: its own settings only, with an AUDITWIRE_ADMIN_LISTEN of its own."""
        mine = settings.names_of(settings.PARTS[part])
        values = {**self.env, "AUDITWIRE_ADMIN_LISTEN": f"127.0.0.1:{ports.pick(1)[0]}"}
        values |= {settings.PREFIX + k: str(v) for k, v in overrides.items()}
        return {k: v for k, v in values.items() if k in mine}

    def provision(self) -> None:
        """What `auditwired migrate` does."""
        from pipeline import migrate

        migrate.provision(self.settings(settings.Migrate))

    def drop(self) -> None:
        """Remove topics and databases; buckets stay (they are locked) until the stack's directory goes."""
        kafka = AdminClient(cast(Kafka, self.stack.servers["kafka"]).client("admin"))
        topics = [t for t in kafka.list_topics(timeout=10).topics if t.startswith(f"{self.name}.")]
        for done in kafka.delete_topics(topics).values() if topics else ():
            done.result()
        cast(ClickHouse, self.stack.servers["clickhouse"]).query(f"DROP DATABASE IF EXISTS `{self.name}`")
        with self._postgres() as db:
            db.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name)))

    def _postgres(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(env.postgres_dsn(self.stack.state, "postgres", "postgres"), autocommit=True)


def claim(stack: Stack, folder: Path, among: Sequence[str] = POOL) -> Space:
    """A namespace that no other test of this run, in whatever worker, has had."""
    for name in among:
        try:
            (stack.directory / "namespaces" / name).mkdir(parents=True)
        except FileExistsError:
            continue
        return Space(stack, name, folder / name)
    raise RuntimeError(f"all {len(among)} test namespaces are used up: make POOL or ANALYSED in {__file__} larger")


@contextmanager
def alone(fast_jvm: bool = False) -> Iterator[Space]:
    """One provisioned namespace on servers that are started for it and gone with it."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "stack", namespaces=POOL[:1], fast_jvm=fast_jvm) as stack:
        one = claim(stack, Path(folder) / "spaces")
        one.provision()
        yield one


def clickhouse_error(exc: urllib.error.HTTPError) -> str:
    """What ClickHouse said when it refused."""
    return exc.read().decode(errors="replace")

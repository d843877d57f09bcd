"""A stack directory of an older release gets what a newer one needs: ports, secrets, Kafka users, PostgreSQL roles."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
from confluent_kafka.admin import AdminClient, ScramMechanism, UserScramCredentialDeletion
from psycopg import sql

from infra.stack import Stack, env, state
from infra.stack.servers.kafka import Kafka
from infra.stack.servers.postgres import Postgres
from tests.waiting import until

ROLES = ("reference", "rules", "reference_publisher")
USER = "reference-publisher"


def test_users_roles_ports_and_secrets_are_added_at_the_next_start(tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    with Stack(directory, names=("postgres", "kafka"), fast_jvm=True) as stack:
        _make_older(stack)
    kept = _forget(directory)
    with Stack(directory, names=("postgres", "kafka"), fast_jvm=True) as stack:
        assert stack.state.ports | kept["ports"] == stack.state.ports
        assert stack.state.secrets | kept["secrets"] == stack.state.secrets
        assert f"{USER}_admin" in stack.state.ports
        for role in ROLES:
            with psycopg.connect(env.postgres_dsn(stack.state, role, "auditwire")) as db:
                assert db.execute("SELECT session_user").fetchone() == (role,)
        kafka = stack.servers["kafka"]
        assert isinstance(kafka, Kafka)
        until(lambda: bool(AdminClient(kafka.client(USER)).list_topics(timeout=5).brokers), otherwise="the new user may log in")


def _make_older(stack: Stack) -> None:
    postgres, kafka = stack.servers["postgres"], stack.servers["kafka"]
    assert isinstance(postgres, Postgres) and isinstance(kafka, Kafka)
    with psycopg.connect(postgres.dsn("postgres", "postgres"), autocommit=True) as db:
        for role in map(sql.Identifier, ROLES):
            db.execute(sql.SQL("REVOKE ALL ON DATABASE auditwire FROM {}").format(role))
            db.execute(sql.SQL("DROP ROLE {}").format(role))
    admin = AdminClient(kafka.client("admin"))
    for done in admin.alter_user_scram_credentials([UserScramCredentialDeletion(USER, ScramMechanism.SCRAM_SHA_512)]).values():
        done.result(15)


def _forget(directory: Path) -> dict[str, dict[str, object]]:
    path = directory / "state.json"
    old: dict[str, dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))
    del old["ports"][f"{USER}_admin"], old["secrets"][f"kafka_{USER}"]
    for role in ROLES:
        del old["secrets"][f"postgres_{role}"]
    state.private(path, json.dumps(old))
    return old

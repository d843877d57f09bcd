"""Servers are killed: their data stay, and what a server said before it died is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import httpx
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from infra.stack import Stack, StackError, env
from infra.stack.servers.clickhouse import ClickHouse
from infra.stack.servers.kafka import Kafka
from tests.integration.test_stack import s3


def in_postgres(stack: Stack) -> Callable[[], object]:
    dsn = env.postgres_dsn(stack.state, "auditwire", "auditwire")
    with psycopg.connect(dsn) as db:
        db.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")

    def read() -> object:
        with psycopg.connect(dsn) as db:
            return db.execute("SELECT count(*) FROM kept").fetchone()

    return read


def in_s3(stack: Stack) -> Callable[[], object]:
    client = s3(stack, "admin")
    client.create_bucket(Bucket="audit-archive", ObjectLockEnabledForBucket=True)
    client.put_object(Bucket="audit-archive", Key="kept", Body=b"x" * 100_000)

    def read() -> object:
        return client.get_object(Bucket="audit-archive", Key="kept")["Body"].read()

    return read


def in_clickhouse(stack: Stack) -> Callable[[], object]:
    clickhouse = cast(ClickHouse, stack.servers["clickhouse"])
    clickhouse.query("CREATE DATABASE audit", "admin")
    clickhouse.query("CREATE TABLE audit.kept (n UInt64) ENGINE = MergeTree ORDER BY n", "admin")
    clickhouse.query("INSERT INTO audit.kept SELECT number FROM numbers(1000)", "sink")
    return lambda: clickhouse.query("SELECT count() FROM audit.kept", "analyst")


def in_kafka(stack: Stack) -> Callable[[], object]:
    client = cast(Kafka, stack.servers["kafka"]).client("admin")
    admin = AdminClient(client)
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
    producer = Producer({**client, "acks": "all"})
    for _ in range(1000):
        producer.produce("kept", b"x")
    assert producer.flush(30) == 0

    def read() -> object:
        consumer = Consumer({**client, "group.id": "kept"})
        try:
            return admin.list_topics(timeout=20).cluster_id, consumer.get_watermark_offsets(TopicPartition("kept", 0), timeout=20)
        finally:
            consumer.close()

    return read


def in_registry(stack: Stack) -> Callable[[], object]:
    url = f"{stack.servers['registry'].endpoint}/subjects/kept/versions"
    kind = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    httpx.post(url, json={"schema": '{"type": "string"}'}, headers=kind).raise_for_status()
    return lambda: httpx.get(f"{url}/latest").json()["id"]


PUT = {"postgres": in_postgres, "s3": in_s3, "clickhouse": in_clickhouse, "kafka": in_kafka, "registry": in_registry}


@pytest.fixture(scope="module")
def kept(fault_stack: Stack) -> dict[str, tuple[Callable[[], object], object]]:
    """For each server: how to read what was put into it, and what that was."""
    readers = {name: put(fault_stack) for name, put in PUT.items()}
    return {name: (read, read()) for name, read in readers.items()}


@pytest.mark.parametrize("name", PUT)
def test_data_survive_kill(fault_stack: Stack, kept: dict[str, tuple[Callable[[], object], object]], name: str) -> None:
    old = fault_stack.pid(name)
    fault_stack.kill(name)
    assert fault_stack.pid(name) is None
    assert not fault_stack.answers(name)
    fault_stack.launch(name)
    fault_stack.wait(name)
    assert fault_stack.pid(name) not in (None, old)
    read, was = kept[name]
    assert read() == was


def test_data_survive_down_and_up(fault_stack: Stack, kept: dict[str, tuple[Callable[[], object], object]]) -> None:
    addresses = {n: s.endpoint for n, s in fault_stack.servers.items()}
    fault_stack.stop()
    fault_stack.start()
    assert addresses == {n: s.endpoint for n, s in fault_stack.servers.items()}
    assert {n: read() for n, (read, _) in kept.items()} == {n: was for n, (_, was) in kept.items()}


def test_two_stacks_run_side_by_side(fault_stack: Stack, stack: Stack) -> None:
    assert not set(fault_stack.state.ports.values()) & set(stack.state.ports.values())
    for name in PUT:
        assert fault_stack.answers(name)
        assert stack.answers(name)


def test_one_directory_runs_one_stack(fault_stack: Stack) -> None:
    with pytest.raises(StackError, match="already runs"):
        Stack(fault_stack.directory).start()


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Stack]:
    """Its PostgreSQL finds a configuration it cannot read."""
    with Stack(tmp_path / "broken", names=["postgres"]):
        pass
    with (tmp_path / "broken/postgres/postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    stack = Stack(tmp_path / "broken", names=["postgres"])
    yield stack
    stack.stop()


def test_a_server_that_dies_shows_its_log(broken: Stack) -> None:
    with pytest.raises(StackError, match=r"(?s)postgres ended with exit code 1.*no_such_setting"):
        broken.start()

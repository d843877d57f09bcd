"""Each Kafka user against topics, groups and transactional ids that are none of its business, in over 100 attempts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from infra.stack import state
from infra.stack.servers.kafka import Kafka
from tests.isolation import Watch, World
from tests.space import Space

USERS = tuple(user for user in state.KAFKA_USERS if user != "admin")
READERS = {
    "raw": {"processor"},
    "events": {"processor", "clickhouse-sink", "archive-sink", "operator"},
    "quarantine": {"operator"},
    "ledger": {"processor", "ledger-sink", "operator"},
    "reference": {"processor", "operator", "reference-publisher"},
    "rules": {"processor", "operator", "reference-publisher"},
}
WRITERS = {
    "raw": {"sdk", "ingest", "export", "operator", "reference-publisher", "retention"},
    "events": {"processor"},
    "quarantine": {"processor", "ingest"},
    "ledger": {"processor"},
    "reference": {"reference-publisher"},
    "rules": {"reference-publisher"},
}
MEMBERS = ("processor", "clickhouse-sink", "archive-sink", "ledger-sink", "operator", "reference-publisher")
TRANSACTIONAL = ("processor", "reference-publisher")
DENIED = {
    *(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED),
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space], world: World) -> Space:
    made = new_space()
    made.provision()
    producer = Producer(config(made, "admin"))
    for topic in READERS:
        for event in world.other[:20]:
            producer.produce(f"{made.name}.{topic}", event["message"].encode(), event["actor_id"].encode(), partition=0)
    assert producer.flush(60) == 0
    return made


def config(space: Space, user: str, **more: Any) -> dict[str, Any]:
    quiet = {"log_level": 0, "error_cb": lambda _: None}
    return {**cast(Kafka, space.stack.servers["kafka"]).client(user), **quiet, **more}


def denied(exc: KafkaException | KafkaError) -> str:
    """The code, where it says that the user may not; other errors are not refusals and are raised."""
    error = exc if isinstance(exc, KafkaError) else exc.args[0]
    if error.code() not in DENIED:
        raise KafkaException(error)
    return str(error.name())


def read(space: Space, user: str, topic: str) -> tuple[str, str]:
    """The first records of partition 0, or the refusal."""
    own = f"{space.name}-{user}"
    with closing(Consumer(config(space, user, **{"group.id": own, "enable.auto.commit": False}))) as consumer:
        name = f"{space.name}.{topic}"
        if (hidden := consumer.list_topics(name, timeout=30).topics[name].error) is not None:
            return denied(hidden), str(hidden)
        consumer.assign([TopicPartition(name, 0, 0)])
        message = consumer.poll(30)
        assert message is not None, f"{user} hears nothing of {topic}"
        if (error := message.error()) is not None:
            return denied(error), str(error)
        return "", f"{message.key()!r} {message.value()!r}"


def write(space: Space, user: str, topic: str) -> tuple[str, str]:
    said: list[KafkaError | None] = []
    producer = Producer(config(space, user, **{"message.timeout.ms": 30_000}))
    producer.produce(f"{space.name}.{topic}", b"x", partition=0, on_delivery=lambda error, _: said.append(error))
    assert producer.flush(40) == 0
    (error,) = said
    return ("", "written") if error is None else (denied(error), str(error))


def join(space: Space, user: str, group: str) -> tuple[str, str]:
    """Become a member of the group, which would take partitions from the part that it belongs to."""
    with closing(Consumer(config(space, user, **{"group.id": f"{space.name}-{group}", "enable.auto.commit": False}))) as consumer:
        joined: list[object] = []
        consumer.subscribe([f"{space.name}.events"], on_assign=lambda _, given: joined.append(given))
        deadline = time.monotonic() + 40
        while not joined and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            error = None if message is None else message.error()
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                return denied(error), str(error)
    assert joined, f"{user} hears nothing of {group}"
    return "", "joined"


def begin(space: Space, user: str, part: str) -> tuple[str, str]:
    """Use the transactional id of a part, which would fence it."""
    ids = {"transactional.id": f"{space.name}-{part}-{space.name}.raw-0", "transaction.timeout.ms": 10_000}
    try:
        Producer(config(space, user, **ids)).init_transactions(30)
    except KafkaException as exc:
        return denied(exc), str(exc)
    return "", "begun"


def manage(space: Space, user: str) -> Iterator[tuple[str, str]]:
    """Make, delete, unlock and shorten things."""
    admin = AdminClient(config(space, user))
    topic = f"{space.name}.quarantine"
    anybody = (f"User:{user}", "*", AclOperation.ALL, AclPermissionType.ALLOW)
    acl = AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, *anybody)
    shorter = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    futures = [
        admin.create_topics([NewTopic(f"{space.name}.mine", 1, 1)]),
        admin.delete_topics([topic]),
        admin.create_acls([acl]),
        admin.incremental_alter_configs([ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[shorter])]),
    ]
    for future in (f for of in futures for f in of.values()):
        try:
            future.result(30)
        except KafkaException as exc:
            yield denied(exc), str(exc)
        else:
            yield "", "done"


def attempts(space: Space, users: tuple[str, ...]) -> Iterator[tuple[str, str, str, tuple[str, str]]]:
    """Kind, user, what, and how it ended, of everything that the users may not."""
    for user in users:
        for topic, readers in READERS.items():
            if user not in readers:
                yield "Kafka reads a topic", user, topic, read(space, user, topic)
            if user not in WRITERS[topic]:
                yield "Kafka writes a topic", user, topic, write(space, user, topic)
        for group in MEMBERS:
            if user != group:
                yield "Kafka joins a group", user, group, join(space, user, group)
        for part in TRANSACTIONAL:
            if user != part:
                yield "Kafka takes a transactional id", user, part, begin(space, user, part)
        for number, ended in enumerate(manage(space, user)):
            yield "Kafka manages", user, str(number), ended


def test_no_user_gets_at_what_is_none_of_its_business(space: Space, world: World) -> None:
    watch, served = Watch(world.secrets()), list[tuple[str, str, str]]()
    for kind, user, what, (code, text) in attempts(space, USERS):
        watch.look(kind, code or "served", "", text)
        served += [] if code else [(kind, user, what)]
    print("\n" + watch.table())
    assert watch.leaks == []
    assert served == []
    assert watch.total > 100
    log = space.stack.log("kafka").read_text(encoding="utf-8", errors="replace")
    refused = [line for line in log.splitlines() if " is Denied operation" in line and space.name in line]
    assert [user for user in USERS if not any(f"User:{user} " in line for line in refused)] == [], "refusals leave no trace"


def test_who_may_read_reads_it(space: Space, world: World) -> None:
    """Negative control: the same attempt of users with the right, and of the administrator."""
    watch = Watch(world.secrets())
    cases = [*((u, t) for t, users in READERS.items() for u in users), ("admin", "raw"), ("admin", "quarantine")]
    for user, topic in cases:
        code, text = read(space, user, topic)
        assert code == "", (user, topic)
        watch.look(topic, "read", "", text)
    assert len(watch.leaks) == len(cases)

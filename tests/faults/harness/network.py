"""Requests and answers that do not arrive, arrive in part, or arrive when nobody expects them any more."""

from __future__ import annotations

import random
import signal
import time
from contextlib import closing

from confluent_kafka import Consumer, TopicPartition

from connectors.clickhouse.client import Client
from connectors.kafka import consumer_config
from connectors.ranges import Plan
from pipeline import settings
from tests.faults.harness.world import World, resume
from tests.wire import INSERT, PUT_OBJECT, Harm

STALL = 8.0
WIRES = ("kafka", "clickhouse", "s3", "registry")
NOTHING = "SELECT 77, now(), 'standard'"


def reset(world: World, dice: random.Random) -> str:
    """All connections to a server are reset, five times."""
    name = dice.choice(WIRES)
    broken = 0
    for _ in range(5):
        time.sleep(dice.uniform(0.1, 0.6))
        broken += world.wires[name].reset()
    return f"{broken} connections to {name}"


def stall(world: World, dice: random.Random) -> str:
    """Nothing moves to or from a server for eight seconds; connections stay open."""
    name = dice.choice(WIRES)
    world.wires[name].freeze()
    time.sleep(STALL)
    world.wires[name].thaw()
    return name


def _harmed(world: World, name: str, harm: Harm, marked: bytes, times: int = 2) -> str:
    """Order the harm and wait until it is done."""
    wire = world.wires[name]
    before = wire.harmed
    wire.order(harm, marked, times)
    try:
        world.until(lambda: wire.harmed >= before + times, 60, f"{name} was not asked {times} times")
    finally:
        wire.calm()
    return f"{harm}, {times} requests to {name}"


def lost_insert_answer(world: World, dice: random.Random) -> str:
    """ClickHouse applies an insert and its answer is lost, twice."""
    return _harmed(world, "clickhouse", "lose", INSERT)


def lost_put_answer(world: World, dice: random.Random) -> str:
    """The object store takes an object and its answer is lost, twice."""
    return _harmed(world, "s3", "lose", PUT_OBJECT)


def cut_answer(world: World, dice: random.Random) -> str:
    """Half of an answer arrives, three times."""
    name = dice.choice(("clickhouse", "s3"))
    return _harmed(world, name, "cut_answer", rb"^(POST|PUT|HEAD|GET)", 3)


def cut_request(world: World, dice: random.Random) -> str:
    """The server gets half of an insert or an object, twice."""
    name, marked = dice.choice((("clickhouse", INSERT), ("s3", PUT_OBJECT)))
    return _harmed(world, name, "cut_request", marked)


def lost_answer_then_killed(world: World, dice: random.Random) -> str:
    """A sink dies at the moment in which its store has applied what it sent and answers."""
    part, name, marked = dice.choice((("clickhouse-sink", "clickhouse", INSERT), ("archive-sink", "s3", PUT_OBJECT)))
    old, wire = world.pid(part), world.wires[name]
    before = wire.harmed
    wire.order("lose", marked, then=lambda: _kill(world, part))
    try:
        world.until(lambda: wire.harmed > before, 60, f"{name} was not asked")
    finally:
        wire.calm()
    world.back(part, old)
    return part


def _kill(world: World, part: str) -> None:
    world.send(part, signal.SIGKILL)


def _late(world: World, name: str, marked: bytes) -> str:
    """The request comes to the server after its sender has given it up, sent it again, and gone on."""
    _harmed(world, name, "hold", marked, 1)
    world.recover(90)
    (said,) = world.wires[name].deliver()
    return f"{name} answered {said.decode(errors='replace')[:60]}"


def late_insert(world: World, dice: random.Random) -> str:
    """An insert that was given up and repeated comes to ClickHouse after all."""
    return _late(world, "clickhouse", INSERT)


def late_put(world: World, dice: random.Random) -> str:
    """An object that was given up and sent again comes to the object store after all."""
    return _late(world, "s3", PUT_OBJECT)


def eaten_token(world: World, dice: random.Random) -> str:
    """ClickHouse has the token of an insert on record, but other rows, as after a kill between the two."""
    world.order("clickhouse-sink", "stop before_write")
    pid = world.pid(world.frozen("clickhouse-sink"))
    try:
        eaten = [_eat(world, plan) for plan in open_plans(world, "clickhouse-sink")]
    finally:
        resume(pid)
    world.recover(60)  # before the other rows go: an empty part takes its token with it after half a minute
    world.clickhouse("ALTER TABLE audit.events DELETE WHERE kafka_partition = 77 SETTINGS mutations_sync = 2")
    return f"{len(eaten)} tokens"


def open_plans(world: World, part: str) -> list[Plan]:
    """The ranges that a sink has planned and not closed."""
    asked = [TopicPartition("audit.events", partition) for partition in range(4)]
    with closing(Consumer(consumer_config(world.cluster(settings.Migrate), f"audit-{part}"))) as consumer:
        texts = [place.metadata or "" for place in consumer.committed(asked, timeout=20)]
    return [plan for text in texts if (plan := Plan.from_metadata(text)) is not None]


def _eat(world: World, plan: Plan) -> str:
    values = settings.load(settings.Migrate, world.direct)
    client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
    token = f"{plan.topic_id}/{plan.partition}/{plan.start}-{plan.end}/{plan.attempt}"
    sql = f"INSERT INTO events (kafka_partition, kafka_timestamp, processed_retention_class) {NOTHING}"
    client.command(sql, database="audit", insert_deduplication_token=token)
    client.close()
    return token


def window_of_one(world: World, dice: random.Random) -> str:
    """ClickHouse remembers one token only, while answers to inserts are lost."""
    setting = "ALTER TABLE audit.events MODIFY SETTING non_replicated_deduplication_window = "
    world.clickhouse(f"{setting}1")
    try:
        return _harmed(world, "clickhouse", "lose", INSERT)
    finally:
        world.clickhouse(f"{setting}10000")


FAULTS = {
    run.__name__: run
    for run in (
        reset,
        stall,
        lost_insert_answer,
        lost_put_answer,
        cut_answer,
        cut_request,
        lost_answer_then_killed,
        late_insert,
        late_put,
        eaten_token,
        window_of_one,
    )
}

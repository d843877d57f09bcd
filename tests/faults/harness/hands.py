"""What people do to a running system: move offsets, delete and recreate topics, let a newer producer in. All of it is refused
aloud, and where there is a way back it is the one that the refusal names.
"""

from __future__ import annotations

import json
import random
import re
import signal
import time
from contextlib import closing

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import schemas
from connectors import avro
from connectors.kafka import SILENT, consumer_config, producer_config
from pipeline import settings
from tests.faults.harness.inputs import frame
from tests.faults.harness.verdict import fsck, tool
from tests.faults.harness.world import World, resume
from tests.processing import batch, rows


def move(world: World, group: str, topic: str, partition: int, offset: int) -> None:
    """Commit an offset for a group from outside, which Kafka takes beside live members in a transaction."""
    cluster = world.cluster(settings.Migrate)
    producer = Producer(producer_config(cluster, transactional_id="audit-faults-hand"))
    producer.init_transactions(60)
    with closing(Consumer(consumer_config(cluster, group))) as consumer:
        producer.begin_transaction()
        places = [TopicPartition(topic, partition, offset)]
        producer.send_offsets_to_transaction(places, consumer.consumer_group_metadata(), 60)
        producer.commit_transaction(60)


def stands(world: World, group: str, topic: str, partition: int) -> int:
    """What a group has committed; while a killed member's transaction is open, Kafka says so only after its timeout."""
    with closing(Consumer(consumer_config(world.cluster(settings.Migrate), group))) as consumer:
        (place,) = consumer.committed([TopicPartition(topic, partition)], timeout=120)
    return int(place.offset)


def processor_offset_moved(world: World, dice: random.Random) -> str:
    """Somebody moves the processor's offset; it refuses to start, and goes on when it is put back as it says."""
    partition, step = dice.randrange(4), dice.choice((-7, 5))
    known = len(world.log("processor"))
    world.send("processor", signal.SIGKILL)
    world.order("processor", "stop pre_init")
    pid = world.pid(world.frozen("processor"))
    try:
        before = stands(world, "audit-processor", "audit.raw", partition)
        move(world, "audit-processor", "audit.raw", partition, max(0, before + step))
    finally:
        resume(pid)
    named = rf"audit\.raw\[{partition}\].*|audit\.ledger\[{partition}\] ends at raw offset (\d+)"
    world.until(lambda: _refusal(world.log("processor")[known:], named), 60, "the processor does not refuse")
    move(world, "audit-processor", "audit.raw", partition, before)
    world.back("processor", pid)
    return f"partition {partition} by {step}"


def _refusal(text: str, pattern: str) -> bool:
    return any(re.search(pattern, line) for line in text.splitlines() if "committed" in line)


def sink_offset_moved_back(world: World, dice: random.Random) -> str:
    """Somebody moves a sink's offset back; the partition stops, and goes on when it is put where the refusal says."""
    part, partition = dice.choice(("clickhouse-sink", "archive-sink")), dice.randrange(4)
    group = f"audit-{part}"
    with world.without(part):
        before = stands(world, group, "audit.events", partition)
        move(world, group, "audit.events", partition, before // 2)
    found: list[str] = []

    def said() -> bool:
        found[:] = re.findall(rf"audit\.events\[{partition}\].*commit (\d+) for this group", world.health(part))
        return bool(found)

    world.until(said, 90, f"{part} does not refuse")
    move(world, group, "audit.events", partition, int(found[0]))
    world.back(part, world.send(part, signal.SIGKILL))
    return f"{part} partition {partition} to {before // 2}"


def sink_offset_moved_ahead(world: World, dice: random.Random) -> str:
    """Somebody moves the ClickHouse sink's offset ahead; fsck names what is missing, `auditwired rebuild` stores it."""
    group, topic = "audit-clickhouse-sink", "audit.events"
    with world.without("clickhouse-sink"):
        time.sleep(dice.uniform(3.0, 5.0))
        ends = world.progress.ends("clickhouse-sink")
        behind = [end - stands(world, group, topic, partition) for partition, end in enumerate(ends)]
        partition = behind.index(max(behind))
        move(world, group, topic, partition, ends[partition])
    world.back("clickhouse-sink")
    world.recover(120)
    code, found = fsck(world)
    assert code == 1 and any("missing_in_clickhouse" in text for text in found), found
    done = tool(world, "rebuild", "clickhouse", "--partition", str(partition))
    assert done.returncode == 0, done.stderr[-2000:]
    return f"partition {partition} by {behind[partition]}"


FAULTS = {run.__name__: run for run in (processor_offset_moved, sink_offset_moved_back, sink_offset_moved_ahead)}


def raw_topic_recreated(world: World, dice: random.Random) -> str:
    """Somebody deletes and recreates the raw topic; the processor refuses to go on."""
    admin = AdminClient({**world.cluster(settings.Migrate).config(), **SILENT})
    known = len(world.log("processor"))
    world.send("processor", signal.SIGKILL)
    _recreate(world, admin, "audit.raw")
    pattern = r"audit\.raw\[\d\].*no committed offset.*deleted and created again"
    world.until(lambda: _refusal(world.log("processor")[known:], pattern), 90, "the processor does not refuse")
    return "audit.raw"


def clean_topic_recreated(world: World, dice: random.Random) -> str:
    """Somebody deletes and recreates the clean topic; both sinks stop and say so."""
    parts = ("clickhouse-sink", "archive-sink")
    known = {part: len(world.log(part)) for part in parts}
    admin = AdminClient({**world.cluster(settings.Migrate).config(), **SILENT})
    _recreate(world, admin, "audit.events")
    for part in parts:
        world.until(lambda part=part: "stopped: " in world.log(part)[known[part] :], 90, f"{part} does not stop")  # type: ignore[misc]
    return "audit.events"


def _recreate(world: World, admin: AdminClient, topic: str) -> None:
    for done in admin.delete_topics([topic]).values():
        done.result(30)
    world.until(lambda: topic not in admin.list_topics(timeout=10).topics, 30, f"{topic} is still there")
    for done in admin.create_topics([NewTopic(topic, 4, 1)]).values():
        done.result(30)


def newer_schema(world: World, dice: random.Random) -> str:
    """Events with a field that this release does not know; the partition waits for a newer processor and loses nothing."""
    newer = json.loads(schemas.schema_text("audit_event"))
    newer["fields"].append({"name": "of_the_future", "type": "string", "default": ""})
    head = frame(world, json.dumps(newer))
    producer = Producer(producer_config(world.cluster(settings.Migrate)))
    for body in avro.encode(batch(rows(5, dice.randrange(10**12)))):
        producer.produce("audit.raw", head + body + b"\0", partition=0)
    assert producer.flush(30) == 0
    world.until(lambda: "Upgrade the processor" in world.health("processor"), 60, "the processor does not say it")
    time.sleep(2.0)
    return "partition 0 waits"


LAST = {run.__name__: run for run in (raw_topic_recreated, clean_topic_recreated, newer_schema)}

"""Processes that are killed, frozen or crowded out, and disks that fill up."""

from __future__ import annotations

import random
import signal
import time

from tests import mounts
from tests.faults.harness.world import SESSION_SECONDS, World, resume

PROCESSOR = ("pre_init", "init", "begun", "mid", "produced", "offsets", "committed")
CLICKHOUSE = ("before_plan", "planned", "before_write", "mid_write", "written", "proved", "committed")
ARCHIVE = ("before_plan", "planned", "before_object", "before_manifest", "written", "proved", "committed")
POINTS = {"processor": PROCESSOR, "clickhouse-sink": CLICKHOUSE, "archive-sink": ARCHIVE}
FREEZE = SESSION_SECONDS + 3.0


def _kill_at(world: World, part: str, point: str) -> str:
    old = world.pid(part)
    if point in ("pre_init", "init"):  # reached when a session opens, and that one is open
        world.send(part, signal.SIGKILL)
    world.order(part, f"kill {point}")
    world.back(part, old)
    return f"{part} at {point}"


def kill_processor_at_point(world: World, dice: random.Random) -> str:
    """SIGKILL of the processor at a named point."""
    return _kill_at(world, "processor", dice.choice(PROCESSOR))


def kill_clickhouse_sink_at_point(world: World, dice: random.Random) -> str:
    """SIGKILL of the ClickHouse sink at a named point."""
    return _kill_at(world, "clickhouse-sink", dice.choice(CLICKHOUSE))


def kill_archive_sink_at_point(world: World, dice: random.Random) -> str:
    """SIGKILL of the archive sink at a named point."""
    return _kill_at(world, "archive-sink", dice.choice(ARCHIVE))


def _zombie(world: World, part: str, point: str) -> str:
    """Frozen inside its work beyond the session timeout; the spare takes over and works; then it wakes up."""
    with world.spare(part):
        world.order(part, f"stop {point}")
        holder = world.frozen(part, world.spares[part])
        pid = world.pid(holder)
        try:
            time.sleep(FREEZE)
        finally:
            resume(pid)
        world.back(holder)
        time.sleep(1.0)
    return f"{part} at {point}"


def zombie_processor(world: World, dice: random.Random) -> str:
    """SIGSTOP of a processor at a named point beyond the session timeout while another works, then SIGCONT."""
    return _zombie(world, "processor", dice.choice(PROCESSOR[2:]))


def zombie_clickhouse_sink(world: World, dice: random.Random) -> str:
    """SIGSTOP of a ClickHouse sink at a named point beyond the session timeout while another works, then SIGCONT."""
    return _zombie(world, "clickhouse-sink", dice.choice(CLICKHOUSE))


def zombie_archive_sink(world: World, dice: random.Random) -> str:
    """SIGSTOP of an archive sink at a named point beyond the session timeout while another works, then SIGCONT."""
    return _zombie(world, "archive-sink", dice.choice(ARCHIVE))


def freeze_part(world: World, dice: random.Random) -> str:
    """SIGSTOP of a part at any moment beyond its session timeout, then SIGCONT."""
    part = dice.choice(("ingest", "ledger-sink", *POINTS))
    pid = world.send(part, signal.SIGSTOP)
    try:
        time.sleep(FREEZE)
    finally:
        resume(pid)
    world.back(part)
    return part


def rebalance_storm(world: World, dice: random.Random) -> str:
    """A second instance comes and goes three times, once by SIGKILL."""
    part = dice.choice(tuple(POINTS))
    killed = dice.randrange(3)
    for turn in range(3):
        with world.spare(part) as name:
            time.sleep(dice.uniform(0.2, 2.0))
            if turn == killed:
                world.stack.kill(name)
    return part


def kill_part(world: World, dice: random.Random) -> str:
    """SIGKILL of the receiver or the ledger sink at any moment."""
    return _kill_server(world, dice.choice(("ingest", "ledger-sink")))


def kill_producer(world: World, dice: random.Random) -> str:
    """SIGKILL of the process that produces; another takes its place."""
    world.load.kill()
    world.load.start()
    return f"producer {world.load.serial - 1}"


def _kill_server(world: World, name: str) -> str:
    world.back(name, world.send(name, signal.SIGKILL))
    return name


def kill_kafka(world: World, dice: random.Random) -> str:
    """SIGKILL of the broker."""
    return _kill_server(world, "kafka")


def kill_clickhouse(world: World, dice: random.Random) -> str:
    """SIGKILL of ClickHouse."""
    return _kill_server(world, "clickhouse")


def kill_s3(world: World, dice: random.Random) -> str:
    """SIGKILL of the object store."""
    return _kill_server(world, "s3")


def kill_registry(world: World, dice: random.Random) -> str:
    """SIGKILL of the schema registry, and of the processor, which then has to wait for it."""
    old = world.send("registry", signal.SIGKILL)
    _kill_server(world, "processor")
    world.back("registry", old)
    return "registry and processor"


def kill_postgres(world: World, dice: random.Random) -> str:
    """SIGKILL of PostgreSQL, on which the registry stands."""
    return _kill_server(world, "postgres")


def freeze_kafka(world: World, dice: random.Random) -> str:
    """SIGSTOP of the broker beyond the session timeouts, then SIGCONT."""
    pid = world.send("kafka", signal.SIGSTOP)
    try:
        time.sleep(FREEZE)
    finally:
        resume(pid)
    world.back("kafka")
    return "kafka"


def full_disk(world: World, dice: random.Random) -> str:
    """The archive sink's temporary folder is full for six seconds."""
    if not mounts.possible():
        return "not on this machine, which lets nobody mount a small disk"
    world.order("archive-sink", "fill 6")
    time.sleep(7.0)
    world.back("archive-sink")
    return "archive-sink"


FAULTS = {
    run.__name__: run
    for run in (
        kill_processor_at_point,
        kill_clickhouse_sink_at_point,
        kill_archive_sink_at_point,
        zombie_processor,
        zombie_clickhouse_sink,
        zombie_archive_sink,
        freeze_part,
        rebalance_storm,
        kill_part,
        kill_producer,
        kill_kafka,
        kill_clickhouse,
        kill_s3,
        kill_registry,
        kill_postgres,
        freeze_kafka,
        full_disk,
    )
}

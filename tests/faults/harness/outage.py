"""A server is away under load for minutes: does memory stay flat, is nothing lost, how fast is what waited caught up with?"""

from __future__ import annotations

import time
from typing import Any

from bench.watch import Memory
from tests.faults.harness.verdict import verdict
from tests.faults.harness.world import PARTS, World

WARM_UP, EVERY = 20.0, 5.0


def _pids(world: World) -> dict[str, int | None]:
    producer = world.load.process.pid if world.load.process else None
    return {**{part: world.stack.pid(part) for part in PARTS}, "producer": producer}


def _watch(memory: Memory, seconds: float) -> None:
    """Look every few seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        memory.look()
        time.sleep(min(EVERY, max(0.1, end - time.monotonic())))


def outage(world: World, server: str, minutes: float, patience: float) -> dict[str, Any]:
    """The record of it; ``ok`` when everything that was acknowledged is stored once."""
    memory = Memory(lambda: _pids(world))
    _watch(memory, WARM_UP)
    before = _stored(world)
    with world.without(server):
        begin = time.monotonic()
        _watch(memory, minutes * 60)
        end = time.monotonic()
    world.back(server, seconds=patience)
    back, waited_for, behind = time.monotonic(), _stored(world), max(world.progress.behind().values())
    world.recover(patience)
    caught_up = time.monotonic() - back
    rate = max(_stored(world) - waited_for, behind) / max(caught_up, 0.1)  # what waited in spools, or in Kafka
    _watch(memory, WARM_UP)
    counts = world.load.tell("pause")
    world.sent_on("ingest", patience)
    world.recover(patience)
    found = verdict(world)
    return {
        "server": server,
        "minutes": minutes,
        "memory": memory.between(begin, end),
        "stored_during_outage": waited_for - before,
        "answers_after": round(back - end, 1),
        "caught_up_after": round(caught_up, 1),
        "caught_up_a_second": round(rate, 1),
        "producers": counts,
        "verdict": found.as_json(),
        "ok": found.holds,
    }


def _stored(world: World) -> int:
    """Events in ClickHouse; where that is away, what the ClickHouse sink's group has done."""
    try:
        return int(world.clickhouse("SELECT count() FROM audit.events"))
    except OSError:
        return world.progress.series["clickhouse-sink"][-1][1] if world.progress.series["clickhouse-sink"] else 0


def lines(record: dict[str, Any]) -> list[str]:
    """The record for people."""
    made = [f"{record['server']} away for {record['minutes']:g} minutes: {'held' if record['ok'] else 'RED'}"]
    for name, sizes in record["memory"].items():
        made.append(
            f"  {name:16} MB first {sizes['first']:7.1f} most {sizes['most']:7.1f} last {sizes['last']:7.1f}"
            f" {sizes['growth_a_minute']:+.1f} a minute in the second half"
        )
    made.append(
        f"  answers {record['answers_after']} s after it was let back, caught up in {record['caught_up_after']} s more"
        f" ({record['caught_up_a_second']:.0f} events a second)"
    )
    return [*made, f"  producers: {record['producers']}", f"  {record['verdict']}"]

"""500 planted values are found nowhere in the open but in the raw topic: stores, topics, logs, metrics, names, digests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.kafka_admin import catalogue
from tests import archive_bucket
from tests.canaries import Canary, canaries, found, needles
from tests.export_service import clickhouse
from tests.parts import PartProcess
from tests.processing import PARTITIONS, bodies, event_frame, produce, read_all, rows
from tests.space import Space
from tests.waiting import until

PARTS = ("ingest", "processor", "clickhouse-sink", "archive-sink", "ledger-sink")
CONTENT = ("message", "prompt", "response", "reason", "tool_args", "tool_result", "error_message", "target_details")
OTHERS = ("tool_name", "session_id", "actor_name", "entity_path")
SENT, REJECTED = 400, 100
WAYS = 5  # content, a fact or personal column (secrets only), an attribute, the receiver, an event that is rejected


@dataclass
class World:
    """A pipeline that has processed every canary."""

    space: Space
    planted: list[Canary]
    parts: dict[str, PartProcess] = field(default_factory=dict)

    @property
    def wanted(self) -> dict[str, str]:
        return needles(canary.value for canary in self.planted)


def event(number: int, canary: Canary) -> dict[str, Any]:
    """The canary's event, by the way it takes."""
    way = number % WAYS
    if way == 1 and not canary.personal:
        return {OTHERS[number % len(OTHERS)]: canary.text}
    if way == 2:
        return {"attributes": [{"key": "note", "value": canary.text}]}
    if way == 4:
        return {"event_id": "no uuid", "message": canary.text}
    return {CONTENT[number % len(CONTENT)]: canary.text}


def send(world: World) -> None:
    frame, received, sent = event_frame(world.space), [], []
    for number, canary in enumerate(world.planted):
        if number % WAYS == 3:
            received.append({"event_type": "tool.invoked", "occurred_at": "2026-11-02T10:00:00Z", "message": canary.text})
        else:
            (body,) = bodies(rows(1, number, **event(number, canary)))
            sent.append((number % PARTITIONS, frame + body))
    produce(world.space, sent)
    token = world.space.stack.state.secrets["ingest_token"]
    url = f"http://{world.space.env['AUDITWIRE_INGEST_LISTEN']}/v1/events"
    httpx.post(url, headers={"Authorization": f"Bearer {token}"}, json=received, timeout=60).raise_for_status()


@pytest.fixture(scope="module")
def world(new_space: Callable[[], Space]) -> Iterator[World]:
    space = new_space()
    space.provision()
    made = World(space, canaries())
    with ExitStack() as stack:
        for name in PARTS:
            made.parts[name] = stack.enter_context(PartProcess(space, name))
        for part in made.parts.values():
            until(part.healthy, 60, part.story)
        send(made)
        with clickhouse(space) as client:
            count = f"SELECT (SELECT count() FROM `{space.name}`.events), (SELECT sum(clean) FROM `{space.name}`.ledger)"
            until(lambda: client.rows(count) == [[SENT, SENT]], 90, made.parts["clickhouse-sink"].story)
        until(lambda: archived(space) == SENT, 90, made.parts["archive-sink"].story)
        yield made


def objects(space: Space) -> Iterator[tuple[str, bytes]]:
    bucket = archive_bucket.bucket(space, "admin")
    for version in bucket.versions(""):
        yield version.key, bucket.read(version.key)


def archived(space: Space) -> int:
    return sum(
        pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows for key, data in objects(space) if key.endswith(".parquet")
    )


def topics(space: Space) -> Iterator[tuple[str, bytes]]:
    """Whole records of every topic but the raw one."""
    for name, topic in catalogue(space.name)["topics"].items():
        short = name.removeprefix(f"{space.name}.")
        if short != "raw":
            yield (
                f"topic {short}",
                b"\n".join(
                    repr((r.key, r.headers)).encode() + (r.value or b"")
                    for p in range(int(topic.get("partitions", PARTITIONS)))
                    for r in read_all(space, short, p)
                ),
            )


def tables(space: Space) -> Iterator[tuple[str, bytes]]:
    """Every row of every table, as JSON and as stored bytes."""
    with clickhouse(space) as client:
        of = "SELECT name FROM system.tables WHERE database = {database:String} AND engine NOT LIKE '%View'"
        for (name,) in client.rows(of, {"database": space.name}):
            held = client.rows(f"SELECT * FROM `{space.name}`.`{name}`")
            yield f"table {name}", json.dumps(held, ensure_ascii=False).encode()


def places(world: World) -> dict[str, bytes]:
    """Everything that the pipeline wrote anywhere, but for the raw topic."""
    made = dict([*topics(world.space), *tables(world.space)])
    for key, data in objects(world.space):
        made[f"object {key}"] = key.encode() + data
        if key.endswith(".parquet"):
            made[f"rows of {key}"] = json.dumps(pq.read_table(pa.BufferReader(data)).to_pylist(), default=str).encode()
    for name, part in world.parts.items():
        made[f"log of {name}"] = part.text().encode()
        made[f"metrics of {name}"] = (part.get("/metrics")[1] + part.get("/healthz")[1]).encode()
    return made


def test_nothing_but_the_raw_topic_gives_a_planted_value_away(world: World) -> None:
    searched = places(world)
    assert {"topic events", "topic quarantine", "topic ledger", "table events", "log of processor"} <= searched.keys()
    assert found(searched, world.wanted) == {}


def test_the_search_finds_every_value_in_the_raw_topic(world: World) -> None:
    """Negative control: there they are, rejected and received ones too."""
    raw = b"\n".join(record.value or b"" for p in range(PARTITIONS) for record in read_all(world.space, "raw", p))
    assert found({"raw": raw}, world.wanted) == {"raw": sorted(canary.value for canary in world.planted)}


def test_rejected_originals_are_kept_sealed(world: World) -> None:
    held = [record for p in range(PARTITIONS) for record in read_all(world.space, "quarantine", p)]
    assert len(held) == REJECTED

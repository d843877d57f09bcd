"""What comes in: twice, from clones, in aborted transactions, in older schemas; and a consumer or broker that breaks its word."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from confluent_kafka import Producer

import schemas
from connectors import avro
from connectors.kafka import producer_config
from connectors.registry import RegistryError, SchemaRegistry
from infra.stack.stack import CHECKOUT
from pipeline import settings
from tests.faults.harness.world import World
from tests.processing import batch, rows

SUBJECT = "audit.raw-value"


def second_receiver(world: World, dice: random.Random) -> str:
    """The last requests are delivered once more through another receiver."""
    with world.spare("ingest"):
        url = f"http://{world.spare_environment('ingest')['AUDITWIRE_INGEST_LISTEN']}"
        taken = world.load.tell(f"again 20 {url}")["taken"]
        world.sent_on(world.spares["ingest"], 60)
    return f"{taken} requests"


def cloned_producer(world: World, dice: random.Random) -> str:
    """A producer's process is copied: two use the same identity and the same sequence numbers."""
    claims = world.folder / f"claims-clone-{time.monotonic_ns()}.txt"
    argv = [sys.executable, "-m", "tests.faults.harness.clone", str(claims)]
    done = subprocess.run(
        argv,
        env={**os.environ, **{k: v for k, v in world.load.env.items() if "SPOOL" not in k}},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return "two processes, 20 events each"


def frame(world: World, schema: str) -> bytes:
    """The five bytes before every event of that schema. A registry whose database was killed a moment ago is asked again."""
    deadline = time.monotonic() + 60
    with closing(SchemaRegistry(world.direct["AUDITWIRE_SCHEMA_REGISTRY_URL"])) as registry:
        while True:
            try:
                return avro.frame(registry.register(SUBJECT, schema))
            except RegistryError as exc:
                if exc.status not in (0, 500, 503) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def write_raw(world: World, events: Sequence[dict[str, Any]], schema: str, *, commit: bool) -> None:
    """Events into the raw topic in one transaction, in the frame of that schema; committed ones are claimed."""
    head = frame(world, schema)
    names = [field["name"] for field in json.loads(schema)["fields"]]
    bodies = avro.encode(batch(events).select(names), schema)
    config = producer_config(world.cluster(settings.Migrate), transactional_id="audit-faults-input")
    producer = Producer(config)
    producer.init_transactions(60)
    producer.begin_transaction()
    for number, body in enumerate(bodies):
        producer.produce("audit.raw", head + body, key=b"faults", partition=number % 4)
    producer.flush(60)
    if not commit:
        producer.abort_transaction(60)
        return
    with (world.folder / f"claims-raw-{time.monotonic_ns()}.txt").open("w") as file:
        file.writelines(f"attempted {e['tenant_id']} {e['event_id']}\n" for e in events)
        producer.commit_transaction(60)
        file.writelines(f"acknowledged {e['tenant_id']} {e['event_id']}\n" for e in events)


def aborted_input(world: World, dice: random.Random) -> str:
    """A transaction of 40 events into the raw topic is aborted, one of 20 is committed."""
    start, schema = dice.randrange(10**12), schemas.schema_text("audit_event")
    write_raw(world, rows(40, start), schema, commit=False)
    write_raw(world, rows(20, start + 40), schema, commit=True)
    return "40 aborted, 20 committed"


def older_schema(world: World, dice: random.Random) -> str:
    """Twenty events of producers that know an older schema."""
    released = schemas.released("audit_event")
    number = dice.randrange(len(released))
    write_raw(world, rows(20, dice.randrange(10**12)), released[number], commit=True)
    return f"{len(json.loads(released[number])['fields'])} fields"


def faust_lies(world: World, dice: random.Random) -> str:
    """The consumer loses, doubles and delays 40 chunks."""
    world.order("processor", "lie 40")
    time.sleep(6.0)
    return "40 chunks"


def failed_commit(world: World, dice: random.Random) -> str:
    """A transaction fails after its records were judged; the same process goes on."""
    world.order("processor", "fail produced")
    return "processor"


FAULTS = {run.__name__: run for run in (second_receiver, cloned_producer, aborted_input, older_schema, faust_lies, failed_commit)}

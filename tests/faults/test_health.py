"""/healthz turns 503 when a part stalls, names what it waits for, and 200 again when that is over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from connectors.archive import Archive
from connectors.clickhouse.client import Client
from connectors.clickhouse.store import ClickHouseStore
from connectors.kafka_partitions import KafkaPartitions
from connectors.ranges import Store
from connectors.registry import SchemaRegistry
from connectors.s3 import Bucket
from connectors.spill import SpillFolder
from infra.stack import Stack
from pipeline import settings
from pipeline.lane import EXIT_STUCK
from pipeline.sink import archive, clickhouse
from pipeline.sink.decode import Decoder
from pipeline.sink.gather import Limits
from pipeline.sink.lane import Parts
from pipeline.sink.loop import Loop
from tests import space
from tests.parts import PartProcess
from tests.processing import bodies, event_frame, produce, rows
from tests.sinks import CleanTopic
from tests.space import Space
from tests.waiting import until
from tests.wire import Wire

pytestmark = pytest.mark.timeout(400)
STALLED = 4.0


@contextmanager
def sink(log: KafkaPartitions, store: Store, one: Space) -> Iterator[Loop]:
    """A sink in a thread of this process, which calls itself stalled after a few seconds."""
    registry, stop = SchemaRegistry(one.env["AUDITWIRE_SCHEMA_REGISTRY_URL"]), threading.Event()
    loop = Loop(Parts(log, store, Decoder(registry), Limits(1000, 1 << 20, 0.2)), grace=2.0, stalled=STALLED)
    log.subscribe(loop)
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    try:
        yield loop
    finally:
        stop.set()
        thread.join(60)
        registry.close()


def stalls_and_recovers(topic: CleanTopic, loop: Loop, relay: Wire, part: str) -> None:
    group = f"{topic.space.name}-{part}"
    topic.write(20, partitions=(0,))
    until(lambda: loop.healthy() is None and topic.committed(group).get(0, 0) >= 20, 60, lambda: str(loop.healthy()))
    relay.freeze()
    topic.write(20, partitions=(0,))
    until(lambda: "has made no progress for" in (loop.healthy() or ""), 60, lambda: str(loop.healthy()))
    assert f"{topic.name}[0]" in (loop.healthy() or "")
    relay.thaw()
    end = max(offset for partition, offset, _ in topic.records() if partition == 0) + 1
    until(lambda: topic.committed(group).get(0, 0) >= end, 120, lambda: str(loop.healthy()))
    until(lambda: loop.healthy() is None, 30, lambda: str(loop.healthy()))


def test_a_frozen_clickhouse_is_a_stall(provisioned: Space) -> None:
    with Wire(provisioned.env["AUDITWIRE_CLICKHOUSE_URL"]) as relay:
        values = provisioned.settings(settings.ClickHouseSink, CLICKHOUSE_URL=relay.url)
        client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value(), 10)
        with sink(clickhouse._log(values), ClickHouseStore(client, values.namespace), provisioned) as loop:
            stalls_and_recovers(CleanTopic(provisioned), loop, relay, "clickhouse-sink")
        client.close()


def test_a_frozen_s3_is_a_stall(provisioned: Space) -> None:
    with Wire(provisioned.env["AUDITWIRE_S3_ENDPOINT"]) as relay, ExitStack() as stack:
        values = provisioned.settings(settings.ArchiveSink, S3_ENDPOINT=relay.url)
        secret = values.s3_secret_access_key.get_secret_value()
        bucket = Bucket(relay.url, values.s3_region, values.s3_bucket, values.s3_access_key_id, secret, timeout=5)
        spill = stack.enter_context(SpillFolder(provisioned.folder / "spill-health", 1 << 30))
        loop = stack.enter_context(sink(archive._log(values), Archive(bucket, spill), provisioned))
        stalls_and_recovers(CleanTopic(provisioned), loop, relay, "archive-sink")


def test_a_frozen_postgresql_is_said_by_the_export_service(provisioned: Space) -> None:
    dsn = provisioned.env["AUDITWIRE_EXPORT_POSTGRES_DSN"]
    address = dsn.rpartition("@")[2].partition("/")[0]
    with Wire(address) as relay:
        through = dsn.replace(address, f"127.0.0.1:{relay.port}")
        with PartProcess(provisioned, "export", EXPORT_POSTGRES_DSN=through) as part:
            until(part.healthy, 60, part.story)
            relay.freeze()
            until(lambda: part.health()[0] == 503, 60, part.story)
            assert "PostgreSQL" in part.health()[1]
            relay.thaw()
            until(part.healthy, 60, part.story)


@pytest.fixture(scope="module")
def own(fault_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    one = space.claim(fault_stack, tmp_path_factory.mktemp("spaces"))
    one.provision()
    yield one
    one.drop()


def test_kafka_away_is_said_by_every_part_that_needs_it(own: Space, fault_stack: Stack) -> None:
    with ExitStack() as stack:
        names = ("ingest", "clickhouse-sink", "archive-sink", "ledger-sink", "lag-exporter")
        parts = [stack.enter_context(PartProcess(own, name)) for name in names]
        parts.append(stack.enter_context(processor(own)))
        for part in parts:
            until(part.healthy, 90, part.story)
        fault_stack.kill("kafka")
        try:
            send_in_vain(own)
            for part in parts:
                says(part)
        finally:
            fault_stack.launch("kafka")
            fault_stack.wait("kafka")
        if gave_up(parts[-1]):
            parts[-1] = stack.enter_context(processor(own))
        for part in parts:
            until(part.healthy, 150, part.story)
            assert part.lines() is not None, "in an outage too every line is JSON"


def processor(one: Space) -> PartProcess:
    return PartProcess(one, "processor", ("tests.faults.worker",), TEST_STALLED=8)


def gave_up(part: PartProcess) -> bool:
    """It ended with the code that asks its supervisor to start it again, as a processor may when its group is gone."""
    return part.part == "processor" and part.process.poll() == EXIT_STUCK


def says(part: PartProcess) -> None:
    """It names Kafka's address, or says that a call of the client hangs: then Kafka is to be looked at."""
    until(lambda: gave_up(part) or part.health()[0] == 503, 150, part.story)
    said = part.health()[1]
    assert gave_up(part) or part.env["AUDITWIRE_KAFKA_BOOTSTRAP"] in said or "look at Kafka first" in said, part.story()


def send_in_vain(one: Space) -> None:
    """The receiver notices an outage with the first request."""
    token = one.stack.state.secrets["ingest_token"]
    event = [{"event_type": "tool.invoked", "occurred_at": "2026-01-31T12:00:00Z"}]
    url = f"http://{one.env['AUDITWIRE_INGEST_LISTEN']}/v1/events"
    answer = httpx.post(url, json=event, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert answer.status_code == 503


def test_a_partition_that_does_not_move_is_a_stall_of_the_processor(new_space: Callable[[], Space]) -> None:
    """The registry is frozen: a record of an unseen schema id waits, and the health check says so until it moves on."""
    one = new_space()
    one.provision()
    url = one.env["AUDITWIRE_SCHEMA_REGISTRY_URL"]
    with Wire(url) as relay:
        through = url.replace(url.split("/")[2], f"127.0.0.1:{relay.port}")
        with PartProcess(one, "processor", ("tests.faults.worker",), SCHEMA_REGISTRY_URL=through, TEST_STALLED=8) as part:
            until(part.healthy, 60, part.story)
            relay.freeze()
            produce(one, [(0, event_frame(one) + bodies(rows(1))[0])])
            until(lambda: "has not moved for" in part.health()[1], 90, part.story)
            relay.thaw()
            until(part.healthy, 90, part.story)

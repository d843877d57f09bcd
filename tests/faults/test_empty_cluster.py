"""A broker that its controller has fenced, as after minutes without the processor, tells its clients that there are no brokers.

They forget every address then. The receiver stood at 503 until it was restarted; consumers would have stood still likewise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import cast

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka import Cluster, Config, Secret, producer_config
from connectors.kafka_lanes import GroupOffsets
from connectors.outbox import KafkaOutbox, NotConfirmed, Record
from infra.stack import Stack
from infra.stack.servers.kafka import Kafka
from tests.kafka_wire import EmptyMetadata
from tests.waiting import until

TOPIC = "empty"


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmptyMetadata, Cluster]]:
    """A broker behind a wire, and how to get there."""
    stack = Stack(tmp_path_factory.mktemp("empty"), names=("kafka",), fast_jvm=True)
    with EmptyMetadata(stack.state.ports["kafka"]) as one:
        stack.place.advertised["kafka"] = one.port
        with stack:
            admin = AdminClient({**cast(Kafka, stack.servers["kafka"]).client("admin"), "log_level": 0})
            admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
            secret = Secret(stack.state.secrets["kafka_admin"])
            yield one, Cluster(f"127.0.0.1:{one.port}", "SASL_PLAINTEXT", "SCRAM-SHA-512", "admin", secret)


async def _sent(outbox: KafkaOutbox) -> bool:
    try:
        await outbox.send([Record(TOPIC, b"", b"a record")], lambda: None)
    except NotConfirmed:
        return False
    return True


async def sent_after_all(wire: EmptyMetadata, config: Config, seconds: float) -> bool:
    """Whether an outbox sends again within so many seconds after it heard that there are no brokers."""
    outbox = KafkaOutbox(config, bound_seconds=2.0)
    try:
        assert await _sent(outbox)
        emptied = wire.emptied
        wire.forget()
        while await _sent(outbox) or wire.emptied == emptied:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        wire.remember()
        began = time.monotonic()
        while not (sent := await _sent(outbox)) and time.monotonic() - began < seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return sent
    finally:
        wire.remember()
        await asyncio.to_thread(outbox.close, 0.1)


def test_the_receiver_sends_again(wire: tuple[EmptyMetadata, Cluster]) -> None:
    assert asyncio.run(sent_after_all(wire[0], producer_config(wire[1]), 20))


def test_a_client_that_never_bootstraps_again_is_lost(wire: tuple[EmptyMetadata, Cluster]) -> None:
    """Negative control."""
    never = {**producer_config(wire[1]), "metadata.recovery.strategy": "none"}
    assert not asyncio.run(sent_after_all(wire[0], never, 10))


def test_a_consumer_asks_again(wire: tuple[EmptyMetadata, Cluster]) -> None:
    broker, cluster = wire
    offsets = GroupOffsets(cluster, "empty")

    def answers() -> bool:
        try:
            return offsets.watermarks(TOPIC, 0)[0] == 0
        except KafkaException:
            return False

    until(answers, 30)
    broker.forget()
    until(lambda: not answers(), 60)
    broker.remember()
    until(answers, 30)
    offsets.close()

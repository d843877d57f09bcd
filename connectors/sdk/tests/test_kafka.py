"""The SDK against a real broker and a real registry."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from auditwire import (
    AuditClient,
    AuditEvent,
    ConfigurationError,
    DeliveryError,
    DeliveryTimeoutError,
    KafkaTransport,
    Position,
    RegistryError,
)
from auditwire.testing import decode
from tests.space import Space


def stored_at(space: Space, position: Position) -> tuple[bytes, bytes]:
    """Key and value of the record at a position, read by a consumer of its own."""
    consumer = Consumer(
        {
            "bootstrap.servers": space.env["AUDITWIRE_KAFKA_BOOTSTRAP"],
            "security.protocol": space.env["AUDITWIRE_KAFKA_SECURITY_PROTOCOL"],
            "sasl.mechanism": space.env["AUDITWIRE_KAFKA_SASL_MECHANISM"],
            "sasl.username": space.env["AUDITWIRE_PROCESSOR_KAFKA_USERNAME"],
            "sasl.password": space.env["AUDITWIRE_PROCESSOR_KAFKA_PASSWORD"],
            "group.id": f"{space.name}-processor",
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.assign([TopicPartition(position.topic, position.partition, position.offset)])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        assert message.offset() == position.offset
        return message.key(), message.value()
    finally:
        consumer.close()


def test_an_event_is_stored_where_the_receipt_says(space: Space, env: dict[str, str], event: AuditEvent) -> None:
    with AuditClient.from_env("checkout", env=env, tenant="acme") as client:
        receipt = client.record(event)
        position = receipt.wait(60)
        key, value = stored_at(space, position)
        assert key == f"acme/{client.producer_id}/best_effort".encode()
    assert value[0] == 0
    stored = decode(value[5:])
    assert (stored["tenant_id"], stored["tool_name"], stored["event_id"], stored["sequence"]) == (
        "acme",
        "search",
        receipt.event_id,
        0,
    )


def murmur2(data: bytes) -> int:
    """Kafka's hash of a key, as its Java client has it."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def test_a_key_goes_to_the_partition_that_every_client_gives_it(env: dict[str, str]) -> None:
    seen = set()
    with AuditClient.from_env("checkout", env=env) as client:
        for tenant in ("acme", "globex", "initech", "umbrella", "hooli", "wayne", "stark", "wonka"):
            position = client.record(AuditEvent(event_type="x", tenant_id=tenant)).wait(60)
            assert position.partition == murmur2(f"{tenant}/{client.producer_id}/best_effort".encode()) % 4
            seen.add(position.partition)
    assert len(seen) > 1


def told(transport: KafkaTransport) -> str:
    """The transport's problem, once it has noticed one."""
    end = time.monotonic() + 60
    while not transport.problem and time.monotonic() < end:
        time.sleep(0.01)
    return transport.problem


def test_wrong_password_is_named_and_not_called_unreachable(kafka: Callable[..., KafkaTransport], event: AuditEvent) -> None:
    transport = kafka(password="not-the-password")
    receipt = AuditClient(transport, service="checkout", tenant="acme").record(event)
    assert told(transport).startswith("Kafka refused the credentials of user 'sdk'")
    with pytest.raises(DeliveryTimeoutError, match=r"refused the credentials of user 'sdk'.*AUDITWIRE_KAFKA_USERNAME") as caught:
        receipt.wait(0.1)
    assert "not-the-password" not in str(caught.value)


def test_wrong_password_fails_the_event_in_time(kafka: Callable[..., KafkaTransport], event: AuditEvent) -> None:
    transport = kafka(password="wrong", delivery_timeout=2.0)
    told(transport)
    with pytest.raises(DeliveryError, match="did not confirm the event in time: Kafka refused the credentials"):
        AuditClient(transport, service="checkout", tenant="acme").record(event).wait(60)


def test_unreachable_broker_is_named(
    kafka: Callable[..., KafkaTransport], event: AuditEvent, caplog: pytest.LogCaptureFixture
) -> None:
    transport = kafka(bootstrap="127.0.0.1:9")
    receipt = AuditClient(transport, service="checkout", tenant="acme").record(event)
    told(transport)
    with pytest.raises(DeliveryTimeoutError, match=r"no broker of 127\.0\.0\.1:9 answers.*AUDITWIRE_KAFKA_BOOTSTRAP"):
        receipt.wait(0.1)
    assert [r.getMessage() for r in caplog.records if r.name == "auditwire.kafka"] == []  # said once, in plain words


def test_unreachable_registry_is_named(kafka: Callable[..., KafkaTransport]) -> None:
    with pytest.raises(RegistryError, match=r"cannot be reached at http://127\.0\.0\.1:9/.*AUDITWIRE_SCHEMA_REGISTRY_URL"):
        kafka(schema_registry_url="http://127.0.0.1:9")


def test_unregistered_schema_says_migrate(kafka: Callable[..., KafkaTransport]) -> None:
    with pytest.raises(RegistryError, match="is not registered: run `auditwired migrate` first"):
        kafka(topic="audit_not_migrated.raw")


def test_another_schema_under_the_subject_says_migrate(space: Space, kafka: Callable[..., KafkaTransport]) -> None:
    with pytest.raises(RegistryError, match="no version of .*ledger-value that equals this SDK's event schema"):
        kafka(topic=f"{space.name}.ledger")


def test_a_topic_that_may_not_be_written_is_named(space: Space, kafka: Callable[..., KafkaTransport], event: AuditEvent) -> None:
    client = AuditClient(kafka(topic=f"{space.name}.events", delivery_timeout=50.0), service="checkout", tenant="acme")
    with pytest.raises(DeliveryError, match="user 'sdk' may not write topic"):
        client.record(event).wait(60)


def test_order_of_sequence_is_order_of_offsets_from_eight_threads(env: dict[str, str]) -> None:
    with AuditClient.from_env("checkout", env=env, tenant="acme", max_block=30.0) as client:
        with ThreadPoolExecutor(8) as pool:
            receipts = list(pool.map(lambda i: client.record(AuditEvent(event_type=f"step.{i}")), range(8000)))
        positions = {receipt.sequence: receipt.wait(60) for receipt in receipts}
    assert sorted(positions) == list(range(8000))
    assert len({p.partition for p in positions.values()}) == 1
    offsets = [positions[n].offset for n in range(8000)]
    assert offsets == sorted(offsets)


def test_closing_without_room_to_flush_reports_every_event(kafka: Callable[..., KafkaTransport], event: AuditEvent) -> None:
    transport = kafka(bootstrap="127.0.0.1:9")
    client = AuditClient(transport, service="checkout", tenant="acme")
    receipts = [client.record(event) for _ in range(10)]
    with pytest.raises(DeliveryTimeoutError, match="has not confirmed 10 events"):
        client.close(0.2)
    for receipt in receipts:
        with pytest.raises(DeliveryError, match="may or may not be stored"):
            receipt.wait(0)
    assert client.counts.failed == 10


def test_impossible_settings_are_told_at_once(kafka: Callable[..., KafkaTransport]) -> None:
    with pytest.raises(ConfigurationError, match=r"refuses its settings .*security\.protocol"):
        kafka(security_protocol="TELEPATHY")


@pytest.mark.parametrize("name", ["acks", "enable.idempotence", "partitioner"])
def test_what_the_promises_rest_on_cannot_be_overruled(kafka: Callable[..., KafkaTransport], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"options may not set {name}"):
        kafka(options={name: "0"})


def test_an_event_larger_than_the_options_allow_uses_no_number(env: dict[str, str], kafka: Callable[..., KafkaTransport]) -> None:
    client = AuditClient(kafka(options={"message.max.bytes": 20_000}), service="checkout", tenant="acme")
    with pytest.raises(DeliveryError, match="does not take the event .*Message size too large.*check the transport's options"):
        client.record(AuditEvent(event_type="x", prompt="a" * 30_000))
    assert client.record(AuditEvent(event_type="x")).sequence == 0
    client.flush(30)


UNCLOSED = """
from auditwire import AuditClient, AuditEvent
client = AuditClient.from_env("forgetful", tenant="acme")
receipts = [client.record(AuditEvent(event_type="x")) for _ in range(100)]
receipts[-1].on_done(lambda: print(receipts[-1].wait(0), flush=True))
"""


def test_a_program_that_forgets_to_close_still_stores_its_events(env: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(UNCLOSED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program], env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Position(topic=")

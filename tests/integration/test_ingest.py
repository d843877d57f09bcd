"""The receiver as a process on a real Kafka: what it acknowledges is stored there, and nothing else is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from auditwire._spool import Spool
from connectors import kafka
from connectors.outbox import KafkaOutbox, MemoryOutbox, NotConfirmed, Outbox, Record
from connectors.spool_outbox import SpoolOutbox
from connectors.spool_refused import Refused
from infra.stack import ports
from pipeline import settings
from pipeline.sealing import Sealer
from pipeline.tokens import source_entry
from tests.ingest import AI_NAMES, NAMES, events_of, payload, rejects_of
from tests.space import Space
from tests.waiting import until

TOKEN = "integration-token"


class Part:
    """A receiver of this test: its process, URL and token."""

    def __init__(self, space: Space, tmp_path: Path, **overrides: object) -> None:
        tokens = tmp_path / "tokens.yaml"
        tokens.write_text(source_entry("demo", "gitlab", TOKEN), encoding="utf-8")
        listen = f"127.0.0.1:{ports.pick(1)[0]}"
        env = space.part_env("ingest", INGEST_TOKENS_FILE=tokens, INGEST_LISTEN=listen, **overrides)
        self.url = f"http://{listen}"
        self.health = f"http://{env['AUDITWIRE_ADMIN_LISTEN']}/healthz"
        base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.http = httpx.Client(timeout=30)
        self.process = subprocess.Popen([sys.executable, "-m", "pipeline", "ingest"], env={**base, **env})

    def post(self, body: Any, path: str = "/v1/gitlab") -> httpx.Response:
        headers = {"X-Gitlab-Event-Streaming-Token": TOKEN, "Content-Type": "application/x-www-form-urlencoded"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(self.url + path, content=content, headers=headers)

    def healthy(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self.http.get(self.health).status_code == 200
        return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


@contextlib.contextmanager
def running(space: Space, tmp_path: Path, **overrides: object) -> Iterator[Part]:
    part = Part(space, tmp_path, **overrides)
    try:
        until(part.healthy)
        yield part
    finally:
        part.stop(signal.SIGKILL)
        part.http.close()


def stored(space: Space, topic: str) -> list[Record]:
    """Every record of a topic, with the partition in front of the topic's name."""
    cluster = kafka.cluster_of(space.settings(settings.Migrate).model_dump())
    consumer = Consumer(kafka.consumer_config(cluster, f"{space.name}-test"))
    name, found = f"{space.name}.{topic}", []
    try:
        for partition in consumer.list_topics(name, timeout=10).topics[name].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
            consumer.assign([TopicPartition(name, partition, low)])
            while low < high:
                message = consumer.poll(5)
                assert message is not None
                assert message.error() is None
                low = message.offset() + 1
                found.append(Record(f"{partition}/{topic}.{topic}", message.key(), message.value()))
    finally:
        consumer.close()
    return found


def raw(space: Space) -> list[Record]:
    return stored(space, "raw")


def test_acknowledged_events_are_in_kafka_and_a_retry_at_another_receiver_equals_the_first(
    provisioned: Space, tmp_path: Path
) -> None:
    bodies = [payload(name) for name in NAMES]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(provisioned, tmp_path / "a") as first, running(provisioned, tmp_path / "b") as second:
        for body in bodies:
            assert first.post(body).json() == {"accepted": 1, "quarantined": 0}
        assert second.post(bodies).json() == {"accepted": len(bodies), "quarantined": 0}
        assert first.post([payload("git_deploy_key"), 5, {"id": 1}]).json() == {"accepted": 1, "quarantined": 2}
        assert first.post(b"not json").json() == {"accepted": 0, "quarantined": 1}
        assert (first.stop(), second.stop(signal.SIGINT)) == (0, 0)
    records = raw(provisioned)
    assert len(records) == 2 * len(bodies) + 1
    assert len(set(records)) == len(bodies)  # equal partition, key and value
    assert len({record.topic for record in records}) > 1
    sealer = Sealer(provisioned.settings(settings.Ingest).sealing_key.get_secret_value())
    rejects = rejects_of(stored(provisioned, "quarantine"), sealer)
    assert sorted(reject["reason"] for reject in rejects) == ["no_time", "not_an_object", "not_json"]
    assert b"not json" in {reject["original"] for reject in rejects}


def test_without_kafka_nothing_is_acknowledged_and_with_it_the_retry_is(
    fault_stack: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from tests import space as spaces

    space = spaces.claim(fault_stack, tmp_path / "spaces")
    space.provision()
    with running(space, tmp_path) as part:
        assert part.post(payload("git_deploy_key")).status_code == 202
        fault_stack.kill("kafka")
        try:
            answer = part.post(payload("ai_tool_invoked"))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["what_to_do"].startswith("Send the same request again")
            until(lambda: not part.healthy())
        finally:
            fault_stack.launch("kafka")
            fault_stack.wait("kafka")
        until(lambda: part.post(payload("ai_tool_invoked")).status_code == 202)
        until(part.healthy)
        assert part.stop() == 0
    types = {event["source_event_type"] for event in events_of(raw(space))}
    assert types == {"repository_git_operation", "ai_tool_invoked"}


def test_a_killed_receiver_loses_nothing_that_it_acknowledged(provisioned: Space, tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    with running(provisioned, tmp_path) as part:

        def send(number: int) -> None:
            with contextlib.suppress(httpx.HTTPError):
                if part.post({**payload("git_deploy_key"), "id": f"n{number}"}).status_code == 202:
                    acknowledged.add(f"n{number}")

        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(send, number) for number in range(400)]
            until(lambda: len(acknowledged) > 100)
            part.stop(signal.SIGKILL)
            for job in jobs:
                job.result()
    assert 100 < len(acknowledged) < 400
    assert acknowledged <= {event["source_event_id"] for event in events_of(raw(provisioned))}


def kafka_outbox(space: Space, **arguments: Any) -> KafkaOutbox:
    return KafkaOutbox(kafka.producer_config(kafka.cluster_of(space.settings(settings.Ingest).model_dump())), **arguments)


async def contract(outbox: Outbox, topic: str) -> None:
    """What every outbox owes: durable at return, ``settled`` once, nothing for nothing."""
    settled: list[int] = []

    async def send(number: int) -> None:
        records = [Record(topic, b"k", b"%d-%d" % (number, i)) for i in range(5 if number else 0)]
        await outbox.send(records, lambda: settled.append(number))

    await asyncio.gather(*map(send, range(20)))
    assert sorted(settled) == list(range(20))


def test_the_outbox_contract_in_memory_on_kafka_and_by_a_spool(provisioned: Space, tmp_path: Path) -> None:
    memory = MemoryOutbox()
    asyncio.run(contract(memory, "t"))

    async def on_kafka() -> None:
        outbox = kafka_outbox(provisioned)
        await contract(outbox, f"{provisioned.name}.raw")
        assert outbox.close() == 0

    async def by_spool() -> None:
        outbox = SpoolOutbox(Spool(tmp_path / "spool", bytes(32)), lambda: kafka_outbox(provisioned))
        await contract(outbox, f"{provisioned.name}.raw")
        assert await outbox.close(30) == 0

    for number, run in enumerate((on_kafka, by_spool), 1):
        asyncio.run(run())
        values = [record.value for record in raw(provisioned)]
        assert set(values) == {record.value for record in memory.records}
        assert len(values) == number * len(memory.records)


NEGATIVE_CONTROL = pytest.param(False, marks=pytest.mark.xfail(strict=True, reason="acknowledges before Kafka's report"))


@pytest.mark.parametrize("wait_for_reports", [True, NEGATIVE_CONTROL])
def test_a_topic_that_refuses_is_not_confirmed(provisioned: Space, wait_for_reports: bool) -> None:
    """The receiver's user may not write the clean topic: the report says so, and who does not wait for it does not know."""

    async def refused() -> None:
        settled: list[int] = []
        outbox = kafka_outbox(provisioned, bound_seconds=3, wait_for_reports=wait_for_reports)
        try:
            records = [Record(f"{provisioned.name}.raw", b"k", b"v"), Record(f"{provisioned.name}.events", b"k", b"v")]
            with pytest.raises(NotConfirmed):
                await outbox.send(records, lambda: settled.append(1))
            assert settled == [1]
        finally:
            outbox.close()

    asyncio.run(refused())


def test_a_spool_goes_on_past_what_kafka_refuses_for_good(provisioned: Space, tmp_path: Path) -> None:
    """Larger than the topic takes, too large for the client, and for a topic of another namespace; each between good ones."""

    async def run() -> None:
        topic, folder = f"{provisioned.name}.raw", tmp_path / "spool"
        odd = [
            Record(topic, b"k", os.urandom(1_500_000)),
            Record(topic, b"k", os.urandom(3_000_000)),
            Record("elsewhere.raw", b"k", b"of another namespace"),
        ]
        good = [Record(topic, b"k", b"good %d" % number) for number in range(40)]
        spool, aside = Spool(folder, bytes(32)), Refused(folder, bytes(32), 64 << 20)
        spool.append(
            [(r.key, r.value, r.topic) for r in [*good[:10], odd[0], *good[10:20], odd[1], *good[20:30], odd[2], *good[30:]]]
        )
        outbox = SpoolOutbox(
            spool, lambda: kafka_outbox(provisioned, bound_seconds=600), refused=aside, namespace=provisioned.name
        )
        await asyncio.to_thread(until, lambda: spool.pending[0] == 0, 90, outbox.note)
        assert await outbox.close(5) == 0
        assert sorted(record.value for record in raw(provisioned)) == sorted(record.value for record in good), "each once"
        kept = Spool(folder / "refused", bytes(32))
        assert sorted(value for _, _, _, value in kept.read()) == sorted(record.value for record in odd)
        kept.close()

    asyncio.run(run())


def test_every_ai_event_in_an_array_of_its_own(provisioned: Space, tmp_path: Path) -> None:
    with running(provisioned, tmp_path) as part:
        for name in AI_NAMES:
            assert part.post([payload(name)]).json() == {"accepted": 1, "quarantined": 0}
    assert {event["source_event_type"] for event in events_of(raw(provisioned))} == set(AI_NAMES)

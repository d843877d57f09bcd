"""The receiver's spool as an outbox: acknowledged is what is on the disk; Kafka gets it when it answers; 503 where it is full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import pytest
from confluent_kafka import KafkaError, KafkaException

from auditwire._spool import Spool, SpoolControl
from connectors.outbox import KafkaOutbox, MemoryOutbox, NotConfirmed, Record, Why
from connectors.spool_outbox import NotKept, SpoolOutbox
from connectors.spool_refused import Refused
from pipeline.ingest import spooling
from pipeline.ingest.auth import Tokens
from pipeline.ingest.bounded import Limits
from pipeline.ingest.receiver import Receiver
from pipeline.ingest.records import Envelope
from pipeline.sealing import Sealer
from pipeline.settings import SettingsError
from tests.ingest import MASTER_KEY, QUARANTINE, TOKEN, payload, write_tokens
from tests.spool_disk import CrashDisk
from tests.unit.test_ingest_app import settings
from tests.waiting import until

KEY = bytes(range(32))


class Kafka(MemoryOutbox):
    """In memory, as `connectors.spool_outbox.Onward` wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = asyncio.Event()

    def close(self, seconds: float = 10.0) -> int:
        return 0


def batch(first: int, count: int = 5) -> list[Record]:
    return [Record("audit.raw", b"k", b"value %d" % n) for n in range(first, first + count)]


@asynccontextmanager
async def spooled(
    folder: Path,
    kafka: Kafka | None = None,
    *,
    control: SpoolControl | None = None,
    size: int = 1 << 20,
) -> AsyncIterator[tuple[SpoolOutbox, Spool, Kafka]]:
    onward = kafka or Kafka()
    spool = Spool(folder, KEY, max_bytes=size, control=control)
    outbox = SpoolOutbox(spool, lambda: onward)
    try:
        yield outbox, spool, onward
    finally:
        await outbox.close(0.1)


async def eventually(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition, 30)


def test_the_contract_and_everything_arrives_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        async with spooled(tmp_path / "s") as (outbox, spool, kafka):
            settled: list[int] = []
            for n in range(20):
                await outbox.send(batch(5 * n) if n else [], lambda n=n: settled.append(n))  # type: ignore[misc]
            await eventually(lambda: len(settled) == 20 and spool.pending[0] == 0)
            assert sorted(settled) == list(range(20))
            assert kafka.records == batch(5, 95)
            assert (outbox.problem(), outbox.note()) == (None, "")

    asyncio.run(run())


def test_while_kafka_is_away_it_takes_and_says_what_waits_and_a_later_process_sends_it(tmp_path: Path) -> None:
    async def run() -> None:
        away = Kafka()
        away.down = True
        async with spooled(tmp_path / "s", away) as (outbox, _, _):
            await outbox.send(batch(0), lambda: None)
            await eventually(lambda: outbox.note() != "")
            assert outbox.note().startswith("5 records (")
            assert outbox.note().endswith("the outbox is down")
            assert outbox.problem() is None, "it serves"
        async with spooled(tmp_path / "s", away) as (outbox, spool, _):
            await outbox.send(batch(5), lambda: None)
            away.down = False
            await eventually(lambda: spool.pending[0] == 0)
        assert away.records == batch(0, 10)

    asyncio.run(run())


def test_another_producer_takes_over_from_one_that_broke(tmp_path: Path) -> None:
    async def run() -> None:
        made: list[Kafka] = []

        def make() -> Kafka:
            made.append(Kafka())
            made[-1].down = len(made) == 1
            return made[-1]

        spool = Spool(tmp_path / "s", KEY)
        outbox = SpoolOutbox(spool, make)
        made[0].broken.set()
        await outbox.send(batch(0), lambda: None)
        await eventually(lambda: spool.pending[0] == 0)
        assert [len(one.records) for one in made] == [0, 5]
        await outbox.close()

    asyncio.run(run())


def acknowledged_and_gone(folder: Path, *, wait_for_disk: bool = True, fsync: bool = True) -> bool:
    """Whether a crash of the machine right after ``send`` returned loses records, at any of many seeds."""

    async def send(disk: CrashDisk, number: int) -> None:
        away = Kafka()
        away.down = True
        spool = Spool(disk.folder, KEY, control=SpoolControl(disk=disk, fsync=fsync))
        outbox = SpoolOutbox(spool, lambda: away, wait_for_disk=wait_for_disk)
        spool.append([(b"k", b"first", "t")])
        if not wait_for_disk:  # the crash comes before the thread that writes has had its turn
            outbox._writers.shutdown()
            outbox._writers = _Never()  # type: ignore[assignment]
        await outbox.send(batch(5 * number), lambda: None)
        outbox._task.cancel()
        spool._writer.forget()

    for seed in range(20):
        disk = CrashDisk(folder / str(seed))
        asyncio.run(send(disk, seed))
        disk.power_off(Random(seed))
        try:
            again = Spool(disk.folder, KEY)
        except Exception:
            return True
        values = {value for _, _, _, value in again.read()}
        again.close()
        disk.close()
        if not {record.value for record in batch(5 * seed)} <= values:
            return True
    return False


class _Never:
    """Threads that the system has not let run yet."""

    def submit(self, *_: object) -> object:
        from concurrent.futures import Future

        return Future[int]()

    def shutdown(self, wait: bool = True) -> None:
        pass


def test_a_crash_after_the_answer_loses_nothing(tmp_path: Path) -> None:
    assert not acknowledged_and_gone(tmp_path)


@pytest.mark.parametrize("off", ["wait_for_disk", "fsync"])
def test_control_an_answer_before_fsync_is_lost_in_a_crash(tmp_path: Path, off: str) -> None:
    assert acknowledged_and_gone(tmp_path, **{off: False})


def test_a_full_spool_and_a_failing_disk_are_not_acknowledged(tmp_path: Path) -> None:
    async def run() -> None:
        away = Kafka()
        away.down = True
        disk = CrashDisk(tmp_path / "s")
        async with spooled(tmp_path / "s", away, control=SpoolControl(disk=disk), size=200_000) as (outbox, spool, _):
            disk.fail_sync = 1
            settled: list[int] = []
            with pytest.raises(NotConfirmed, match="Input/output error"):
                await outbox.send(batch(0), lambda: settled.append(1))
            await eventually(lambda: settled == [1])
            assert "Input/output error" in str(outbox.problem())
            await outbox.send(batch(0), lambda: None)
            await eventually(lambda: outbox.problem() is None)
            with pytest.raises(NotKept, match="is full"):
                while True:
                    await outbox.send([Record("audit.raw", b"k", b"x" * 30_000)], lambda: None)
            await eventually(lambda: "is full" in str(outbox.problem()))
            away.down = False
            await eventually(lambda: spool.pending[0] == 0)
            await eventually(lambda: outbox.problem() is None)
            await outbox.send(batch(5), lambda: None)

    asyncio.run(run())


def receiver(folder: Path, outbox: SpoolOutbox, *, known: bool = True) -> Receiver:
    envelope = Envelope("audit", 7, QUARANTINE, Sealer(MASTER_KEY))
    tokens = Tokens(write_tokens(folder / "tokens.yaml"))
    return Receiver(tokens, outbox, envelope if known else None, Limits(1 << 20, 8 << 20), outbox.note)


async def post(app: Receiver) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://receiver.example.com") as client:
        return await client.post("/v1/gitlab", json=payload("git_deploy_key"), headers={"Authorization": f"Bearer {TOKEN}"})


def test_the_receiver_answers_503_where_the_spool_does_not_take_it_and_before_it_knows_its_schemas(tmp_path: Path) -> None:
    async def run() -> None:
        disk = CrashDisk(tmp_path / "s")
        async with spooled(tmp_path / "s", control=SpoolControl(disk=disk)) as (outbox, _, _):
            app = receiver(tmp_path, outbox)
            assert (await post(app)).status_code == 202
            disk.fail_sync = 1
            refused = await post(app)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert refused.json()["error"].startswith("The receiver cannot keep the events: its spool is full or its disk fails.")
            unready = await post(receiver(tmp_path, outbox, known=False))
            assert (unready.status_code, unready.headers["retry-after"]) == (503, "5")
            assert "does not know the schema ids yet" in unready.json()["error"]

    asyncio.run(run())


def test_schema_ids_are_remembered_for_this_registry_and_namespace_only(tmp_path: Path) -> None:
    values = settings(tmp_path)
    ids = spooling.SchemaIds(tmp_path, values)
    assert ids.recall() is None
    ids.remember((3, 4))
    assert spooling.SchemaIds(tmp_path, values).recall() == (3, 4)
    other = settings(tmp_path, NAMESPACE="other")
    assert spooling.SchemaIds(tmp_path, other).recall() is None
    (tmp_path / spooling.REMEMBERED).write_text("{")
    assert spooling.SchemaIds(tmp_path, values).recall() is None


def test_a_second_instance_and_a_spool_that_is_too_small_do_not_start(tmp_path: Path) -> None:
    sealer = Sealer(MASTER_KEY)
    values = settings(tmp_path, INGEST_SPOOL_DIR=str(tmp_path / "s"))
    first = spooling.opened(values, sealer)
    assert first is not None
    with pytest.raises(SettingsError, match=r"AUDITWIRE_INGEST_SPOOL_DIR: .* Give each process a folder of its own"):
        spooling.opened(values, sealer)
    first.close()
    assert spooling.opened(settings(tmp_path), sealer) is None
    with pytest.raises(SettingsError, match="at least twice AUDITWIRE_INGEST_MAX_BODY_BYTES"):
        spooling.opened(settings(tmp_path, INGEST_SPOOL_DIR=str(tmp_path / "s"), INGEST_SPOOL_MAX_BYTES="1000"), sealer)


class Particular(Kafka):
    """Refuses by topic. ``large`` refuses the whole company of a record for ``audit.quarantine``, as too large a batch."""

    def __init__(self, *, large: bool = False, **by_topic: Why) -> None:
        super().__init__()
        self.large, self.by_topic = large, {name.replace("_", "."): why for name, why in by_topic.items()}

    async def send(self, records: Sequence[Record], settled: Callable[[], None]) -> None:
        failed = {index: self.by_topic[record.topic] for index, record in enumerate(records) if record.topic in self.by_topic}
        if self.large and failed:
            failed = dict.fromkeys(range(len(records)), Why.RECORD)
        await super().send([record for index, record in enumerate(records) if index not in failed], settled)
        if failed:
            raise NotConfirmed("Kafka says no", failed)


def mixed() -> list[Record]:
    odd = [Record("audit.quarantine", b"k", b"q"), Record("other.raw", b"k", b"o")]
    return [*batch(0), odd[0], *batch(5), odd[1], *batch(10)]


def read_refused(folder: Path) -> list[bytes]:
    spool = Spool(folder / "refused", KEY)
    try:
        return [value for _, _, _, value in spool.read()]
    finally:
        spool.close()


@pytest.mark.parametrize("large", [False, True], ids=["by record", "by batch"])
def test_what_kafka_refuses_for_good_is_put_aside_and_the_rest_is_stored_once(tmp_path: Path, large: bool) -> None:
    async def run() -> None:
        folder = tmp_path / "s"
        kafka = Particular(large=large, audit_quarantine=Why.RECORD, other_raw=Why.RECORD if large else Why.TOPIC)
        spool, aside = Spool(folder, KEY), Refused(folder, KEY, 1 << 20)
        outbox = SpoolOutbox(spool, lambda: kafka, refused=aside, namespace="audit")
        await outbox.send(mixed(), lambda: None)
        await outbox.send(batch(15), lambda: None)
        await eventually(lambda: spool.pending[0] == 0)
        assert sorted(record.value for record in kafka.records) == sorted(record.value for record in batch(0, 20))
        assert (outbox.sent, aside.count, Refused(folder, KEY, 1 << 20).count) == (20, 2, 2)
        assert outbox.problem() is None
        assert "2 records that Kafka refused for good are in" in outbox.note()
        await outbox.close()
        assert sorted(read_refused(folder)) == [b"o", b"q"]
        (folder / "refused").rename(tmp_path / "mended")
        assert aside.count == 0
        async with spooled(tmp_path / "mended") as (_, again, mended):
            await eventually(lambda: again.pending[0] == 0)
            assert sorted(record.value for record in mended.records) == [b"o", b"q"], "a receiver with that folder sends them"

    asyncio.run(run())


def test_control_without_a_place_aside_a_refused_record_holds_up_what_is_behind_it(tmp_path: Path) -> None:
    async def run() -> None:
        kafka = Particular(audit_quarantine=Why.RECORD)
        async with spooled(tmp_path / "s", kafka) as (outbox, spool, _):
            await outbox.send(mixed(), lambda: None)
            await eventually(lambda: len(kafka.records) == 16 and spool.pending[0] == 12)
            await outbox.send(batch(15), lambda: None)
            await asyncio.to_thread(spool.wait, 10_000, 1.0)
            assert len(kafka.records) == 16, "nothing behind it, and nothing twice"
            assert outbox.note().endswith("Kafka says no")

    asyncio.run(run())


@pytest.mark.parametrize("why", [Why.TOPIC, Why.AGAIN])
def test_a_topic_of_ours_that_is_closed_or_missing_is_waited_for(tmp_path: Path, why: Why) -> None:
    async def run() -> None:
        folder = tmp_path / "s"
        kafka = Particular(audit_quarantine=why)
        spool, aside = Spool(folder, KEY), Refused(folder, KEY, 1 << 20)
        outbox = SpoolOutbox(spool, lambda: kafka, refused=aside, namespace="audit")
        await outbox.send(mixed(), lambda: None)
        await eventually(lambda: spool.done_position == 5 and outbox.note() != "")
        assert outbox.problem() is None, "it takes events"
        assert aside.count == 0
        kafka.by_topic.clear()
        await eventually(lambda: spool.pending[0] == 0)
        assert len(kafka.records) == len(mixed()), "what was confirmed is not sent again"
        await outbox.close()

    asyncio.run(run())


def test_what_cannot_be_put_aside_stays_in_the_spool(tmp_path: Path) -> None:
    async def run() -> None:
        folder = tmp_path / "s"
        kafka = Particular(audit_quarantine=Why.RECORD)
        spool, aside = Spool(folder, KEY), Refused(folder, KEY, 1 << 20)
        outbox = SpoolOutbox(spool, lambda: kafka, refused=aside, namespace="audit")
        held = Spool(folder / "refused", KEY)
        await outbox.send(mixed(), lambda: None)
        await eventually(lambda: "folder of its own" in outbox.note())
        assert spool.done_position == 5
        held.close()
        await eventually(lambda: spool.pending[0] == 0)
        assert len(kafka.records) == 16
        await outbox.close()
        assert read_refused(folder) == [b"q"]

    asyncio.run(run())


def test_a_head_that_does_not_move_is_said(tmp_path: Path) -> None:
    class Silent(Kafka):
        async def send(self, records: Sequence[Record], settled: Callable[[], None]) -> None:
            await asyncio.Event().wait()

    async def run() -> None:
        spool = Spool(tmp_path / "s", KEY)
        outbox = SpoolOutbox(spool, Silent, stuck_seconds=0.2)
        await outbox.send(batch(0), lambda: None)
        await eventually(lambda: outbox.note() != "")
        assert "has neither confirmed nor refused the first of them (for topic audit.raw) for 0 s" in outbox.note()
        await outbox.close(0.1)

    asyncio.run(run())


def test_a_producer_that_cannot_be_made_is_said_and_tried_again(tmp_path: Path) -> None:
    async def run() -> None:
        made: list[Kafka] = []

        def make() -> Kafka:
            if len(made) == 1 and not fixed:
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG))
            made.append(Kafka())
            made[-1].down = len(made) == 1
            return made[-1]

        fixed: list[int] = []
        spool = Spool(tmp_path / "s", KEY)
        outbox = SpoolOutbox(spool, make)
        made[0].broken.set()
        await outbox.send(batch(0), lambda: None)
        await eventually(lambda: "the sender of the spool failed (KafkaException)" in str(outbox.problem()))
        fixed.append(1)
        await eventually(lambda: spool.pending[0] == 0 and outbox.problem() is None)
        await outbox.close()

    asyncio.run(run())


def test_a_sender_that_has_ended_says_so_and_nothing_is_acknowledged_any_more(tmp_path: Path) -> None:
    async def run() -> None:
        async with spooled(tmp_path / "s") as (outbox, _, _):
            outbox._task.cancel()
            await asyncio.wait_for(outbox.ended.wait(), 10)
            settled: list[int] = []
            with pytest.raises(NotKept, match="has ended: restart the receiver"):
                await outbox.send(batch(0), lambda: settled.append(1))
            assert settled == [1]
            assert "has ended" in str(outbox.problem())

    asyncio.run(run())


def test_the_real_client_refuses_one_record_and_takes_its_neighbours() -> None:
    """Without a broker: what the client itself refuses is known at once and by record; a record of 1.5 MB is not among it."""

    async def run() -> None:
        outbox = KafkaOutbox({"bootstrap.servers": "127.0.0.1:1", "enable.idempotence": True}, bound_seconds=1.2)
        try:
            large, fits = Record("audit.quarantine", b"k", b"x" * 3_000_000), Record("audit.quarantine", b"k", b"x" * 1_500_000)
            with pytest.raises(NotConfirmed, match="does not take a record for topic audit.quarantine") as caught:
                await outbox.send([large], lambda: None)
            assert caught.value.failed == {0: Why.RECORD}
            settled = asyncio.Event()
            with pytest.raises(NotConfirmed) as caught:
                await outbox.send([fits, large], settled.set)
            await asyncio.wait_for(settled.wait(), 10)
            assert caught.value.failed in ({0: Why.AGAIN, 1: Why.RECORD}, None)
        finally:
            outbox.close(0.0)

    asyncio.run(run())

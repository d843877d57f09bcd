"""The receiver's spool as an outbox: acknowledged is what is on the disk; Kafka gets it when it answers; 503 where it is full."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import httpx
import pytest

from auditwire._spool import Spool, SpoolControl
from connectors.outbox import NotConfirmed, Record
from connectors.spool_outbox import NotKept, SpoolOutbox
from pipeline.ingest import spooling
from pipeline.ingest.auth import Tokens
from pipeline.ingest.bounded import Limits
from pipeline.ingest.receiver import Receiver
from pipeline.ingest.records import Envelope
from pipeline.sealing import Sealer
from pipeline.settings import SettingsError
from tests.ingest import MASTER_KEY, QUARANTINE, TOKEN, payload, write_tokens
from tests.spool_disk import CrashDisk
from tests.unit.spooling import KEY, Kafka, batch, eventually, spooled
from tests.unit.test_ingest_app import settings


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
            assert outbox.problem() is None, "it was full, and is no more"
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

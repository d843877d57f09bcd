"""What the receiver's spool sends on: a record that Kafka refuses holds up nobody, a sender that stands still or ends says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from auditwire._spool import Spool
from connectors.outbox import KafkaOutbox, NotConfirmed, Record, Why
from connectors.spool_outbox import NotKept, SpoolOutbox
from connectors.spool_refused import Refused
from tests.unit.spooling import KEY, Kafka, batch, eventually, spooled


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

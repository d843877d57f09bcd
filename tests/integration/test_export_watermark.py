"""What is called complete is complete: nothing with an earlier ingest time shows later, and it does not stand still for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from pipeline.export.watermark import EPOCH, Complete, Safety, Watermark
from tests import export_service, processing
from tests.sinks import SinkProcess
from tests.space import Space
from tests.waiting import until
from tests.watermark_world import World


@pytest.fixture
def world(provisioned: Space) -> Iterator[World]:
    made = World(provisioned)
    yield made
    made.close()


def millis(moment: datetime) -> int:
    return round((moment - EPOCH).total_seconds() * 1000)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_shows_later_whatever_the_order_of_events(world: World, seed: int) -> None:
    world.wander(120, seed)
    assert len(world.asked) > 10
    assert world.violations() == []
    last = max(r.time for log in world.logs for r in log.raw)
    assert millis(world.ask(world.watermark()).until) > last
    assert any(millis(c.until) > 0 for c in world.asked)


@pytest.mark.parametrize("safety", [Safety(processed=False), Safety(stored=False)])
def test_without_waiting_for_both_events_show_later(world: World, safety: Safety) -> None:
    world.wander(60, 1, safety)
    assert world.violations()


@pytest.mark.parametrize("last", [True, False])
def test_the_clean_end_is_asked_for_after_the_processors_progress(world: World, last: bool) -> None:
    world.append(0)
    world.drain()

    def processor_is_quick(point: str) -> None:
        if point == "raw ends":
            world.process(0)

    for _ in range(5 if last else 100):  # the harm of the wrong order shows only where the processor's commit shows at once
        world.append(0)
        world.ask(world.watermark(Safety(outputs_last=last), processor_is_quick))
        world.drain()
        if world.violations():
            break
    assert (world.violations() == []) is last


def test_nothing_at_all_is_complete_up_to_now(world: World) -> None:
    before = int(time.time() * 1000)
    assert before <= millis(world.ask(world.watermark()).until) <= int(time.time() * 1000)


def test_what_is_outstanding_bounds_it_exactly_and_equal_times_stay_out(world: World) -> None:
    world.append(0, 2)
    world.drain()
    world.append(0, 3)
    outstanding = world.logs[0].raw[2].time
    assert {r.time for r in world.logs[0].raw[2:]} == {outstanding}
    assert millis(world.ask(world.watermark()).until) == outstanding
    world.process(0, 2)
    assert millis(world.ask(world.watermark()).until) == outstanding
    world.store(0, 1)
    assert millis(world.ask(world.watermark()).until) == outstanding  # the third has the same time, not processed yet
    world.drain()
    assert millis(world.ask(world.watermark()).until) > outstanding
    assert world.violations() == []


def test_records_without_a_clean_event_and_deleted_ones_do_not_hold_it_back(world: World) -> None:
    world.append(1, 3)
    world.drain()
    world.append(1, 5, clean=False)
    world.process(1)
    world.delete(1)
    assert millis(world.ask(world.watermark()).until) > world.logs[1].raw[-1].time
    world.append(1)
    world.process(1)
    world.delete(1)
    until = millis(world.ask(world.watermark()).until)
    assert world.logs[1].raw[2].time <= until <= world.logs[1].raw[-1].time
    world.drain()
    assert world.violations() == []


def test_an_open_transaction_at_the_end_holds_it_back(world: World) -> None:
    world.append(2)
    world.drain()
    lane = world._lane
    lane.begin_transaction()
    lane.produce(world.events, b"x", partition=2)
    lane.flush(30)
    world.append(2)
    assert millis(world.ask(world.watermark()).until) <= world.logs[2].raw[-1].time
    lane.abort_transaction(30)
    world.drain()
    assert world.violations() == []
    assert millis(world.ask(world.watermark()).until) > world.logs[2].raw[-1].time


def test_it_never_goes_back_and_is_kept_for_a_moment(world: World) -> None:
    world.append(0)
    world.drain()
    watermark = world.watermark()
    first = world.ask(watermark).until
    world.append(0, 2)
    world.process(0, 1)
    assert world.ask(watermark).until >= first
    world.drain()
    assert world.violations() == []


def test_the_real_parts_bring_it_up_to_now_also_on_quiet_partitions(provisioned: Space) -> None:
    """Duplicates, junk and transaction markers at the logs' ends do not hold it back; producers write all the while."""
    world = World(provisioned)
    frame = processing.event_frame(provisioned)
    good = [frame + body for body in processing.bodies(processing.rows(60, tenant_id="demo", source="s", source_event_id=str))]
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            processing.produce(provisioned, [(n % 2, value) for n, value in enumerate([*good[:20], b"junk", *good[:20]])])

    writer = threading.Thread(target=write)
    processor, sink = processing.Worker(provisioned), SinkProcess(provisioned)
    try:
        with sink:
            writer.start()
            watermark = world.watermark()
            answers = [world.ask(watermark)]
            until(lambda: moved(world, watermark, answers), 90, processor.text)
            over.set()
            writer.join()
            end = time.time()
            processing.produce(provisioned, [(2, good[50]), (2, b"junk")])
            until(lambda: world.ask(world.watermark()).until.timestamp() > end + 1, 90, processor.text)
    finally:
        over.set()
        processor.kill()
    with export_service.clickhouse(provisioned) as client:
        for complete in world.asked:
            marks = " OR ".join(f"(kafka_partition = {p} AND kafka_offset >= {e})" for p, e in complete.marks.ends.items())
            sql = (
                f"SELECT count() FROM {provisioned.name}.events WHERE ({marks})"
                " AND processed_ingested_at < fromUnixTimestamp64Milli({until:Int64})"
            )
            assert client.rows(sql, {"until": millis(complete.until)}) == [[0]]
    world.close()


def moved(world: World, watermark: Watermark, answers: list[Complete]) -> bool:
    """It went on twenty times while events came in."""
    now = world.ask(watermark)
    if now.until > answers[-1].until:
        answers.append(now)
    return len(answers) > 20

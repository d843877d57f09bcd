"""Where a sink goes on: the cases in which commits, store and log fit together, and those in which it must refuse to guess."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from connectors.memory import MemoryStore
from pipeline.sink.plan import SCHEMA_VERSION, Plan, Proof
from pipeline.sink.resume import RefusedError, Standing, check
from tests.sink_weather import Rig

TOPIC_ID = "11111111-2222-3333-4444-555555555555"
PLAN = Plan("audit.events", TOPIC_ID, 0, 100, 120, 15, 77)
HELD, NOTHING = Proof(15, 15, 77), Proof(0, 0, 0)
CLAIM = MemoryStore().take_over("audit.events", TOPIC_ID, 0)


def at(
    offset: int | None,
    plan: Plan | None = None,
    proof: Proof | None = None,
    stored: int | None = None,
    low: int = 0,
    high: int = 500,
) -> Standing:
    return Standing(CLAIM, offset, plan, proof, stored, low, high)


def start(found: Standing) -> int:
    return check(found, "audit.events[0] in memory", TOPIC_ID, mapper=1)


@pytest.mark.parametrize(
    ("found", "offset"),
    [
        (at(None), 0),
        (at(None, low=40), 40),
        (at(None, stored=200), 200),
        (at(300), 300),
        (at(300, stored=300), 300),
        (at(300, stored=250), 300),
        (at(100, PLAN, NOTHING), 100),
        (at(100, PLAN, HELD, stored=120), 100),
        (at(100, PLAN, Proof(3, 3, 5), stored=104), 100),
        (at(100, PLAN, HELD, stored=120, low=110), 100),
        (at(None, PLAN, NOTHING), 100),
        (at(119, PLAN, Proof(3, 3, 5), stored=104), 100),
    ],
)
def test_goes_on_where_everything_fits(found: Standing, offset: int) -> None:
    assert start(found) == offset


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (at(None, stored=200, low=210), "deleted before they were stored"),
        (at(None, stored=600), "the topic was cut"),
        (at(300, stored=301), "moved the group's offset back.*commit 301"),
        (at(300, low=310), "deleted before they were stored"),
        (at(600), "the topic was cut"),
        (at(100, replace(PLAN, topic_id="other")), "earlier topic with this name"),
        (at(90, PLAN, NOTHING), "moved the group's offset; commit 100 for this group"),
        (at(120, PLAN, NOTHING), "moved the group's offset; commit 100 for this group"),
        (at(100, replace(PLAN, schema=SCHEMA_VERSION + 1), NOTHING), "newer version"),
        (at(100, replace(PLAN, mapper=2), NOTHING), "newer version"),
        (at(100, PLAN, Proof(16, 15, 77)), "other rows than planned"),
        (at(100, PLAN, Proof(15, 15, 78)), "other rows than planned"),
        (at(100, PLAN, Proof(16, 16, 78)), "other rows than planned"),
        (at(100, PLAN, NOTHING, stored=121), "behind the end of the open plan"),
        (at(100, PLAN, NOTHING, low=110), "cannot be read again.*to give the plan up, commit 120 for this group"),
    ],
)
def test_refuses_to_guess(found: Standing, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        start(found)


def test_metadata_carries_the_plan() -> None:
    assert Plan.from_metadata(PLAN.to_metadata()) == PLAN
    assert len(replace(PLAN, topic="x" * 249).to_metadata().encode()) <= 4095
    assert Plan.from_metadata("") is None


@pytest.mark.parametrize("text", ["x", "{}", "[]", '{"v":2}', '{"v":1,"start":3}', "null"])
def test_foreign_metadata_is_no_plan(text: str) -> None:
    with pytest.raises(ValueError, match="not a plan"):
        Plan.from_metadata(text)


def test_a_moved_offset_stops_the_partition_and_only_that() -> None:
    rig = Rig()
    for partition in (0, 1):
        rig.append(partition, 8)
    rig.turn(8)
    rig.log.commit(0, 3, "")
    rig.crash()
    rig.append(1, 4)
    rig.turn(8)
    assert [said for said in rig.halted() if "commit 8 for this group" in said] == rig.halted() != []
    assert rig.wrong(0, finished=True) is None
    assert rig.wrong(1, finished=True) is None


def test_records_deleted_before_they_were_stored_stop_the_partition() -> None:
    rig = Rig(partitions=1)
    rig.append(0, 4)
    rig.turn(6)
    rig.append(0, 4)
    rig.log.delete_before(0, 6)
    rig.crash()
    rig.turn(3)
    assert len(rig.halted()) == 1
    assert "deleted before they were stored" in rig.halted()[0]
    alarm = ("auditwire_sink_halted", {"sink": "memory", "partition": "0"})
    assert REGISTRY.get_sample_value(*alarm) == 1
    rig.loop.revoked([0], lost=True)
    assert REGISTRY.get_sample_value(*alarm) is None  # whoever has the partition now says so, or not


def test_an_open_plan_that_reads_back_otherwise_stops_the_partition() -> None:
    rig = Rig(partitions=1)
    rig.append(0, 4)
    rig.store.weather = ["fail"] * 9
    rig.turn(5)
    rig.log._partitions[0].values[1] = rig.log._partitions[0].values[0]
    rig.crash()
    rig.store.weather = []
    rig.turn(4)
    assert len(rig.halted()) == 1
    assert "the log now gives 4 records" in rig.halted()[0]


def test_markers_alone_move_the_commit() -> None:
    rig = Rig(partitions=1)
    rig.log.skip(0, 7)
    rig.turn(4)
    assert rig.log.committed(0) == (7, "")


def test_a_topic_made_anew_under_a_running_sink_stops_it() -> None:
    """Its offsets begin at 0 again: going on behind the old topic's last one would lose what comes before."""
    rig = Rig(partitions=1)
    rig.append(0, 4)
    rig.turn(6)
    rig.log.make_anew()
    rig.append(0, 9)
    rig.log.subscribe(rig.loop)  # the member lost its partitions and has them again
    rig.turn(6)
    assert len(rig.halted()) == 1
    assert "made anew" in rig.halted()[0]
    assert sorted(rig.store.inner.positions((rig.log.topic_id, 0))) == [0, 1, 2, 3]


def test_an_end_that_a_broker_shows_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(partitions=1)
    rig.append(0, 4)
    rig.turn(6)
    late = iter([(0, 0), (0, 2)])
    bounds = rig.log.bounds
    monkeypatch.setattr(rig.log, "bounds", lambda partition: next(late, None) or bounds(partition))
    rig.crash()
    rig.append(0, 4)
    rig.turn(6)
    assert rig.halted() == []
    assert rig.wrong(0, finished=True) is None

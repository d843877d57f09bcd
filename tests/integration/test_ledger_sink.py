"""The ledger's tables equal the topic after kill -9 and outages; a record that is none stops the part."""

from __future__ import annotations

import pytest

from connectors.clickhouse.client import Client
from tests.ledger_world import caught_up, record, stored, write, written
from tests.parts import PartProcess
from tests.sinks import clickhouse
from tests.space import Space
from tests.waiting import until
from tests.wire import Wire

KILLED = ("tests.ledger_worker",)


def killed_at(space: Space, *faults: str) -> None:
    with PartProcess(space, "ledger-sink", (*KILLED, *faults)) as part:
        until(lambda: part.process.poll() is not None, 60, part.story)
        assert part.process.returncode == -9, part.text()


def quiet(space: Space) -> Client:
    """No merges: what was inserted twice stays visible to whoever reads without FINAL."""
    with clickhouse(space, "ADMIN") as admin:
        for table in ("ledger", "ledger_sequences"):
            admin.command(f"SYSTEM STOP MERGES {table}", database=space.name)
    return admin


def test_killed_between_insert_and_commit_the_tables_equal_the_topic(provisioned: Space) -> None:
    quiet(provisioned)
    write(provisioned, [record(p, start) for start in range(0, 300, 10) for p in range(4)])
    killed_at(provisioned, "kill@ledger_sequences:1")
    killed_at(provisioned, "kill@ledger:1")
    with PartProcess(provisioned, "ledger-sink") as part:
        caught_up(provisioned, part)
        write(provisioned, [record(p, start) for start in range(300, 400, 10) for p in range(4)])
        caught_up(provisioned, part)
    assert stored(provisioned) == written(provisioned)
    ledger, sequences = stored(provisioned, final="")
    assert max(ledger.values()) > 1 and max(sequences.values()) > 1, "negative control: without the position it is there twice"


@pytest.mark.parametrize("faults", [(), ("ledger_first",)])
def test_a_row_of_the_ledger_says_that_its_sequences_are_there(provisioned: Space, faults: tuple[str, ...]) -> None:
    write(provisioned, [record(0, 0)])
    first = "ledger" if faults else "ledger_sequences"
    killed_at(provisioned, f"kill@{first}:1", *faults)
    ledger, sequences = stored(provisioned)
    assert (len(ledger), len(sequences)) == ((1, 0) if faults else (0, 4)), "with the order off the ledger claims too much"


def test_a_record_that_is_none_stops_the_part_and_loses_nothing_before_it(provisioned: Space) -> None:
    write(provisioned, [record(0, 0), b"\0\0\0\0\1nonsense", record(0, 10), record(1, 0)])
    with PartProcess(provisioned, "ledger-sink") as part:
        until(lambda: len(stored(provisioned)[0]) == 2, 60, part.story)
        until(lambda: part.health()[0] == 503, 30, part.story)
        assert f"{provisioned.name}.ledger[0]: offset 1 is not a record of its schema" in part.health()[1]
        assert any(s.name == "auditwire_sink_halted" and s.value == 1 for s in part.scrape())
        write(provisioned, [record(1, 10)])
        until(lambda: len(stored(provisioned)[0]) == 3, 30, "the other partitions go on")
    assert {key[:2] for key in stored(provisioned)[0]} == {(0, 0), (1, 0), (1, 1)}


def test_answers_of_clickhouse_that_get_lost_are_waited_out_and_said(provisioned: Space) -> None:
    with (
        Wire(provisioned.env["AUDITWIRE_CLICKHOUSE_URL"]) as relay,
        PartProcess(provisioned, "ledger-sink", CLICKHOUSE_URL=relay.url) as part,
    ):
        write(provisioned, [record(0, 0)])
        until(lambda: len(stored(provisioned)[0]) == 1, 60, part.story)
        until(part.healthy, 30, part.story)
        relay.order("lose", rb"^POST .*INSERT", times=1000)
        write(provisioned, [record(p, 10) for p in range(4)])
        until(lambda: part.health()[0] == 503 and "ClickHouse" in part.health()[1], 30, part.story)
        relay.calm()
        caught_up(provisioned, part)
    assert stored(provisioned) == written(provisioned)

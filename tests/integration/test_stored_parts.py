"""What is kept of each part adds up to what reading every row would give, whatever becomes of rows and parts meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from connectors.clickhouse import migrations
from connectors.clickhouse.client import ClickHouseError, Client
from pipeline.export import stored_parts
from pipeline.export.producer_queries import THERE
from pipeline.export.stored_parts import StoredParts
from tests.export_service import connect
from tests.space import Space

TOPIC = "some-topic"
BRUTE = """SELECT kafka_partition, countIf(processed_raw_offset < {raw:Array(Int64)}[kafka_partition + 1]) FROM events
WHERE kafka_topic_id = {topic:String} GROUP BY kafka_partition"""


class Watched(Client):
    """A client that keeps what it was asked, and runs ``meanwhile`` once, after it was told which parts there are."""

    asked: list[str]
    meanwhile: Any = None

    def rows(self, sql: str, parameters: Mapping[str, str | int] | None = None, **settings: str | int) -> list[list[Any]]:
        self.asked.append(sql)
        found = super().rows(sql, parameters, **settings)
        if "count()" in sql and self.meanwhile is not None:
            now, self.meanwhile = self.meanwhile, None
            now()
        return found


class World:
    """The tables of a namespace, an administrator, and the count as the export service's user."""

    def __init__(self, space: Space, admin: Client, export: Watched) -> None:
        self.space, self.admin, self.export = space, admin, export
        self.parts = StoredParts(space.name, export)

    def tell(self, sql: str) -> None:
        self.admin.command(sql, database=self.space.name, mutations_sync=2, alter_sync=2)

    def merging(self) -> None:
        """From now on parts may be merged, and mutations run."""
        self.tell(f"SYSTEM START MERGES {self.space.name}.events")

    def add(self, first: int, last: int, partition: int = 0, topic: str = TOPIC, raw: str = "number", count: int = 1) -> None:
        """A part with a row, or ``count`` equal ones, for each number."""
        self.tell(
            "INSERT INTO events (tenant_id, kafka_topic_id, kafka_partition, kafka_offset, kafka_timestamp, processed_raw_offset)"
            f" SELECT 'demo', '{topic}', {partition}, number, '2026-11-01 00:00:00', {raw}"
            f" FROM (SELECT intDiv(number, {count}) + {first} AS number FROM numbers({count * (last - first + 1)}))"
        )

    def check(self, *below: int) -> int:
        """The count is what reading every row gives; how many rows' parts were asked for."""
        self.export.asked = []
        raw = dict(enumerate(below))
        found = self.parts.below(TOPIC, raw)
        rows = self.admin.rows(BRUTE, {"topic": TOPIC, "raw": str(list(below))}, database=self.space.name)
        assert {p: n for p, n in found.items() if n} == {p: n for p, n in rows if n}
        return sum("countIf" in sql for sql in self.export.asked)


@contextmanager
def made(space: Space) -> Iterator[World]:
    admin, plain = connect(space, "admin"), connect(space, "export")
    migrations.apply(admin, space.name)
    admin.command(f"SYSTEM STOP MERGES {space.name}.events")
    plain.__class__ = Watched
    export: Any = plain
    export.asked = []
    try:
        yield World(space, admin, export)
    finally:
        admin.close()
        plain.close()


@pytest.fixture
def world(namespace: Space) -> Iterator[World]:
    with made(namespace) as one:
        yield one


def test_a_part_that_is_covered_by_half_is_read_and_one_that_is_covered_whole_only_once(world: World) -> None:
    world.add(0, 99)
    world.add(100, 199)
    world.add(0, 49, partition=1)
    world.add(0, 999, topic="another")
    assert world.check(0, 0) == 1
    assert world.check(150, 50) == 1
    assert world.check(151, 50) == 1, "half of the second part: its number of before is no longer true"
    assert world.check(200, 50) == 1
    assert world.check(200, 50) == 0, "everything is known"
    assert world.check(5000, 5000) == 0
    assert world.check(50, 7) == 1, "the ledger's tables lost their end: what was whole is no longer"
    world.add(200, 299)
    assert world.check(300, 50) == 1


def test_without_looking_whether_a_part_is_covered_whole_the_count_is_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(stored_parts, "_wholly", lambda held, raw: True)
    world.add(0, 99)
    world.check(50)
    with pytest.raises(AssertionError):
        world.check(100)


def test_what_is_added_changed_or_taken_away_below_is_seen_at_once(world: World) -> None:
    world.merging()
    world.add(0, 99)
    world.add(100, 199)
    world.check(200)
    world.add(5, 5)
    world.check(200)
    world.add(10, 12, count=3)
    world.add(20, 24, raw="NULL")
    world.add(30, 34, raw="-number")
    world.check(200)
    world.tell("ALTER TABLE events DELETE WHERE processed_raw_offset = 7")
    world.check(200)
    world.tell("ALTER TABLE events UPDATE processed_raw_offset = 500 WHERE processed_raw_offset = 9")
    world.check(200)
    ((partition,),) = world.admin.rows(
        "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = {d:String} AND table = 'events'",
        {"d": world.space.name},
    )
    world.tell(f"ALTER TABLE events DROP PARTITION ID '{partition}'")
    world.check(200)
    assert world.parts._known == {}, "nothing is kept of what is gone"


def test_a_table_made_anew_has_parts_of_the_same_names_and_other_events(world: World) -> None:
    world.add(0, 99)
    world.check(200)
    world.tell("DROP TABLE events SYNC")
    migrations.apply(world.admin, world.space.name)
    world.add(0, 99, raw="number + 150")
    world.check(200)


def test_parts_that_are_merged_while_they_are_counted_are_counted_once(world: World) -> None:
    def merge() -> None:
        world.merging()
        world.tell("OPTIMIZE TABLE events FINAL")

    for n in range(4):
        world.add(n * 100, n * 100 + 99)
    world.export.meanwhile = merge
    assert world.check(400) == 2, "the parts of the first list are gone, so their number does not count"
    assert world.check(400) == 0


def test_a_table_that_never_rests_is_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.merging()
    world.add(0, 99)
    monkeypatch.setattr(stored_parts, "ROUNDS", 1)
    world.export.meanwhile = lambda: world.tell("ALTER TABLE events DELETE WHERE processed_raw_offset = 1")
    with pytest.raises(ClickHouseError, match=r"system\.merges"):
        world.parts.below(TOPIC, {0: 100})
    world.check(100)


def test_many_rows_are_counted_in_portions_and_what_was_counted_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_parts, "MOST_ROWS", 250)
    for n in range(5):
        world.add(n * 100, n * 100 + 99)
    assert world.check(500) == 3
    assert world.check(500) == 0


def test_which_parts_there_are_is_said_without_reading_a_row(world: World) -> None:
    world.add(0, 9999)
    plan = world.admin.rows("EXPLAIN " + THERE.replace("{view}", f"`{world.space.name}`.stored_parts"), database=world.space.name)
    assert any("_minmax_count_projection" in line for (line,) in plan), plan

"""How many events ClickHouse holds below a raw offset, without reading the whole table each time.

ClickHouse keeps a table in parts, which never change: an insert makes one, a merge or a mutation makes another under another name
and takes the old ones away. So a part that lies wholly below the offset is counted once, and its number holds for as long as its
name is there. Which names are there the server says without reading a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from connectors.clickhouse.client import ClickHouseError, Client
from pipeline.export.producer_queries import HELD, THERE, array, by_partition
from pipeline.export.reading import LIMITS

MOST_ROWS, MOST_PARTS = 300_000_000, 500
ROUNDS = 10
RESTLESS = "the parts of the table `events` changed each time that they were counted: look at system.merges"


class Part(NamedTuple):
    """Its name, and the UUID of the table: one that is made anew gives the same names again."""

    table_id: str
    name: str


class Held(NamedTuple):
    """What a part has of a partition: ``below`` events below the raw offset that was asked for, and its highest raw offset."""

    partition: int
    below: int
    highest: int


@dataclass
class StoredParts:
    """Counts in the table `events` of a namespace. Keeps a few numbers a part. For one thread at a time."""

    namespace: str
    clickhouse: Client
    _topic_id: str = ""
    _known: dict[Part, list[Held]] = field(default_factory=dict)

    def below(self, topic_id: str, raw: Mapping[int, int]) -> dict[int, int]:
        """Partition → stored events of the topic whose raw offset is below the partition's in ``raw``, all seen at one moment.

        Raises ClickHouseError; what was counted by then need not be counted again.
        """
        if topic_id != self._topic_id:
            self._topic_id, self._known = topic_id, {}
        there = self._there()
        for _ in range(ROUNDS):
            self._known = {part: held for part, held in self._known.items() if part in there and _wholly(held, raw)}
            known = dict(self._known)
            asked = {part: rows for part, rows in there.items() if part not in known}
            found, after = self._counted(topic_id, asked, raw, there)
            if asked.keys() <= after.keys():
                return _added([*known.values(), *found.values()])
            there = after
        raise ClickHouseError(RESTLESS)

    def _there(self) -> dict[Part, int]:
        """The parts, and how many rows of any topic each has."""
        rows = self.clickhouse.rows(THERE.replace("{view}", self._view), {}, **LIMITS)
        return {Part(table_id, name): count for table_id, name, count in rows}

    def _counted(
        self, topic_id: str, asked: Mapping[Part, int], raw: Mapping[int, int], there: dict[Part, int]
    ) -> tuple[dict[Part, list[Held]], dict[Part, int]]:
        """What these parts have, and which parts are there afterwards: a part that is gone may not have been counted."""
        counted: dict[Part, list[Held]] = {}
        for some in _portions(asked):
            found = {part: list[Held]() for part in some}
            of = {part.name: part for part in some}
            values = {"topic_id": topic_id, "parts": array(list(of)), "raw": by_partition(dict(raw))}
            for name, *held in self.clickhouse.rows(HELD.replace("{view}", self._view), values, **LIMITS):
                found[of[name]].append(Held(*held))
            there = self._there()
            self._known |= {part: held for part, held in found.items() if part in there and _wholly(held, raw)}
            counted |= found
        return counted, there

    @property
    def _view(self) -> str:
        return f"`{self.namespace}`.stored_parts"


def _wholly(held: Iterable[Held], raw: Mapping[int, int]) -> bool:
    """Whether all that a part has lies below: only then does the number hold when the offsets rise."""
    return all(one.highest < raw.get(one.partition, 0) for one in held)


def _added(parts: Iterable[Iterable[Held]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for held in parts:
        for one in held:
            total[one.partition] = total.get(one.partition, 0) + one.below
    return total


def _portions(parts: Mapping[Part, int]) -> Iterator[list[Part]]:
    """So many parts at a time that a question stays within its limits. Parts of different tables never share one."""
    some: list[Part] = []
    rows = 0
    for part in sorted(parts):
        if some and (rows + parts[part] > MOST_ROWS or len(some) == MOST_PARTS or part.table_id != some[0].table_id):
            yield some
            some, rows = [], 0
        some.append(part)
        rows += parts[part]
    if some:
        yield some

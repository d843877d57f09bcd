"""What the stores know of a tenant's producers: the ledger's tables, heartbeats among the events, operators' statements.

Asked in one order: the pipeline's moment first, then the ledger, then the heartbeats that were received before that moment: what
a heartbeat speaks of lies before it in the same partition, so it is stored too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.clickhouse.client import Client
from connectors.postgres.producers import Declared
from pipeline.completeness import (
    Completeness,
    Facts,
    Gap,
    Heartbeat,
    Key,
    Loss,
    Safety,
    Seen,
    Statement,
    Times,
    edges,
    judge,
)
from pipeline.completeness_rows import Count, Gathered, drops
from pipeline.export.counted import Counted
from pipeline.export.producer_queries import (
    ALL_LOSSES,
    BOUNDARIES,
    DROPS,
    EDGES,
    HEARTBEATS,
    ISLANDS,
    LOSSES,
    MOST_BLOCKS,
    MOST_BOUNDARIES,
    MOST_BROKEN,
    MOST_EDGES,
    MOST_LOSSES,
    NEWEST,
    RECEIVED,
    array,
    by_partition,
)
from pipeline.export.queries import micros
from pipeline.export.reading import LIMITS
from pipeline.export.watermark import Complete, Watermark

HEARTBEAT, CLOSED = "auditwire.producer.heartbeat", "auditwire.producer.closed"
LAST = 2**63 - 1
TOO_MANY = (
    "the numbers of this tenant's producers lie in too many pieces to be listed, so gaps may not be named: find the producer that"
    " does not number its events one after the other (docs/completeness.md)"
)


@dataclass(frozen=True)
class Ledger:
    """Which rows of the ledger's tables count: of the topic that is there now, before its end."""

    topic_id: str
    ends: Mapping[int, int]

    def asked(self) -> dict[str, str | int]:
        return {"topic_id": self.topic_id, "ends": by_partition(dict(self.ends))}


@dataclass(frozen=True)
class Producers:
    """Asks about tenants. ``statements``: the operators' of a tenant. Raises ClickHouseError, MarksError, PostgresError."""

    namespace: str
    clickhouse: Client
    watermark: Watermark
    statements: Callable[[str], Sequence[Declared]]
    safety: Safety | None = None
    counted: Counted | None = None

    def of(self, tenant: str) -> tuple[Complete, Completeness]:
        """The pipeline's moment, and what is known of the tenant's producers at it."""
        complete = self.watermark.now()
        until = micros(complete.until)
        ledger = self._ledger(sorted(complete.raw))
        losses, ledger_until = self._losses(ledger, until), self._behind(ledger, complete)
        problems = [] if self.counted is None else [self.counted.problem(complete, ledger.topic_id, ledger.ends)]
        said = {
            (d.producer_id, d.producer_epoch): Statement(d.stated_by, micros(d.stated_at), d.reason)
            for d in self.statements(tenant)
        }
        ranges, trouble = self._ranges(tenant, ledger, until)
        received = self._received(tenant, ledger) if said else {}
        beats = self._heartbeats(tenant, until)
        dropped = self._drops(tenant, until) if any(beat.dropped for beat in beats.values()) else {}
        seen = ranges.seen([*beats, *said])
        times = self._times(tenant, seen, beats)

        def facts(key: Key) -> Facts:
            return Facts(beats.get(key), said.get(key), times.get(key, {}), dropped.get(key, ()), received.get(key, 0))

        judged = (judge(one, facts(one.key), until, self.safety) for one in seen)
        told = tuple(problem for problem in [*problems, trouble] if problem is not None)
        return complete, Completeness(tuple(judged), tuple(losses), ledger_until, told)

    def _ledger(self, partitions: list[int]) -> Ledger:
        topic = f"{self.namespace}.ledger"
        return Ledger(self.watermark.topic_id(topic), self.watermark.ends(topic, partitions))

    def _losses(self, ledger: Ledger, until: int) -> list[Loss]:
        """Raw records that were lost; where they were lost very often, one a partition."""
        rows = self._rows(LOSSES, "ledger_ranges", topic_id=ledger.topic_id)
        if len(rows) > MOST_LOSSES:
            rows = self._rows(ALL_LOSSES, "ledger_ranges", topic_id=ledger.topic_id)
        found = []
        for partition, offset, lost, at in rows:
            before = self._newest(ledger, partition, offset)
            found.append(Loss(partition, lost, before[1] if before else 0, at or until))
        return found

    def _behind(self, ledger: Ledger, complete: Complete) -> int | None:
        """Up to when the tables have what the pipeline has; None: all of it."""
        behind = []
        for partition, position in complete.raw.items():
            newest = self._newest(ledger, partition, LAST)
            if position > (newest[0] if newest else 0):
                behind.append(newest[1] if newest else 0)
        return min(behind, default=None)

    def _newest(self, ledger: Ledger, partition: int, below: int) -> tuple[int, int] | None:
        below = min(below, ledger.ends.get(partition, 0))
        rows = self._rows(NEWEST, "ledger_ranges", topic_id=ledger.topic_id, partition=partition, below=below)
        return (rows[0][0], rows[0][1]) if rows else None

    def _ranges(self, tenant: str, ledger: Ledger, until: int) -> tuple[Gathered, str | None]:
        """What the ledger has seen; beside it None, or why that may not be all."""
        gathered, broken = Gathered(), []
        asked = {"tenant": tenant, "until": until // 1000, **ledger.asked()}
        blocks = self._rows(ISLANDS, "sequences_of", **asked)
        for producer, epoch, fate, block, begin, end, _, _, unbroken in blocks:
            if unbroken:
                gathered.add(producer, epoch, fate, begin, 1)
                gathered.add(producer, epoch, fate, end, -1)
            else:
                broken.append((producer, epoch, fate, block))
        most = broken[:MOST_BROKEN]
        edges = self._rows(BOUNDARIES, "sequences_of", **asked, **_blocks(most)) if most else []
        for edge in edges:
            gathered.add(*edge)
        full = len(blocks) > MOST_BLOCKS or len(broken) > MOST_BROKEN or len(edges) > MOST_BOUNDARIES
        return gathered, TOO_MANY if full else None

    def _received(self, tenant: str, ledger: Ledger) -> dict[Key, int]:
        rows = self._rows(RECEIVED, "sequences_of", tenant=tenant, **ledger.asked())
        return {(producer, epoch): at for producer, epoch, at in rows}

    def _heartbeats(self, tenant: str, until: int) -> dict[Key, Heartbeat]:
        found = {}
        for row in self._said(HEARTBEATS, tenant, until):
            producer, epoch, number, observed, received, interval, dropped, kind = row
            period = interval or 0.0  # JSON has no infinity, ClickHouse says null
            found[producer, epoch] = Heartbeat(number, observed, received, period, dropped, closed=kind == CLOSED)
        return found

    def _drops(self, tenant: str, until: int) -> dict[Key, list[Gap]]:
        """What a limit leaves out is in the number of the last heartbeat: `judge` names it."""
        found: dict[Key, list[Count]] = {}
        for producer, epoch, *count in self._said(DROPS, tenant, until):
            found.setdefault((producer, epoch), []).append(Count(*count))
        return {key: drops(counts) for key, counts in found.items()}

    def _times(self, tenant: str, seen: Iterable[Seen], beats: Mapping[Key, Heartbeat]) -> dict[Key, dict[int, Times]]:
        wanted = [(one.key, n) for one in seen for n in sorted(edges(one, beats.get(one.key)))][:MOST_EDGES]
        if not wanted:
            return {}
        given = {
            "producers": array([key[0] for key, _ in wanted]),
            "epochs": str([key[1] for key, _ in wanted]),
            "numbers": str([n for _, n in wanted]),
        }
        found: dict[Key, dict[int, Times]] = {}
        for producer, epoch, number, observed, received in self._rows(EDGES, "events_of", tenant=tenant, **given):
            found.setdefault((producer, epoch), {})[number] = Times(observed, received)
        return found

    def _said(self, sql: str, tenant: str, until: int) -> list[list[Any]]:
        return self._rows(sql, "events_of", tenant=tenant, until=until // 1000, heartbeat=HEARTBEAT, closed=CLOSED)

    def _rows(self, sql: str, view: str, **parameters: str | int) -> list[list[Any]]:
        named = "tenant" if "tenant" in parameters else "topic_id"
        source = f"`{self.namespace}`.{view}({named}={{{named}:String}})"
        return self.clickhouse.rows(sql.replace("{view}", source), parameters, **LIMITS)


def _blocks(broken: Sequence[tuple[str, int, str, int]]) -> dict[str, str]:
    return {
        "producers": array([one[0] for one in broken]),
        "epochs": str([one[1] for one in broken]),
        "fates": array([one[2] for one in broken]),
        "blocks": str([one[3] for one in broken]),
    }

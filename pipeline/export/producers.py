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
    Gathered,
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
from pipeline.export.queries import micros
from pipeline.export.reading import LIMITS
from pipeline.export.watermark import Complete, Watermark

HEARTBEAT, CLOSED = "auditwire.producer.heartbeat", "auditwire.producer.closed"
MOST_EDGES = 20_000
RANGES = """
SELECT producer_id, producer_epoch, fate, min(first), max(last) FROM (
    SELECT producer_id, producer_epoch, fate, first, last,
           sum(opens) OVER (PARTITION BY producer_id, producer_epoch, fate ORDER BY first, last
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS island
    FROM (
        SELECT producer_id, producer_epoch, first, last,
               if(kind = 'stored' AND kafka_timestamp >= fromUnixTimestamp64Milli({until:Int64}), 'late', kind) AS fate,
               first > 1 + max(last) OVER (PARTITION BY producer_id, producer_epoch, fate ORDER BY first, last
                                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS opens
        FROM {view} WHERE first <= last))
GROUP BY producer_id, producer_epoch, fate, island
"""
SAID = """
SELECT producer_id, producer_epoch, assumeNotNull(sequence) AS number, event_type,
       toUnixTimestamp64Micro(coalesce(observed_at, occurred_at)) AS observed,
       toUnixTimestamp64Micro(assumeNotNull(processed_ingested_at)) AS received,
       toFloat64OrZero(arrayFirst(a -> a.key = 'interval_seconds', attributes).value) AS period,
       toInt64OrZero(arrayFirst(a -> a.key = 'dropped', attributes).value) AS dropped
FROM {view} WHERE event_type IN ({heartbeat:String}, {closed:String}) AND isNotNull(sequence) AND isNotNull(producer_epoch)
  AND processed_ingested_at < fromUnixTimestamp64Milli({until:Int64})
"""
HEARTBEATS = f"""
SELECT producer_id, assumeNotNull(producer_epoch), max(number), argMax(observed, number), argMax(received, number),
       argMax(period, number), argMax(dropped, number), argMax(event_type, number)
FROM ({SAID}) GROUP BY producer_id, producer_epoch
"""  # noqa: S608
DROPS = f"""
SELECT producer_id, assumeNotNull(producer_epoch), number_before, number, observed_before, observed, dropped - dropped_before
FROM (
    SELECT producer_id, producer_epoch, number, observed, dropped,
           lagInFrame(number, 1, -1) OVER w AS number_before, lagInFrame(observed, 1, 0) OVER w AS observed_before,
           lagInFrame(dropped, 1, 0) OVER w AS dropped_before
    FROM ({SAID})
    WINDOW w AS (PARTITION BY producer_id, producer_epoch ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
WHERE dropped > dropped_before ORDER BY producer_id, producer_epoch, number LIMIT 10000
"""  # noqa: S608
EDGES = """
SELECT producer_id, assumeNotNull(producer_epoch), assumeNotNull(sequence),
       min(toUnixTimestamp64Micro(coalesce(observed_at, occurred_at))),
       max(toUnixTimestamp64Micro(coalesce(processed_ingested_at, occurred_at)))
FROM {view} WHERE (producer_id, producer_epoch, sequence) IN (
    SELECT e.1, e.2, e.3 FROM (
        SELECT arrayJoin(arrayZip({producers:Array(String)}, {epochs:Array(Int64)}, {numbers:Array(Int64)})) AS e))
GROUP BY producer_id, producer_epoch, sequence
"""
LOSSES = """
SELECT DISTINCT kafka_partition, kafka_offset, lost, toUnixTimestamp64Micro(max_timestamp) FROM {view} WHERE lost > 0
ORDER BY kafka_partition, kafka_offset LIMIT 1000
"""
NEWEST = """
SELECT end_offset, toUnixTimestamp64Micro(max_timestamp) FROM {view}
WHERE kafka_partition = {partition:UInt16} AND kafka_offset < {below:Int64} ORDER BY kafka_offset DESC LIMIT 1
"""
LAST = 2**63 - 1


@dataclass(frozen=True)
class Producers:
    """Asks about tenants. ``statements``: the operators' of a tenant. Raises ClickHouseError, MarksError, PostgresError."""

    namespace: str
    clickhouse: Client
    watermark: Watermark
    statements: Callable[[str], Sequence[Declared]]
    safety: Safety | None = None

    def of(self, tenant: str) -> tuple[Complete, Completeness]:
        """The pipeline's moment, and what is known of the tenant's producers at it."""
        complete = self.watermark.now()
        until = micros(complete.until)
        losses, ledger_until = self._ledger(complete, until)
        said = {
            (d.producer_id, d.producer_epoch): Statement(d.stated_by, micros(d.stated_at), d.reason)
            for d in self.statements(tenant)
        }
        ranges = self._ranges(tenant, until)
        beats = self._heartbeats(tenant, until)
        drops = self._drops(tenant, until) if any(beat.dropped for beat in beats.values()) else {}
        seen = ranges.seen([*beats, *said])
        times = self._times(tenant, seen, beats)
        judged = (
            judge(one, Facts(beats.get(k), said.get(k), times.get(k, {}), drops.get(k, ())), until, self.safety)
            for one in seen
            for k in (one.key,)
        )
        return complete, Completeness(tuple(judged), tuple(losses), ledger_until)

    def _ledger(self, complete: Complete, until: int) -> tuple[list[Loss], int | None]:
        """Raw records that were lost, and up to when the tables have what the pipeline has; None: all of it."""
        topic = self.watermark.topic_id(f"{self.namespace}.ledger")
        losses, behind = [], []
        for partition, offset, lost, at in self._rows(LOSSES, "ledger_ranges", topic_id=topic):
            before = self._newest(topic, partition, offset)
            losses.append(Loss(partition, lost, before[1] if before else 0, at or until))
        for partition, position in complete.raw.items():
            newest = self._newest(topic, partition, LAST)
            if position > (newest[0] if newest else 0):
                behind.append(newest[1] if newest else 0)
        return losses, min(behind, default=None)

    def _newest(self, topic: str, partition: int, below: int) -> tuple[int, int] | None:
        rows = self._rows(NEWEST, "ledger_ranges", topic_id=topic, partition=partition, below=below)
        return (rows[0][0], rows[0][1]) if rows else None

    def _ranges(self, tenant: str, until: int) -> Gathered:
        gathered = Gathered()
        for producer, epoch, fate, first, last in self._rows(RANGES, "sequences_of", tenant=tenant, until=until // 1000):
            gathered.add(producer, epoch, fate, first, last)
        return gathered

    def _heartbeats(self, tenant: str, until: int) -> dict[Key, Heartbeat]:
        found = {}
        for row in self._said(HEARTBEATS, tenant, until):
            producer, epoch, number, observed, received, interval, dropped, kind = row
            found[producer, epoch] = Heartbeat(number, observed, received, interval, dropped, closed=kind == CLOSED)
        return found

    def _drops(self, tenant: str, until: int) -> dict[Key, list[Gap]]:
        found: dict[Key, list[Gap]] = {}
        for producer, epoch, before, number, begun, observed, count in self._said(DROPS, tenant, until):
            since = begun or max(0, min(epoch, observed))
            gap = Gap("dropped", before + 1, number, since, observed, dropped=count)
            found.setdefault((producer, epoch), []).append(gap)
        return found

    def _times(self, tenant: str, seen: Iterable[Seen], beats: Mapping[Key, Heartbeat]) -> dict[Key, dict[int, Times]]:
        wanted = [(one.key, n) for one in seen for n in sorted(edges(one, beats.get(one.key)))][:MOST_EDGES]
        if not wanted:
            return {}
        given = {
            "producers": "[" + ",".join(_quoted(key[0]) for key, _ in wanted) + "]",
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
        named = "topic_id" if "topic_id" in parameters else "tenant"
        source = f"`{self.namespace}`.{view}({named}={{{named}:String}})"
        return self.clickhouse.rows(sql.replace("{view}", source), parameters, **LIMITS)


def _quoted(text: str) -> str:
    """As an item of an array in a parameter."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

"""Answers of the reading API out of ClickHouse: a page of events, one event, types, counts. Bounded in time, memory and bytes.

A page is read in two steps: first the sort keys of its events, over ever longer stretches of time, with LIMIT and in the table's
order; then the columns of just those events. So a page costs the same wherever it lies, and nobody pays for an OFFSET.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from connectors.clickhouse.client import ClickHouseError, Client
from pipeline.export import columns
from pipeline.export.cursors import Key
from pipeline.export.errors import RefusedError, UnavailableError
from pipeline.export.formats import JsonLines
from pipeline.export.queries import Params, Reading

MOST_BYTES = 16 << 20
BUDGET_SECONDS = 10.0
FIRST_STRETCH, GROWTH = 6 * 3_600_000_000, 4
MOST_SERIES, MOST_TYPES, MOST_CONFLICTS = 1000, 10_000, 20
MOST_BUCKETS = 120
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
KEY_COLUMNS = ("event_id", "kafka_partition", "kafka_offset", "kafka_topic_id")
# A read may not take the server from the others: two threads, a gigabyte, sorting and grouping spill to disk.
LIMITS: Mapping[str, str | int] = {
    "max_execution_time": 20,
    "max_threads": 2,
    "max_memory_usage": 1_000_000_000,
    "max_bytes_before_external_sort": 200_000_000,
    "max_bytes_before_external_group_by": 200_000_000,
}
ARROW: Mapping[str, str | int] = {
    **LIMITS,
    "max_block_size": 32,  # an event may have 512 KiB, and what becomes of a block is held several times
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "output_format_arrow_string_as_string": 1,
}
TOO_MUCH = frozenset({158, 159, 160, 241, 307, 396})  # too many rows, timeout, too slow, memory, bytes, rows or bytes
AT_ONCE, WAITING = 8, 16
_WORKING, _INSIDE = threading.BoundedSemaphore(AT_ONCE), threading.BoundedSemaphore(AT_ONCE + WAITING)


@dataclass(frozen=True)
class Page:
    """``events`` as JSON objects in order; ``end``: the key of the last, or where to go on; None where there is no more."""

    events: list[bytes]
    end: Key | None


@dataclass(frozen=True)
class Pages:
    """Pages of one query in one order. Raises RefusedError where the server gives up, ClickHouseError."""

    reading: Reading
    clickhouse: Client
    descending: bool = False
    most_bytes: int = MOST_BYTES
    budget: float = BUDGET_SECONDS

    def page(self, after: Key | None, limit: int) -> Page:
        """The events behind ``after``, at most ``limit``; fewer where they are large or far apart: the end says whether there
        are more.
        """
        with bounded(self.reading.query.tenant):
            keys, stopped = self._keys(after, limit + 1)
            if not keys:
                return Page([], stopped)
            more = len(keys) > limit
            wanted = keys[:limit]
            events, last = self._events(wanted)
            return Page(events, last if more or len(events) < len(wanted) else stopped)

    def _keys(self, after: Key | None, limit: int) -> tuple[list[Key], Key | None]:
        """Up to ``limit`` keys; where time ran out before the range did, also where to go on."""
        keys: list[Key] = []
        begun = time.monotonic()
        for low, high in self._stretches(after):
            if time.monotonic() - begun > self.budget:
                return keys, _border(high if self.descending else low)
            keys += self._stretch(low, high, after, limit - len(keys))
            if len(keys) >= limit:
                break
        return keys, None

    def _stretches(self, after: Key | None) -> Iterator[tuple[int, int]]:
        """Ever longer parts of what is left of the range, from the side where the page begins."""
        low, high, width = self.reading.query.start, self.reading.query.end, FIRST_STRETCH
        if after is not None and self.descending:
            high = min(high, after[0] + 1)
        elif after is not None:
            low = max(low, after[0])
        while low < high:
            border = max(low, high - width) if self.descending else min(high, low + width)
            yield (border, high) if self.descending else (low, border)
            low, high = (low, border) if self.descending else (border, high)
            width *= GROWTH

    def _stretch(self, low: int, high: int, after: Key | None, limit: int) -> list[Key]:
        where, params = self._where(low, high, after)
        at = self.reading.query.time_column
        sql = (
            f"SELECT toUnixTimestamp64Micro(assumeNotNull({at})), {', '.join(KEY_COLUMNS)} FROM {self.reading.view}"  # noqa: S608
            f" WHERE {where} ORDER BY {self._order()} LIMIT {{limit:UInt32}}"
        )
        rows = self.clickhouse.rows(sql, params | {"limit": limit}, **LIMITS)
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def _events(self, keys: list[Key]) -> tuple[list[bytes], Key]:
        """The events of these neighbouring keys, and the last key that went in before they became too many bytes."""
        times = sorted((keys[0][0], keys[-1][0]))
        where, params = self._where(times[0], times[1] + 1, None)
        for name, key, sign in (("first", keys[0], 0), ("last", keys[-1], 1)):
            condition, given = self._beyond(name, key, ("<=" if bool(sign) != self.descending else ">="))
            where, params = f"{where} AND {condition}", params | given
        names = self.reading.query.columns
        listed = ", ".join(f"`{columns.known()[n].name}`" for n in names)
        sql = f"SELECT {listed} FROM {self.reading.view} WHERE {where} ORDER BY {self._order()}"  # noqa: S608
        events: list[bytes] = []
        size = 0
        with closing(self._batches(sql, params)) as batches:
            for batch in batches:
                for event in as_json(batch, names):
                    if events and size + len(event) > self.most_bytes:
                        return events, keys[len(events) - 1]
                    events.append(event)
                    size += len(event)
        if len(events) != len(keys):
            error, hint = "The events changed while they were read.", "Ask again."
            raise RefusedError(409, "changed", error, hint, tenant=self.reading.query.tenant, retry_after=1)
        return events, keys[-1]

    def _batches(self, sql: str, params: Params) -> Generator[pa.RecordBatch, None, None]:
        yield from self.clickhouse.batches(sql, params, **ARROW)

    def _where(self, low: int, high: int, after: Key | None) -> tuple[str, Params]:
        where, params = self.reading.where(low, high)
        if after is None:
            return where, params
        condition, given = self._beyond("after", after, "<" if self.descending else ">")
        return f"{where} AND {condition}", params | given

    def _beyond(self, name: str, key: Key, sign: str) -> tuple[str, Params]:
        types = ("Int64", "String", "Int32", "Int64", "String")
        at_, event_id, partition, offset, topic = key
        values: tuple[str | int, ...] = (at_, event_id, partition, offset, topic)
        params: Params = {f"{name}_{i}": value for i, value in enumerate(values)}
        at = f"toUnixTimestamp64Micro(assumeNotNull({self.reading.query.time_column}))"
        given = ", ".join(f"{{{name}_{i}:{kind}}}" for i, kind in enumerate(types))
        return f"({at}, {', '.join(KEY_COLUMNS)}) {sign} ({given})", params

    def _order(self) -> str:
        """The table is sorted by hour: named first, it lets the server stop at the limit."""
        at = self.reading.query.time_column
        names = (["toStartOfHour(occurred_at)"] if at == "occurred_at" else []) + [at, *KEY_COLUMNS]
        return ", ".join(f"{name} {'DESC' if self.descending else 'ASC'}" for name in names)


def as_json(batch: pa.RecordBatch, names: list[str]) -> list[bytes]:
    """Each row as a JSON object, exactly as a line of a JSONL extract."""
    schema = columns.arrow_schema(names)
    out = io.BytesIO()
    for typed in pa.Table.from_batches([batch]).cast(schema).to_batches():
        JsonLines(out, schema).write(typed)
    return out.getvalue().split(b"\n")[:-1]


def one(reading: Reading, clickhouse: Client) -> list[bytes]:
    """The stored events that the reading selects by their id, the first stored first, those flagged as conflicts last."""
    query = reading.query
    where, params = reading.where(query.start, query.end)
    listed = ", ".join(f"`{columns.known()[n].name}`" for n in query.columns)
    order = "processed_identity_conflict, kafka_timestamp, kafka_partition, kafka_offset"
    sql = f"SELECT {listed} FROM {reading.view} WHERE {where} ORDER BY {order} LIMIT {MOST_CONFLICTS + 1}"  # noqa: S608
    with bounded(query.tenant):
        return [event for batch in clickhouse.batches(sql, params, **ARROW) for event in as_json(batch, query.columns)]


def types(reading: Reading, clickhouse: Client) -> tuple[list[dict[str, Any]], int]:
    """Event types with count, first and last time, the most frequent first; and how many types were left out."""
    where, params = reading.where(reading.query.start, reading.query.end)
    first, last = (f"toUnixTimestamp64Micro({f}(occurred_at))" for f in ("min", "max"))
    sql = (
        f"SELECT event_type, count() AS events, {first}, {last}, count() OVER () FROM {reading.view} WHERE {where}"  # noqa: S608
        f" GROUP BY event_type ORDER BY events DESC, event_type LIMIT {MOST_TYPES}"
    )
    with bounded(reading.query.tenant):
        rows = clickhouse.rows(sql, params, **LIMITS)
    found = [{"event_type": t, "events": n, "first": low, "last": high} for t, n, low, high, _ in rows]
    return found, (rows[0][4] - len(rows)) if rows else 0


def step(start: int, end: int) -> int:
    """Seconds of a bucket so that at most MOST_BUCKETS cover a range in microseconds."""
    least = -(-(end - start) // (MOST_BUCKETS * 1_000_000))
    days = -(-least // 86_400) * 86_400
    return next((s for s in STEPS if s >= least), days)


def counts(reading: Reading, clickhouse: Client) -> dict[str, Any]:
    """Events by type and outcome over time: ``step_seconds``, ``total``, ``series`` and how many ``series_left_out``."""
    query = reading.query
    seconds = step(query.start, query.end)
    buckets = -(-(query.end - query.start) // (seconds * 1_000_000))
    where, params = reading.where(query.start, query.end)
    number = f"intDiv(toUnixTimestamp64Micro(assumeNotNull({query.time_column})) - {{origin:Int64}}, {{width:Int64}})"
    sql = (
        "SELECT event_type, outcome, sum(n) AS total, groupArray((bucket, n)), sum(sum(n)) OVER (), count() OVER () FROM"  # noqa: S608
        f" (SELECT event_type, outcome, {number} AS bucket, count() AS n FROM {reading.view} WHERE {where}"
        " GROUP BY event_type, outcome, bucket) GROUP BY event_type, outcome"
        f" ORDER BY total DESC, event_type, outcome LIMIT {MOST_SERIES}"
    )
    with bounded(query.tenant):
        rows = clickhouse.rows(sql, params | {"origin": query.start, "width": seconds * 1_000_000}, **LIMITS)
    series = []
    for event_type, outcome, total, pairs, _, _ in rows:
        counted = [0] * buckets
        for bucket, events in pairs:
            counted[bucket] = events
        series.append({"event_type": event_type, "outcome": outcome, "total": total, "counts": counted})
    total, known = (rows[0][4], rows[0][5]) if rows else (0, 0)
    return {"step_seconds": seconds, "total": total, "series": series, "series_left_out": known - len(series)}


def _border(micros: int) -> Key:
    """A key that no event has: before every event of this microsecond."""
    return micros, "", 0, -1, ""


@contextmanager
def bounded(tenant: str) -> Iterator[None]:
    """A few reads at a time, a few more wait; where the server gives up on one, the caller is told what to do.

    Raises RefusedError (422), UnavailableError where too many wait: the threads that serve everything else stay free.
    """
    if not _INSIDE.acquire(blocking=False):
        raise UnavailableError("Too many events are being read at this moment.", "Ask again in a few seconds.")
    try:
        with _WORKING:
            yield
    except ClickHouseError as exc:
        if exc.code not in TOO_MUCH:
            raise
        hint = "Narrow the range or filter by more, or ask for an extract: it takes any amount."
        raise RefusedError(422, "too_much", "That is too much to read at once.", hint, tenant=tenant) from exc
    finally:
        _INSIDE.release()

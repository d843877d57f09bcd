"""What `bench.scale` asks a large table, by the code that asks it in service: sinks, fsck, export service, sample queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.scale_rows import FIRST_DAY, PARTITIONS, Made
from connectors.clickhouse.client import Client
from connectors.clickhouse.store import WHERE_RANGE, ClickHouseStore, read_events
from connectors.kafka_marks import Marks, Positions
from connectors.ranges import Plan
from infra.queries import all_queries
from pipeline.export import queries, reading
from pipeline.export.columns import known
from pipeline.export.counted import Counted
from pipeline.export.extract import Attempt
from pipeline.export.producers import Producers
from pipeline.export.queries import Query, Reading, micros
from pipeline.export.watermark import Complete, Watermark
from pipeline.fsck.elsewhere import Elsewhere, Table
from pipeline.fsck.sources import CLICKHOUSE_WINDOW

TENANT = "demo"
RANGE = 50_000
Measure = Callable[[], object]


class Standing(Watermark):
    """Where Kafka would stand if the rows had come through it: everything is stored."""

    made: Made

    def now(self) -> Complete:
        return Complete(self.made.until + timedelta(minutes=1), Marks(self.made.topic_id, self.made.ends), self.made.ends)

    def topic_id(self, topic: str) -> str:
        return self.made.ledger_id

    def ends(self, topic: str, partitions: list[int]) -> dict[int, int]:
        return self.made.ledger_ends

    def newest(self) -> object:
        """What the real one asks while the sink is behind."""
        return self._stored_since(self.now().marks, list(range(PARTITIONS)), micros(self.made.until) // 1000 - 600_000)


class Nowhere:
    """Where the files of an extract go."""

    def put(self, key: str, path: Path, metadata: dict[str, str]) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class Asked:
    """A table and who may ask it. ``connect``: user → client; ``stack`` closes them."""

    database: str
    made: Made
    connect: Callable[[str], Client]
    stack: ExitStack

    def client(self, user: str) -> Client:
        return self.stack.enter_context(closing(self.connect(user)))

    def measures(self) -> dict[str, Measure]:
        """Name → what to time. All of them ask about as much at every size of the table."""
        return {**self._stores(), **self._export(), **self._completeness(), **self._samples()}

    def _stores(self) -> dict[str, Measure]:
        made, middle = self.made, self.made.rows // PARTITIONS // 2
        topic = f"{self.database}.events"
        claim = ClickHouseStore(self.client("sink"), self.database).take_over(topic, made.topic_id, 1)
        plan = Plan(topic, made.topic_id, 1, middle, middle + RANGE, RANGE, 0)
        operator = self.client("operator")
        window: dict[str, str | int] = {
            "topic_id": made.topic_id,
            "partition": 1,
            "start": middle,
            "end": middle + CLICKHOUSE_WINDOW,
        }
        elsewhere = Elsewhere(operator, self.database, ())

        def compared() -> int:
            return exactly(CLICKHOUSE_WINDOW, sum(b.num_rows for b in read_events(operator, self.database, WHERE_RANGE, window)))

        return {
            f"sink: read-back of {RANGE:,} positions": lambda: exactly(RANGE, claim.prove(plan).unique),
            "sink: where a partition stands (without a committed offset)": claim.stands_at,
            f"fsck: {CLICKHOUSE_WINDOW:,} positions of a partition, all columns": compared,
            "fsck: rows from nowhere (once a whole check)": lambda: list(
                elsewhere.foreign(Table("events", topic, made.topic_id, "not_in_topic"), list(range(PARTITIONS)))
            ),
        }

    def _reading(self, start: datetime, end: datetime, columns: list[str] | None = None, **filters: list[Any]) -> Reading:
        query = Query(TENANT, micros(start), micros(end), filters, columns or list(known()), "parquet")
        return Reading(self.database, query, Marks(self.made.topic_id, self.made.ends))

    def _export(self) -> dict[str, Measure]:
        client, until = self.client("export"), self.made.until
        hour = self._reading(until - timedelta(hours=12), until - timedelta(hours=11))
        day, all_ = self._reading(until - timedelta(days=1), until), self._reading(FIRST_DAY, until)
        extract = Attempt(hour, client, Nowhere(), "bench/", lambda: None)
        where, params = day.where(day.query.start, day.query.end)
        sql = f"SELECT event_id FROM {day.view} WHERE {where} LIMIT 1"
        wanted = str(client.rows(sql, params)[0][0])
        one = self._reading(queries.EARLIEST, queries.LATEST, None, event_id=[wanted])
        return {
            "export: extract of one hour of a tenant": extract.run,
            "export: first page of the last day": lambda: reading.Pages(day, client).page(None, 100),
            "export: newest page of all days": lambda: reading.Pages(all_, client, descending=True).page(None, 100),
            "export: one event by its id": lambda: exactly(1, len(reading.one(one, client))),
            "export: event types of a day": lambda: reading.types(day, client),
            "export: counts of a day": lambda: reading.counts(day, client),
        }

    def _completeness(self) -> dict[str, Measure]:
        client, made = self.client("export"), self.made

        def positions() -> Positions:
            raise RuntimeError("Kafka is not asked here")

        standing = Standing(self.database, positions, client, 0.0)
        standing.made = made
        producers = Producers(self.database, client, standing, lambda _: ())
        running = Counted(self.database, client, keep=0)

        def count(counted: Counted) -> None:
            if problem := counted.problem(standing.now(), made.ledger_id, made.ledger_ends):
                raise RuntimeError(problem)

        return {
            "completeness: are all events there, first after a start": lambda: count(Counted(self.database, client, keep=0)),
            "completeness: are all events there (at most every 10 s)": lambda: count(running),
            "completeness: a tenant's producers": lambda: producers.of(TENANT),
            "watermark: newest of each partition, while the sink is behind": standing.newest,
        }

    def _samples(self) -> dict[str, Measure]:
        client, until = self.client("analyst_demo"), self.made.until
        day = {"tenant": TENANT, "from": _text(until - timedelta(days=1)), "to": _text(until)}
        return {f"query: {q.path.stem}": _asked(client, self.database, q.sql, {**q.examples(), **day}) for q in all_queries()}


def _asked(client: Client, database: str, sql: str, values: Mapping[str, str]) -> Measure:
    if "{from:Date}" in sql:
        values = {**values, "from": values["from"][:10], "to": values["from"][:10]}
    return lambda: client.rows(sql, values, database=database)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def exactly(wanted: int, found: int) -> int:
    """The number, which is what it must be. Raises RuntimeError."""
    if found != wanted:
        raise RuntimeError(f"{found:,} instead of {wanted:,}: the rows are not as they should be")
    return found

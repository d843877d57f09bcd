"""Clean events in ClickHouse, each position once: fenced inserts of whole planned ranges, and reading them back.

An insert is one block with a deduplication token, but the token proves nothing: the server writes it down before the part,
and forgets it. What counts is the fence (checked by the server inside the insert) and the proof (read back by position).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import schemas
from connectors import avro
from connectors.clickhouse import ddl
from connectors.clickhouse.client import ClickHouseError, Client
from connectors.ranges import FencedError, OpenRange, Plan, Proof, RejectedError, Rows, StoreError

logger = logging.getLogger(__name__)
THROWN = 395  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
REJECTED = frozenset((6, 7, 8, 10, 16, 20, 26, 27, 33, 38, 41, 43, 44, 47, 50, 53, 69, 70, 72, 117, 131, 321, 349, 407))
"""Codes by which the server refuses the data itself (types, columns, formats): trying again cannot help."""

ONE_BLOCK: dict[str, str | int] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "max_insert_threads": 1,
    "max_threads": 1,
    "min_insert_block_size_rows": 1 << 20,
    "min_insert_block_size_bytes": 0,
    "max_partitions_per_insert_block": 100,
}
WHERE_RANGE = (
    "kafka_topic_id = {topic_id:String} AND kafka_partition = {partition:UInt16}"
    " AND kafka_offset >= {start:Int64} AND kafka_offset < {end:Int64}"
)
PROVE = f"SELECT count(), uniqExact(kafka_offset), sum(event_digest) FROM events WHERE {WHERE_RANGE}"  # noqa: S608
STORED = f"SELECT kafka_offset FROM events WHERE {WHERE_RANGE}"  # noqa: S608
HELD = f"SELECT kafka_offset, event_digest FROM events WHERE {WHERE_RANGE} ORDER BY kafka_offset"  # noqa: S608
STANDS = """SELECT kafka_offset FROM events
WHERE kafka_topic_id = {topic_id:String} AND kafka_partition = {partition:UInt16}
ORDER BY kafka_topic_id DESC, kafka_partition DESC, kafka_offset DESC LIMIT 1"""  # the order of `positions`: read from its end
FENCE = "(SELECT max((epoch, owner)) FROM fence WHERE topic_id = {guard:String} AND partition = {partition:UInt16})"
RAISE_FENCE = """INSERT INTO fence (topic_id, partition, epoch, owner)
VALUES ({guard:String}, {partition:UInt16}, {epoch:UInt64}, {owner:String})"""
EPOCH = "SELECT max(epoch) FROM fence WHERE topic_id = {guard:String} AND partition = {partition:UInt16}"
RUNNING = "SELECT count() FROM system.processes WHERE startsWith(query_id, {prefix:String})"
KILL = "KILL QUERY WHERE startsWith(query_id, {prefix:String}) ASYNC"


@dataclass(frozen=True)
class Safety:
    """Safety mechanisms, all on. The fault tests switch one off to see that it is needed; nothing else may."""

    fence: bool = True
    read_back: bool = True
    new_token: bool = True


@dataclass
class Memory:
    """A range held in memory."""

    held: list[Rows] = field(default_factory=list)
    full: bool = False

    def add(self, rows: Rows) -> None:
        self.held.append(rows)

    def close(self) -> None:
        self.held.clear()


class ClickHouseStore:
    """The table `events` of one database. Safe from several threads.

    ``patience``: seconds that a takeover waits for the inserts of earlier owners, the last part of it after killing them;
    more than the server's http_receive_timeout (30), after which it gives up a client that fell silent. ``points`` is called
    with the name of a step about to happen (fault tests).
    """

    name = "clickhouse"
    mapper = 1

    def __init__(
        self,
        client: Client,
        database: str,
        safety: Safety | None = None,
        points: Callable[[str], None] = lambda _: None,
        patience: float = 60.0,
    ) -> None:
        self.client, self.database, self.safety, self.points = client, database, safety or Safety(), points
        self.patience = patience

    def take_over(self, topic: str, topic_id: str, partition: int) -> ClickHouseClaim:
        """See `connectors.ranges.Store`."""
        owner = str(uuid.uuid4())
        epoch = self._raise_fence(topic_id, partition, owner)
        prefix = f"{self.database}/{topic_id}/{partition}/"
        if self.safety.fence:
            self._wait_for_earlier(prefix)
        return ClickHouseClaim(
            self, {"topic_id": topic_id, "partition": partition}, epoch, owner, prefix, topic_id, f"{topic_id}/{partition}/"
        )

    def take_over_for_rebuild(self, topic_id: str, partition: int, beside_sink: bool) -> ClickHouseClaim:
        """A claim to fill in positions that the sink is done with; earlier rebuilds end here.

        Under the sink's own fence, so that a sink that starts now ends the rebuild; ``beside_sink``, where one runs, under a
        fence of the rebuilds' own: the caller keeps to positions below what the sink has committed. Raises StoreError.
        """
        owner, own = str(uuid.uuid4()), f"{topic_id}/rebuild"
        epochs = {guard: self._raise_fence(guard, partition, owner) for guard in (topic_id, own)}
        whole = f"{self.database}/{topic_id}/{partition}/"
        prefix, guard = f"{whole}rebuild/", own if beside_sink else topic_id
        self._wait_for_earlier(prefix if beside_sink else whole)
        place: dict[str, str | int] = {"topic_id": topic_id, "partition": partition}
        return ClickHouseClaim(self, place, epochs[guard], owner, prefix, guard, f"{prefix}{owner}/")

    def _raise_fence(self, guard: str, partition: int, owner: str) -> int:
        place: dict[str, str | int] = {"guard": guard, "partition": partition}
        epoch = int(self.ask(EPOCH, place)[0][0]) + 1
        self.tell(RAISE_FENCE, {**place, "epoch": epoch, "owner": owner})
        return epoch

    def _wait_for_earlier(self, prefix: str) -> None:
        """Inserts that passed the fence before it was raised are listed by the server until they end."""
        begun, killed = time.monotonic(), False
        while self.ask(RUNNING, {"prefix": prefix})[0][0]:
            waited = time.monotonic() - begun
            if waited > self.patience:
                raise StoreError(
                    f"an insert {prefix}… of an earlier owner still runs after {waited:.0f} s: look at system.processes"
                )
            if waited > min(5.0, self.patience / 2) and not killed:
                self.tell(KILL, {"prefix": prefix})
                killed = True
            time.sleep(min(0.02 + waited / 10, 0.5))

    def ask(self, sql: str, parameters: Mapping[str, str | int]) -> list[list[int]]:
        """Rows of an answer; every error becomes a StoreError."""
        try:
            return self.client.rows(sql, parameters, database=self.database)
        except ClickHouseError as exc:
            raise StoreError(str(exc)) from exc

    def tell(self, sql: str, parameters: Mapping[str, str | int]) -> None:
        """A statement without answer; every error becomes a StoreError."""
        try:
            self.client.command(sql, parameters, database=self.database)
        except ClickHouseError as exc:
            raise StoreError(str(exc)) from exc


@dataclass
class ClickHouseClaim:
    """See `connectors.ranges.Claim`. ``prefix`` begins the ids of its inserts, ``guard`` names its fence."""

    store: ClickHouseStore
    place: dict[str, str | int]
    epoch: int
    owner: str
    prefix: str
    guard: str
    tokens: str
    _written: Plan | None = None

    def stands_at(self) -> int | None:
        found = self.store.ask(STANDS, self.place)
        return found[0][0] + 1 if found else None

    def begun(self, standing: int) -> Plan | None:
        return None  # an insert is there as a whole or not at all, and `stands_at` shows it

    def open(self) -> Memory:
        return Memory()

    def write(self, plan: Plan, rows: OpenRange) -> None:
        if not isinstance(rows, Memory):
            raise TypeError("write takes the range that open() gave")
        stored = self._stored(plan) if plan.attempt > 1 and self.store.safety.read_back else None
        batch = one_batch(rows.held, str(self.place["topic_id"]), plan.partition, stored)
        if batch.num_rows:
            self._insert(plan, batch)
        self._written = plan

    def _insert(self, plan: Plan, batch: pa.RecordBatch) -> None:
        self.store.points("before_write")
        attempt = plan.attempt if self.store.safety.new_token else 1
        token = f"{self.tokens}{plan.start}-{plan.end}/{attempt}"
        try:
            self.store.client.insert(
                insert_sql(self.store.safety.fence),
                [batch],
                {"guard": self.guard, "partition": plan.partition, "epoch": self.epoch, "owner": self.owner},
                half_way=lambda: self.store.points("mid_write"),
                database=self.store.database,
                query_id=f"{self.prefix}{plan.start}-{plan.end}/{plan.attempt}/{self.epoch}",
                insert_deduplication_token=token,
                **ONE_BLOCK,
            )
        except ClickHouseError as exc:
            if exc.code == THROWN:
                logger.warning("%s: refused by the fence, another owner took over", plan)
                raise FencedError(f"another owner took over {plan.topic}[{plan.partition}] in ClickHouse") from exc
            raise (RejectedError if exc.code in REJECTED else StoreError)(str(exc)) from exc

    def _stored(self, plan: Plan) -> npt.NDArray[np.int64]:
        found = self.store.ask(STORED, self._range(plan))
        return np.array([row[0] for row in found], np.int64)

    def held(self, start: int, end: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Offsets that are stored at ``start <= offset < end``, rising, as often as they are, with their digests."""
        found = self.store.ask(HELD, {**self.place, "start": start, "end": end})
        return np.array([row[0] for row in found], np.int64), np.array([row[1] for row in found], np.uint64)

    def prove(self, plan: Plan) -> Proof:
        if not self.store.safety.read_back:
            return Proof(plan.count, plan.count, plan.checksum) if self._written == plan else Proof(0, 0, 0)
        count, unique, checksum = self.store.ask(PROVE, self._range(plan))[0]
        return Proof(count, unique, checksum)

    def _range(self, plan: Plan) -> dict[str, str | int]:
        return {**self.place, "start": plan.start, "end": plan.end}


def insert_sql(fence: bool = True) -> str:
    """The one INSERT: all columns by name from Arrow, refused by the server unless the caller holds the fence."""
    names = ", ".join(ddl.columns())
    structure = ", ".join(f"{name} {kind}" for name, kind in ddl.columns().items()).replace("'", "\\'")
    check = f" WHERE throwIf({FENCE} != ({{epoch:UInt64}}, {{owner:String}})) = 0" if fence else ""
    return f"INSERT INTO events ({names}) SELECT {names} FROM input('{structure}'){check} FORMAT ArrowStream"  # noqa: S608


def one_batch(held: Sequence[Rows], topic_id: str, partition: int, stored: npt.NDArray[np.int64] | None = None) -> pa.RecordBatch:
    """The rows as one batch in the table's columns, without the positions in ``stored``; few-valued columns as dictionaries."""
    events = avro.concat([rows.columns for rows in held])
    offsets, timestamps, digests = (np.concatenate([getattr(r, n) for r in held]) for n in ("offsets", "timestamps", "digests"))
    if stored is not None and len(stored):
        keep = np.flatnonzero(~np.isin(offsets, stored))
        events, offsets, timestamps, digests = events.take(keep), offsets[keep], timestamps[keep], digests[keep]
    columns = {
        name: column.dictionary_encode() if name in ddl.LOW_CARDINALITY else column
        for name, column in zip(events.schema.names, events.columns, strict=True)
    }
    rows = len(offsets)
    columns["kafka_topic_id"] = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([topic_id]))
    columns["kafka_partition"] = pa.array(np.full(rows, partition, np.uint16))
    columns["kafka_offset"] = pa.array(offsets, pa.int64())
    columns["kafka_timestamp"] = pa.array(timestamps, pa.int64()).cast(pa.timestamp("ms"))
    columns["event_digest"] = pa.array(digests, pa.uint64())
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def read_events(
    client: Client,
    database: str,
    where: str = "1",
    parameters: Mapping[str, str | int] | None = None,
    *,
    source: str = "events",
) -> Iterator[pa.RecordBatch]:
    """Stored events that ``where`` (SQL with ``{name:Type}`` parameters) selects, ordered by topic id, partition and offset.
    ``source``: the table, or a view of it with all columns.

    Columns: those of `connectors.avro.event_arrow_schema`, then `ddl.ADDED` (kafka_timestamp as timestamp[ms] UTC without a
    zone), so that ``avro.digests(avro.encode(event columns))`` can be compared with ``event_digest``. Raises ClickHouseError.
    """
    names = ", ".join(ddl.columns())
    sql = f"SELECT {names} FROM {source} WHERE {where} ORDER BY kafka_topic_id, kafka_partition, kafka_offset"  # noqa: S608
    settings = {"output_format_arrow_string_as_string": 1, "max_bytes_before_external_sort": 512 << 20, "max_threads": 2}
    settings["max_block_size"] = 8192  # what is done with a batch must not take longer than the server waits for its reader
    target = stored_schema()
    for batch in client.batches(sql, parameters, database=database, **settings):
        arrays = [column.cast(kind) for column, kind in zip(batch.columns, target.types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=target)


def stored_schema() -> pa.Schema:
    """Arrow types of what `read_events` gives."""
    added = {
        "kafka_topic_id": pa.string(),
        "kafka_partition": pa.uint16(),
        "kafka_offset": pa.int64(),
        "kafka_timestamp": pa.timestamp("ms"),
        "event_digest": pa.uint64(),
    }
    return pa.schema([*avro.event_arrow_schema(), *(pa.field(name, kind, nullable=False) for name, kind in added.items())])


def events_only(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The event's own columns of a batch of `read_events`."""
    return avro.conform(batch.select(list(schemas.event_fields())))

"""The stores that the contract suites run on. Another store: one more entry in `BENCHES`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pytest

from connectors import parquet
from connectors.archive import Archive
from connectors.clickhouse import migrations, store
from connectors.clickhouse.store import ClickHouseStore
from connectors.memory import MemoryStore
from connectors.spill import SpillFolder
from pipeline.sink.plan import Store
from tests import archive_bucket
from tests.sinks import clickhouse
from tests.space import Space


@dataclass
class Bench:
    """A store and how to read the event columns back out of it, ordered by offset. ``fences``: it refuses earlier owners."""

    store: Store
    read: Callable[[str, int], pa.RecordBatch]
    fences: bool = True


@contextmanager
def memory(request: pytest.FixtureRequest) -> Iterator[Bench]:
    one = MemoryStore()
    yield Bench(one, lambda topic_id, partition: pa.concat_batches(list(one.events(topic_id, partition))))


@contextmanager
def clickhouse_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    make: Callable[[], Space] = request.getfixturevalue("new_space")
    space = make()
    with ExitStack() as stack:
        admin = stack.enter_context(clickhouse(space, "ADMIN"))
        sink = stack.enter_context(clickhouse(space, "CLICKHOUSE_SINK"))
        reader = stack.enter_context(clickhouse(space))
        migrations.apply(admin, space.name)

        def read(topic_id: str, partition: int) -> pa.RecordBatch:
            where = "kafka_topic_id = {topic_id:String} AND kafka_partition = {partition:UInt16}"
            place: dict[str, str | int] = {"topic_id": topic_id, "partition": partition}
            return store.events_only(pa.concat_batches(list(store.read_events(reader, space.name, where, place))))

        yield Bench(ClickHouseStore(sink, space.name), read)


@contextmanager
def archive_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    make: Callable[[], Space] = request.getfixturevalue("new_space")
    space = make()
    archive_bucket.create(space)
    bucket, copy = archive_bucket.bucket(space), space.folder / "copy.parquet"

    def read(topic_id: str, partition: int) -> pa.RecordBatch:
        tables = [parquet.schema().empty_table()]
        for key in bucket.keys("events/"):
            if f"-{topic_id}-{partition:03d}-" in key:
                bucket.download(key, copy)
                tables.append(pa.Table.from_batches(list(parquet.read(copy))))
        whole = pa.concat_tables(tables).sort_by("kafka_offset").combine_chunks()
        return parquet.events_of(whole.to_batches()[0])

    with SpillFolder(space.folder / "spill", 256 << 20) as spill:
        yield Bench(Archive(bucket, spill), read, fences=False)


BENCHES = {"memory": memory, "clickhouse": clickhouse_bench, "archive": archive_bench}


def new_topic_id() -> str:
    return str(uuid.uuid4())

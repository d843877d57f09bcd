"""The stores that the contract suites run on. Another store: one more entry in `BENCHES`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pytest

from connectors.clickhouse import migrations, store
from connectors.clickhouse.store import ClickHouseStore
from connectors.memory import MemoryStore
from pipeline.sink.plan import Store
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


BENCHES = {"memory": memory, "clickhouse": clickhouse_bench}


def new_topic_id() -> str:
    return str(uuid.uuid4())

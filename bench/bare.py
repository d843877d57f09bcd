"""What the compiled consumer does, done with the pipeline's own code in one process: fetch, decode, redact, insert.

    python -m bench.bare --count N --table T

At least once, by the offsets committed after each insert. Left out as there: transactions, deduplication, ledger, fence,
read-back, and what the processor adds to an event. At the end a JSON line as `bench.naive` prints it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition

from bench.naive import Meter
from connectors import avro
from connectors.clickhouse import ddl
from connectors.clickhouse.client import Client
from connectors.clickhouse.store import ONE_BLOCK
from connectors.kafka import cluster_of, consumer_config
from connectors.registry import SchemaRegistry
from pipeline import settings
from pipeline.batch import Batch
from pipeline.stages import redact
from schemas import event_fields

FETCH, ROWS = 10_000, 50_000


@dataclass
class Reader:
    """Raw records → clean columns, each decoded with its writer's schema."""

    registry: SchemaRegistry
    held: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, values: list[bytes]) -> None:
        by_frame: dict[bytes, list[bytes]] = {}
        for value in values:
            by_frame.setdefault(value[:5], []).append(value[5:])
        for frame, bodies in by_frame.items():
            schema = self.registry.schema_of(avro.schema_id_of(frame) or 0)
            self.held.append(redact(Batch.of(avro.decode(bodies, schema)))[0].columns)

    def take(self) -> pa.RecordBatch:
        """All that is held, few-valued columns as dictionaries."""
        whole = avro.concat(self.held)
        self.held = []
        columns = [
            column.dictionary_encode() if name in ddl.LOW_CARDINALITY else column
            for name, column in zip(whole.schema.names, whole.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, names=whole.schema.names)


def bare(values: settings.Migrate, count: int, table: str) -> None:
    """Kafka to ClickHouse."""
    meter, reader, waiting = Meter(count), Reader(SchemaRegistry(values.schema_registry_url)), 0
    client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
    topic, ends = f"{values.namespace}.raw", dict[int, int]()
    source = Consumer({**consumer_config(cluster_of(dict(values)), f"{values.namespace}-own"), "auto.offset.reset": "earliest"})
    source.subscribe([topic])
    sql = f"INSERT INTO {table} ({', '.join(event_fields())}) FORMAT ArrowStream"
    while meter.count < count:
        wanted = min(FETCH, ROWS - waiting, count - meter.count - waiting)
        messages = [m for m in source.consume(wanted, 1.0) if m.error() is None]
        if not messages:
            continue
        reader.add([m.value() or b"" for m in messages])
        ends |= {message.partition() or 0: (message.offset() or 0) + 1 for message in messages}
        waiting += len(messages)
        if waiting == ROWS or meter.count + waiting == count:
            client.insert(sql, [reader.take()], {}, None, database=values.namespace, **ONE_BLOCK)
            source.commit(offsets=[TopicPartition(topic, *end) for end in ends.items()], asynchronous=False)
            meter.step(waiting)
            meter.mark()
            waiting = 0
    meter.report()
    source.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.bare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--table", required=True)
    args = parser.parse_args()
    bare(settings.load(settings.Migrate), args.count, args.table)


if __name__ == "__main__":
    main()

"""The pipeline that most people would write first, as processes to compare with: one event after the other.

    python -m bench.naive consumer --count N --table T     poll, fastavro, `re`, rows by clickhouse-driver
    python -m bench.naive faust --count N --topic T        a stock Faust agent: fastavro, `re`, send

Both read the raw topic of the namespace that AUDITWIRE_* (of an administrator) names, from its beginning, and mask every text
with the detectors of the processor. No transactions, no deduplication, no ledger. At the end a JSON line: events, CPU seconds of
the process since it began, seconds, and the same without the first fifth of the events (at least).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from clickhouse_driver import Client
from confluent_kafka import Consumer

from bench.peer_detectors import masked
from connectors.kafka import cluster_of, consumer_config
from pipeline import settings
from pipeline.stages.redact import IDENTITY, WRITTEN
from schemas import event_fields, event_schema, fields_of_class

ROWS = 10_000
CONTENT = fields_of_class("content")


def clean(event: dict[str, Any]) -> dict[str, Any]:
    """The event with every text masked."""
    for name, value in event.items():
        if name in IDENTITY or name.startswith(WRITTEN) or not value:
            continue
        if isinstance(value, str):
            event[name] = masked(value, name in CONTENT)
        elif isinstance(value, list) and isinstance(value[0], str):
            event[name] = [masked(one, name in CONTENT) for one in value]
        elif isinstance(value, list):
            event[name] = [{"key": masked(p["key"], personal=False), "value": masked(p["value"], name in CONTENT)} for p in value]
    return event


class Meter:
    """CPU of the whole process and seconds since this was made; both after the first fifth of ``total`` events too."""

    def __init__(self, total: int) -> None:
        self.total, self.count, self._began = total, 0, time.monotonic()
        self._early: dict[str, float] | None = None

    def step(self, events: int = 1) -> None:
        """So many events more."""
        self.count += events

    def mark(self) -> None:
        """All events up to here are done: where it is a fifth of them, the rest is what runs warm."""
        if self._early is None and self.total <= self.count * 5 < self.total * 5:
            self._early = self._used()

    def _used(self) -> dict[str, float]:
        return {"events": self.count, "cpu": time.process_time(), "seconds": time.monotonic() - self._began}

    def report(self) -> None:
        """Print the figures."""
        whole, peak = self._used(), _peak_mb()
        warm = self._early and {name: value - self._early[name] for name, value in whole.items()}
        sys.stdout.write(json.dumps({**whole, "peak_mb": peak, "warm": warm}) + "\n")
        sys.stdout.flush()


def _peak_mb() -> int:
    """Most memory this process had resident; ru_maxrss would be that of the process which started it, where that is more."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) >> 10


def consumer(values: settings.Migrate, count: int, table: str) -> None:
    """Kafka to ClickHouse."""
    schema, names, meter = fastavro.parse_schema(event_schema()), list(event_fields()), Meter(count)
    host, _, port = os.environ["AUDITWIRE_CLICKHOUSE_NATIVE"].partition(":")
    password = values.clickhouse_password.get_secret_value()
    client = Client(host, int(port), user=values.clickhouse_user, password=password, database=values.namespace)
    source = Consumer({**consumer_config(cluster_of(dict(values)), f"{values.namespace}-naive"), "auto.offset.reset": "earliest"})
    source.subscribe([f"{values.namespace}.raw"])
    rows: list[tuple[Any, ...]] = []
    while meter.count < count:
        message = source.poll(1.0)
        if message is None or message.error() is not None:
            continue
        event: Any = fastavro.schemaless_reader(BytesIO((message.value() or b"")[5:]), schema, None)
        event = clean(event)
        event["attributes"] = [tuple(pair.values()) for pair in event["attributes"]]
        rows.append(tuple(event[name] for name in names))
        meter.step()
        if len(rows) == ROWS or meter.count == count:
            client.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES", rows)
            rows.clear()
            meter.mark()
    meter.report()
    source.close()


def faust(values: settings.Migrate, count: int, topic: str) -> None:
    """Kafka to Kafka."""
    import faust as stock

    cluster, schema, meter = cluster_of(dict(values)), fastavro.parse_schema(event_schema()), Meter(count)
    app = stock.App(
        f"{values.namespace}-stock",
        broker=f"kafka://{cluster.bootstrap}",
        broker_credentials=stock.SASLCredentials(
            username=cluster.username, password=cluster.password.value, mechanism=cluster.sasl_mechanism
        ),
        datadir=tempfile.mkdtemp(prefix="auditwire-stock-"),
        web_enabled=False,
        topic_disable_leader=True,
    )
    source, target = (app.topic(name, value_serializer="raw") for name in (f"{values.namespace}.raw", topic))
    over = asyncio.Event()

    @app.agent(source)  # type: ignore[untyped-decorator]
    async def process(stream: Any) -> None:
        async for value in stream:
            out = BytesIO()
            event: Any = fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)
            fastavro.schemaless_writer(out, schema, clean(event))
            await target.send(value=value[:5] + out.getvalue())
            meter.step()
            meter.mark()
            if meter.count == count:
                over.set()

    async def run() -> None:
        await app.start()
        await over.wait()
        await app.producer.flush()
        meter.report()
        os._exit(0)  # stopping is not what is measured

    asyncio.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.naive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=["consumer", "faust"])
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--table", default="naive")
    parser.add_argument("--topic", default="")
    args = parser.parse_args()
    values = settings.load(settings.Migrate)
    if args.peer == "consumer":
        consumer(values, args.count, args.table)
    else:
        faust(values, args.count, args.topic)


if __name__ == "__main__":
    main()

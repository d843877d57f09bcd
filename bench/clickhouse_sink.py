"""What the ClickHouse sink costs: preloads clean events, drains them, prints rates and CPU seconds per million events as JSON.

    python -m bench.clickhouse_sink --events 200000 [--batch 50000]

Needs servers and all settings in the environment and a clean topic without lag. Server CPU is that of the process that
listens on ClickHouse's port, if it runs on this machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import signal
import sys
import threading
import time
from urllib.parse import urlsplit

import psutil
from confluent_kafka import Producer

import schemas
from bench.stages import batches
from connectors import avro
from connectors.clickhouse.client import Client
from connectors.kafka import cluster_of, producer_config
from connectors.registry import SchemaRegistry
from pipeline import settings
from pipeline.sink import clickhouse

STORED = "SELECT count() FROM events"


def preload(values: settings.Migrate, count: int) -> None:
    """Write ``count`` events into the clean topic, spread over its partitions."""
    topic = f"{values.namespace}.events"
    registry = SchemaRegistry(values.schema_registry_url)
    frame = avro.frame(registry.id_of(f"{topic}-value", schemas.schema_text("audit_event")))
    registry.close()
    producer = Producer(producer_config(cluster_of(dict(values)), linger_ms=50, queue_buffering_max_messages=count + 1))
    made = [body for batch in batches(min(count, 20_000), share=0.3)[0] for body in avro.encode(batch.columns)]
    for i, body in enumerate(itertools.islice(itertools.cycle(made), count)):
        producer.produce(topic, frame + body, partition=i % 4)
    if producer.flush(120):
        raise SystemExit("not all events were taken by Kafka")


def server(url: str) -> psutil.Process | None:
    """The process behind a local URL."""
    port = urlsplit(url).port
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
            return psutil.Process(one.pid)
    return None


def cpu(process: psutil.Process | None) -> float:
    """CPU seconds so far."""
    return sum(process.cpu_times()[:2]) if process is not None else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=50_000)
    args = parser.parse_args()
    admin = settings.load(settings.Migrate)
    values = settings.load(settings.ClickHouseSink, {**os.environ, "AUDITWIRE_CLICKHOUSE_SINK_BATCH_EVENTS": str(args.batch)})
    client = Client(values.clickhouse_url, admin.clickhouse_user, admin.clickhouse_password.get_secret_value())
    before = int(client.rows(STORED, database=values.namespace)[0][0])
    preload(admin, args.events)
    found = server(values.clickhouse_url)
    begun, mine, theirs = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF), cpu(found)
    ended: list[float] = []

    def watch() -> None:
        while client.rows(STORED, database=values.namespace)[0][0] - before < args.events:
            time.sleep(0.1)
        ended.append(time.monotonic() - begun)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    clickhouse.run(values)
    used = resource.getrusage(resource.RUSAGE_SELF)
    own = used.ru_utime + used.ru_stime - mine.ru_utime - mine.ru_stime
    million = 1_000_000 / args.events
    figures = {
        "events": args.events,
        "events_per_second": round(args.events / ended[0]),
        "client_cpu_s_per_million": round(own * million, 2),
        "server_cpu_s_per_million": round((cpu(found) - theirs) * million, 2),
        "peak_memory_mb": used.ru_maxrss // 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a sink's client says of Kafka: an outage that is over is no trouble any more, also where no event comes after it."""

from __future__ import annotations

import shutil
import socket
import threading
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from connectors.kafka import cluster_of
from connectors.kafka_partitions import KafkaPartitions, sink_config
from infra.stack import ports
from pipeline import settings
from tests.space import Space
from tests.waiting import until


def test_an_outage_is_trouble_and_a_line_in_the_log_until_kafka_answers_again(
    provisioned: Space, caplog: pytest.LogCaptureFixture
) -> None:
    values = settings.load(settings.ClickHouseSink, provisioned.env)
    (port,) = ports.pick(1)
    cluster = replace(cluster_of(values.model_dump()), bootstrap=f"127.0.0.1:{port}")
    config = sink_config(cluster, f"{provisioned.name}-clickhouse-sink", "classic", 10_000)
    with closing(KafkaPartitions(cluster, config, f"{provisioned.name}.events", "", quiet=0)) as log:

        def troubled() -> bool:
            log.poll(0.1)
            return "does not answer" in (log.trouble() or "")

        until(troubled, 30)
        assert ["does not answer" in record.message for record in caplog.records] == [True]
        with socket.create_server(("127.0.0.1", port)) as door:
            threading.Thread(target=_open, args=(door, values.kafka_bootstrap), daemon=True).start()
            until(lambda: not troubled(), 30, lambda: str(log.trouble()))


def _open(door: socket.socket, target: str) -> None:
    host, _, port = target.partition(":")
    with suppress(OSError):
        while True:
            near, _ = door.accept()
            far = socket.create_connection((host, int(port)))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(a, b), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError), source.makefile("rb", buffering=0) as data, sink.makefile("wb", buffering=0) as out:
        shutil.copyfileobj(data, out)

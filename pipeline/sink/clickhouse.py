"""The ClickHouse sink: clean events into ClickHouse, each once. `docs/sinks.md` says what is promised and how."""

from __future__ import annotations

import logging
from collections.abc import Callable

from connectors.clickhouse.client import AccessError, Client
from connectors.clickhouse.store import ClickHouseStore, Safety
from connectors.kafka import cluster_of
from connectors.kafka_partitions import KafkaPartitions, TopicError, sink_config, topic_id_of
from connectors.registry import SchemaRegistry
from pipeline import admin, settings
from pipeline.sink.decode import Decoder
from pipeline.sink.gather import Limits
from pipeline.sink.lane import Parts
from pipeline.sink.loop import Loop, until_signalled

logger = logging.getLogger(__name__)
PART = "clickhouse-sink"


def run(values: settings.ClickHouseSink, safety: Safety | None = None, points: Callable[[str], None] = lambda _: None) -> int:
    """Run until SIGTERM or SIGINT: 0; 1 when it cannot go on (the log says what to do). ``safety``, ``points``: fault tests
    only.
    """
    client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
    registry = SchemaRegistry(values.schema_registry_url)
    try:
        log = _log(values)
        if said := client.trouble():
            logger.warning("%s", said)
        store = ClickHouseStore(client, values.namespace, safety, points)
        limits = Limits(values.batch_events, values.batch_bytes, values.flush_ms / 1000)
        loop = Loop(Parts(log, store, Decoder(registry), limits, points=points), grace=values.session_timeout_ms / 2000)
        log.subscribe(loop)
        admin.serve(PART, values.admin_listen, loop.healthy)
        return until_signalled(loop.run)
    except (TopicError, AccessError) as exc:
        logger.error("%s", exc)  # noqa: TRY400  the text says it all
        return 1
    finally:
        client.close()
        registry.close()


def _log(values: settings.ClickHouseSink) -> KafkaPartitions:
    cluster, topic = cluster_of(values.model_dump()), f"{values.namespace}.events"
    config = sink_config(cluster, f"{values.namespace}-{PART}", values.group_protocol, values.session_timeout_ms)
    return KafkaPartitions(cluster, config, topic, topic_id_of(cluster, topic))

"""The archive sink: clean events into Parquet objects on S3, each once. `docs/archive.md` says what is promised and how."""

from __future__ import annotations

import logging
from collections.abc import Callable

from connectors.archive import Archive, Written
from connectors.kafka import cluster_of
from connectors.kafka_partitions import KafkaPartitions, TopicError, sink_config, topic_id_of
from connectors.registry import SchemaRegistry
from connectors.s3 import Bucket, Refused, Unavailable
from connectors.spill import SpillError, SpillFolder
from pipeline import admin, metrics, settings
from pipeline.sink.decode import Decoder
from pipeline.sink.gather import Limits
from pipeline.sink.lane import Parts
from pipeline.sink.loop import Loop, until_signalled

logger = logging.getLogger(__name__)
PART = "archive-sink"
MOST_EVENTS = 5_000_000


def run(
    values: settings.ArchiveSink,
    *,
    create_only: bool = True,
    plans: bool = True,
    points: Callable[[str], None] = lambda _: None,
) -> int:
    """Run until SIGTERM or SIGINT: 0; 1 when it cannot go on (the log says what to do).

    Fault tests only: ``create_only`` off (objects may be overwritten), ``plans`` off (no plan is kept in the bucket), ``points``
    (called with each step about to happen).
    """
    bucket = Bucket(
        values.s3_endpoint,
        values.s3_region,
        values.s3_bucket,
        values.s3_access_key_id,
        values.s3_secret_access_key.get_secret_value(),
        create_only=create_only,
    )
    registry = SchemaRegistry(values.schema_registry_url)
    try:
        log = _log(values)
        if create_only:
            _refuse_unfit(bucket)
        with SpillFolder(values.spill_dir, values.spill_bytes) as spill:
            metrics.ARCHIVE_SPILL_BYTES.set_function(lambda: spill.used)
            metrics.ARCHIVE_SPILL_LIMIT.set(values.spill_bytes)
            store = Archive(bucket, spill, _count, points, plans=plans)
            limits = Limits(MOST_EVENTS, values.flush_bytes, values.flush_seconds)
            loop = Loop(Parts(log, store, Decoder(registry), limits, points=points), grace=values.session_timeout_ms / 2000)
            log.subscribe(loop)
            admin.serve(PART, values.admin_listen, loop.healthy)
            return until_signalled(loop.run)
    except (TopicError, Refused, SpillError) as exc:
        logger.error("%s", exc)  # noqa: TRY400  the text says it all
        return 1
    finally:
        registry.close()


def _log(values: settings.ArchiveSink) -> KafkaPartitions:
    cluster, topic = cluster_of(values.model_dump()), f"{values.namespace}.events"
    config = sink_config(cluster, f"{values.namespace}-{PART}", values.group_protocol, values.session_timeout_ms)
    return KafkaPartitions(cluster, config, topic, topic_id_of(cluster, topic))


def _refuse_unfit(bucket: Bucket) -> None:
    """A wrong key, a missing bucket or a store that overwrites ends the part at once; one that is down is waited for."""
    try:
        bucket.check()
    except Unavailable as exc:
        logger.warning("%s", exc)


def _count(written: Written) -> None:
    metrics.ARCHIVE_OBJECTS.labels("adopted" if written.adopted else "created").inc()
    if not written.adopted:
        metrics.ARCHIVE_BYTES.inc(written.part.size)

"""For tests of retention: events in both stores, rules with lengths, runs at any time, killed at any step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from connectors import buckets, parquet
from connectors.clickhouse.store import read_events
from connectors.deletions import CERTIFICATE, objects_of
from connectors.kafka import cluster_of
from connectors.kafka_marks import Marks, Positions
from connectors.postgres.reference import Outbox, Revisions
from connectors.series import RULES
from pipeline import settings
from pipeline.export.counted import Counted
from pipeline.export.watermark import Complete
from pipeline.retention.certificate import Deletion
from pipeline.retention.deleted import read
from pipeline.retention.lengths import Unit, begin_of, later
from pipeline.retention.plan import Plan
from pipeline.retention.runner import Runner, Safety
from pipeline.retention.servers import Servers, look
from pipeline.rules.model import canonical
from tests import archive_bucket
from tests.fsck_world import AccountedTopic, mirror_ledger, store
from tests.sinks import ROOT, Key, clickhouse
from tests.space import Space
from tests.waiting import until

BY, WHY = "ana@example.com", "end of its time"


def filled(space: Space, counts: tuple[int, ...] = (120, 60), partitions: tuple[int, ...] = (0, 1)) -> AccountedTopic:
    """A namespace whose archive locks nothing by default, with events of the classes standard, short and none in both stores."""
    space.provision()
    unlocked(space)
    topic = AccountedTopic(space)
    for count in counts:
        topic.write(count, partitions)
    topic.ledger_committed()
    mirror_ledger(space)
    store(topic, to_the_end=True)
    return topic


def admin(space: Space) -> Any:
    """boto3 as the administrator of the buckets."""
    values = space.settings(settings.Migrate)
    secret = values.s3_secret_access_key.get_secret_value()
    return buckets.admin_client(values.s3_endpoint, values.s3_region, values.s3_access_key_id, secret)


def unlocked(space: Space) -> None:
    """No default lock: the time that an object is locked is nothing that a test can wait for."""
    client = admin(space)
    client.put_object_lock_configuration(
        Bucket=space.env["AUDITWIRE_S3_BUCKET"], ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    client.close()


def unlock(space: Space, retention_class: str) -> None:
    """The administrator shortens the locks of a class; returns when they have ended."""
    client, bucket, end = admin(space), archive_bucket.bucket(space, "operator"), datetime.now(UTC) + timedelta(seconds=1)
    for one in bucket.versions(objects_of(retention_class, month())):
        client.put_object_retention(
            Bucket=bucket.name,
            Key=one.key,
            VersionId=one.version,
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": end},
            BypassGovernanceRetention=True,
        )
    client.close()
    until(lambda: datetime.now(UTC) > end + timedelta(seconds=1), 10)  # the store keeps whole seconds


def forget(space: Space, key: str) -> None:
    """The administrator removes every version of an object."""
    client = admin(space)
    for one in archive_bucket.bucket(space, "operator").versions(key):
        client.delete_object(
            Bucket=space.env["AUDITWIRE_S3_BUCKET"], Key=key, VersionId=one.version, BypassGovernanceRetention=True
        )
    client.close()


def rules(space: Space, **months: int) -> int:
    """Publish a revision with these lengths of classes; its number."""
    values = space.settings(settings.Rules)
    text = canonical({"retention_class": [{"name": name, "months": length} for name, length in months.items()]})
    revision, _ = Revisions(values.postgres_dsn.get_secret_value(), space.name, RULES).apply(text, BY, "a test")
    with Outbox(space.settings(settings.ReferencePublisher).postgres_dsn.get_secret_value(), space.name, RULES) as outbox:
        outbox.published(revision.revision)
    return revision.revision


def month() -> str:
    """The month in which everything here is ingested."""
    return f"{datetime.now(UTC):%Y-%m}"


def unit(retention_class: str) -> Unit:
    return Unit(retention_class, month())


def after(months: int) -> datetime:
    """The moment at which what is ingested now has been kept for so many months."""
    return begin_of(later(month(), months + 1))


@contextmanager
def servers(space: Space) -> Iterator[Servers]:
    """As the user `retention`."""
    with ExitStack() as stack:
        yield Servers(space.settings(settings.RetentionRuns), stack)


def planned(space: Space, now: datetime) -> Plan:
    with servers(space) as opened:
        return look(opened, now)


def deleted(space: Space, now: datetime, points: Callable[[str], None] = lambda _: None, safety: Safety | None = None) -> int:
    """What is due then is deleted; how many classes and months that were."""
    with servers(space) as opened:
        return Runner(opened, lambda: now, points=points, safety=safety or Safety()).run(look(opened, now), BY, WHY)


def certificates(space: Space) -> dict[Unit, Deletion]:
    """What is certified as deleted, whole."""
    with servers(space) as opened:
        found = opened.deletions().certified
        return {unit: read(opened.bucket, unit, CERTIFICATE, space.name, opened.keys) for unit in found}


@dataclass(frozen=True)
class Contents:
    """Both stores as a reader sees them: (partition, offset, digest) of ClickHouse's events, and of the archive's, by class."""

    clickhouse: dict[str, set[Key]]
    archive: dict[str, set[Key]]


def contents(topic: AccountedTopic) -> Contents:
    """What is there now."""
    stores: list[dict[str, set[Key]]] = [{}, {}]
    with clickhouse(topic.space) as client:
        batches = [*read_events(client, topic.space.name)]
    bucket, path = archive_bucket.bucket(topic.space, "operator"), topic.space.folder / "contents.parquet"
    objects = []
    for key in bucket.keys("events/"):
        bucket.download(key, path)
        objects += [*parquet.read(path)]
    for found, held in zip(stores, (batches, objects), strict=True):
        for batch in held:
            names = ("processed_retention_class", "kafka_partition", "kafka_offset", "event_digest")
            columns: list[list[Any]] = [batch.column(name).to_pylist() for name in names]
            for retention_class, partition, offset, digest in zip(*columns, strict=True):
                found.setdefault(retention_class, set()).add((partition, offset, digest))
    return Contents(*stores)


def unproven(before: Contents, after: Contents, certificate: Deletion) -> str | None:
    """None where exactly what the certificate says is gone from both stores, else what is not so."""
    name = certificate.unit.retention_class
    says = {r.partition: (r.count, r.checksum) for r in certificate.removed}
    for where, old, new in (
        ("ClickHouse", before.clickhouse, after.clickhouse),
        ("the archive", before.archive, after.archive),
    ):
        if {n: keys for n, keys in old.items() if n != name} != new:
            return f"{where} lacks events of other classes, or still has some of {name}"
        gone: dict[int, tuple[int, int]] = {}
        for partition, _, digest in old[name]:
            count, checksum = gone.get(partition, (0, 0))
            gone[partition] = count + 1, (checksum + digest) % 2**64
        if gone != says:
            return f"of {where} is gone {gone}, and the certificate says {says}"
    return None


def said(topic: AccountedTopic, event_type: str) -> list[bytes]:
    """Bodies of the raw topic's records that name an event type."""
    name = f"{topic.space.name}.raw"
    config = {**topic.client, "group.id": "oracle", "enable.partition.eof": True, "enable.auto.commit": False, "log_level": 3}
    consumer = Consumer(config)
    open_ends = set(consumer.list_topics(name, 20).topics[name].partitions)
    consumer.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in open_ends])
    found = []
    while open_ends:
        for message in consumer.consume(100, 1.0):
            if message.error() is None:
                found += [message.value()] if event_type.encode() in message.value() else []
            elif message.error().code() == KafkaError._PARTITION_EOF:
                open_ends.discard(message.partition())
    consumer.close()
    return found


class StopError(Exception):
    """The run ends here."""


def stopped(space: Space, now: datetime, point: str) -> bool:
    """The same until it comes to a point, where it ends."""

    def at(name: str) -> None:
        if name == point:
            raise StopError

    with suppress(StopError):
        deleted(space, now, at)
        return False
    return True


def counted(space: Space) -> str | None:
    """What the export service says when it counts ClickHouse's events against the ledger: None where it agrees."""
    ledger, everything = f"{space.name}.ledger", 2**62
    marks = Positions(cluster_of(dict(space.settings(settings.Export))))
    partitions = sorted(marks.replicated(ledger))
    ends, topic_id = marks.ends(ledger, partitions), marks.topic_id(f"{space.name}.events")
    complete = Complete(datetime.now(UTC), Marks(topic_id, {}), dict.fromkeys(partitions, everything))
    with clickhouse(space, "EXPORT") as client:
        return Counted(space.name, client).problem(complete, marks.topic_id(ledger), ends)


def killed(space: Space, now: datetime, fault: str) -> int:
    """The same as a process of its own that kills itself at ``POINT:N``; returns the exit code."""
    mine = {n: space.env[n] for n in settings.names_of(settings.RetentionRuns) if n in space.env}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)}
    argv = [sys.executable, "-m", "tests.retention_worker", now.isoformat(), fault]
    return subprocess.run(argv, cwd=ROOT, env={**clean, **mine}, timeout=200, check=False).returncode

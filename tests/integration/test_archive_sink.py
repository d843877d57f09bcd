"""The archive sink against real servers: everything in the clean topic is archived once, and what is wrong is said."""

from __future__ import annotations

import signal
import urllib.request
from datetime import UTC, datetime
from typing import cast

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from connectors import manifest
from infra.stack.servers.kafka import Kafka
from tests import archive_bucket
from tests.archive_sink import ArchiveProcess, ClassedTopic, archived, intact, settled
from tests.space import Space
from tests.waiting import until


def test_everything_is_archived_once_across_classes_gaps_and_restarts(provisioned: Space) -> None:
    topic = ClassedTopic(provisioned)
    topic.write(300)
    topic.write(100, commit=False)
    with ArchiveProcess(provisioned) as sink:
        topic.write(200)
        settled(topic, sink)
        assert sink.end(signal.SIGTERM) == 0, sink.text()
    topic.write(100)
    with ArchiveProcess(provisioned) as sink:
        settled(topic, sink)
        url = f"http://{sink.env['AUDITWIRE_ADMIN_LISTEN']}/"
        assert b'"healthy": true' in urllib.request.urlopen(url + "healthz").read()
        metrics = urllib.request.urlopen(url + "metrics").read().decode()
    assert 'auditwire_archive_objects_total{how="created"}' in metrics
    assert "auditwire_archive_spill_bytes 0.0" in metrics
    intact(topic)
    folders = {k.split("/")[1] for k in archive_bucket.bucket(provisioned).keys("events/")}
    assert folders == {"class=standard", "class=short", f"class={manifest.NO_CLASS}"}


def _keep_the_producers_time(space: Space) -> None:
    admin = AdminClient(cast(Kafka, space.stack.servers["kafka"]).client("admin"))
    wanted = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}  # the times are older than the retention
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in wanted.items()]
    resource = ConfigResource(ResourceType.TOPIC, f"{space.name}.events", incremental_configs=entries)
    for done in admin.incremental_alter_configs([resource]).values():
        done.result()


def test_a_range_ends_with_the_month(provisioned: Space) -> None:
    _keep_the_producers_time(provisioned)
    topic = ClassedTopic(provisioned)
    months = [datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)]
    for at in months:
        topic.write(60, partitions=(0,), at_ms=int(at.timestamp() * 1000))
    with ArchiveProcess(provisioned, overrides={"ARCHIVE_SINK_FLUSH_SECONDS": 2}) as sink:
        settled(topic, sink)
    intact(topic)
    bucket = archive_bucket.bucket(provisioned)
    days = {k.split("/")[2] for k in bucket.keys("events/")}
    assert days == {"dt=2026-10-31", "dt=2026-11-01"}
    assert len(list(bucket.keys("ranges/"))) == 2


def test_a_full_spill_folder_closes_objects_early(provisioned: Space) -> None:
    topic = ClassedTopic(provisioned)
    for _ in range(6):
        topic.write(2000, partitions=(0,))
    limits = {"ARCHIVE_SINK_FLUSH_SECONDS": 3600, "ARCHIVE_SINK_SPILL_BYTES": 3_000_000}
    with ArchiveProcess(provisioned, overrides=limits) as sink:
        bucket = archive_bucket.bucket(provisioned)
        until(lambda: len(list(bucket.keys("ranges/"))) > 0, otherwise=sink.text)
    with ArchiveProcess(provisioned) as sink:
        settled(topic, sink)
    intact(topic)
    assert len(archived(provisioned)) == 12_000


def test_what_cannot_work_is_said_at_once(provisioned: Space) -> None:
    wrong = {
        "access key archive or its secret is wrong": {"ARCHIVE_SINK_S3_SECRET_ACCESS_KEY": "wrong"},
        "run `auditwired migrate` or correct AUDITWIRE_S3_BUCKET": {"S3_BUCKET": "audit-nowhere-archive"},
        "correct AUDITWIRE_ARCHIVE_SINK_SPILL_DIR": {"ARCHIVE_SINK_SPILL_DIR": "/proc/nowhere"},
    }
    for text, overrides in wrong.items():
        with ArchiveProcess(provisioned, overrides=dict(overrides)) as sink:
            until(sink.died, 30, sink.text)
            assert sink.end() == 1
            assert text in sink.text()
            assert "Traceback" not in sink.text()


def test_a_store_that_is_down_at_the_start_is_waited_for(provisioned: Space) -> None:
    topic = ClassedTopic(provisioned)
    topic.write(50)
    with ArchiveProcess(provisioned, overrides={"S3_ENDPOINT": "http://127.0.0.1:1"}) as sink:
        until(lambda: "back to the plan" in sink.text(), otherwise=sink.text)
        assert "is it up, is AUDITWIRE_S3_ENDPOINT right?" in sink.text()
        assert not sink.died()

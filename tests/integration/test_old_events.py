"""Events of the first schema in all three places: this release's sinks go on from them, and fsck knows them and forged ones."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from connectors import parquet
from connectors.kafka import cluster_of
from connectors.kafka_trim import delete_before
from pipeline import settings
from tests import archive_bucket, old_events
from tests.fsck_world import AccountedTopic, fsck, looked, overwrite, query, store
from tests.space import Space

OLD, NEW = 60, 40


def below_the_topic(space: Space) -> None:
    """Retention has deleted the old records from Kafka."""
    delete_before(cluster_of(dict(space.settings(settings.Migrate))), f"{space.name}.events", {0: OLD})


@pytest.fixture
def upgraded(provisioned: Space) -> Space:
    """Stored by the archive sink of the first release, the rest by this one's sinks."""
    topic = AccountedTopic(provisioned)
    old_events.archive(topic, old_events.write(topic, OLD), closed=True)
    topic.write(NEW, partitions=(0,))
    store(topic)
    return provisioned


def test_old_events_agree_in_all_three_places_and_below_the_topics_beginning(upgraded: Space, tmp_path: Path) -> None:
    bucket = archive_bucket.bucket(upgraded)
    widths = set()
    for number, key in enumerate(bucket.keys("events/")):
        bucket.download(key, tmp_path / str(number))
        widths.add(len(pq.read_schema(tmp_path / str(number)).names))
    assert widths == {72 + 4, len(parquet.schema().names)}
    code, out, _ = fsck(upgraded)
    assert code == 0 and f"{OLD + NEW} events in 4 partitions agree" in out, out
    below_the_topic(upgraded)
    code, out, _ = fsck(upgraded, "--since", "1")
    assert code == 0 and f"the topic begins at {OLD}" in out, out


def test_an_altered_old_event_is_found_wherever_it_is(upgraded: Space, tmp_path: Path) -> None:
    events = f"`{upgraded.name}`.events"
    for sql in (
        f"ALTER TABLE {events} UPDATE prompt = concat(prompt, ' ') WHERE kafka_offset = 10",
        f"ALTER TABLE {events} UPDATE processed_flags = ['planted'] WHERE kafka_offset = 20",
        f"ALTER TABLE {events} UPDATE event_digest = 1 WHERE kafka_offset = 30",
    ):
        query(upgraded, sql + " SETTINGS mutations_sync = 2")
    assert looked(upgraded) == {("digest_differs", 10), ("digest_differs", 20), ("stored_digest_differs", 30)}
    key = next(key for key in archive_bucket.bucket(upgraded).keys("events/class=standard/") if key.endswith("-v72.parquet"))
    offsets: list[int] = []

    def change(table: pa.Table) -> pa.Table:
        offsets.extend(o for o in sorted(table["kafka_offset"].to_pylist()) if o > 40)
        reasons = pc.if_else(pc.equal(table["kafka_offset"], offsets[0]), "changed", table["reason"])
        return table.set_column(table.schema.names.index("reason"), table.schema.field("reason"), reasons)

    overwrite(upgraded, key, change, tmp_path / "copy")
    below_the_topic(upgraded)
    altered = {(kind, offset) for kind, offset in looked(upgraded, since=1) if offset is not None}
    assert altered == {
        *(("digest_differs", offset) for offset in (10, 20, offsets[0])),
        *(("stored_digest_differs", offset) for offset in (10, 20, 30, offsets[0])),
    }


def test_a_plan_that_an_old_sink_left_open_is_carried_out(provisioned: Space) -> None:
    topic = AccountedTopic(provisioned)
    plan = old_events.write(topic, OLD)
    old_events.archive(topic, plan, closed=False)
    for sink in ("archive", "clickhouse"):
        old_events.commit(topic, sink, 0, plan.to_metadata())
    topic.write(NEW, partitions=(0,))
    store(topic)
    assert archive_bucket.doubles(archive_bucket.bucket(provisioned)) == []
    code, out, _ = fsck(provisioned)
    assert code == 0 and f"{OLD + NEW} events in 4 partitions agree" in out, out

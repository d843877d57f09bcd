"""`auditwired fsck` on real servers: agrees when nothing is wrong, and names every kind of tampering."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.clickhouse.client import Client
from connectors.kafka import cluster_of
from connectors.kafka_partitions import topic_id_of
from connectors.kafka_read import PartitionReader
from connectors.kafka_trim import delete_before
from pipeline import settings
from pipeline.fsck.book import Ledger
from pipeline.fsck.check import Control
from pipeline.fsck.edges import Neighbours
from pipeline.fsck.ledger import Book, Tally
from pipeline.fsck.tables import LedgerTables
from tests import archive_bucket
from tests.fsck_world import AccountedTopic, found, fsck, looked, mirror_ledger, overwrite, query, store
from tests.sinks import SinkProcess, drained
from tests.space import Space
from tests.waiting import until


@pytest.fixture(scope="module")
def untouched(new_space: Callable[[], Space]) -> Space:
    """Both stores filled, nothing tampered with; tests of this module only look."""
    space = new_space()
    space.provision()
    topic = AccountedTopic(space)
    topic.write(300)
    topic.write(80, commit=False)
    topic.write(200)
    store(topic)
    return space


@pytest.fixture
def filled(provisioned: Space) -> Space:
    topic = AccountedTopic(provisioned)
    topic.write(200, partitions=(0,))
    topic.write(100, partitions=(0,))
    store(topic)
    return provisioned


def test_three_equal_places_agree(untouched: Space) -> None:
    code, out, err = fsck(untouched)
    assert (code, err) == (0, ""), out
    assert out.splitlines()[-1].endswith("500 events in 4 partitions agree in topic, ClickHouse and archive")
    assert "2 ledger records: agree" in out


def test_scope_window_and_progress(untouched: Space) -> None:
    code, out, err = fsck(
        untouched, "--partition", "1", "--since", "20", "--until", "90", "--window", "7", "--json", "--progress"
    )
    assert code == 0
    (partition,) = json.loads(out)["partitions"]
    assert (partition["since"], partition["until"], partition["events"], partition["ledger_records"]) == (20, 90, 70, 0)
    assert "events[1] 27 of 90" in err


def test_what_is_not_stored_yet_is_said_and_is_no_difference(provisioned: Space) -> None:
    topic = AccountedTopic(provisioned)
    topic.write(100, partitions=(0, 1, 2, 3))
    store(topic)
    topic.write(40, partitions=(0,))
    code, out, _ = fsck(provisioned)
    assert code == 0, out
    assert re.search("not yet covered: the clean topic ends at 67, ClickHouse has committed 2[56], the archive 2[56]", out)
    with SinkProcess(provisioned) as sink:
        drained(topic, sink)
    query(provisioned, f"ALTER TABLE `{provisioned.name}`.events DELETE WHERE kafka_offset = 40 SETTINGS mutations_sync = 2")
    assert looked(provisioned) == {("missing_in_clickhouse", 40)}, "each store is compared up to what it has committed itself"
    assert looked(provisioned, Control(own_ends=False)) == set()


def test_events_where_the_topic_has_none_are_findings_unless_an_earlier_topic_is_acknowledged(filled: Space) -> None:
    events = f"`{filled.name}`.events"
    for change in ("'nobody' AS kafka_topic_id", "77 AS kafka_partition", "5000 AS kafka_offset"):
        one = f"SELECT * FROM {events} WHERE kafka_offset = 60 AND kafka_partition = 0 AND kafka_topic_id != 'nobody'"
        query(filled, f"INSERT INTO {events} SELECT * REPLACE ({change}) FROM ({one})")
    code, out, _ = fsck(filled, "--other-topics", "another")
    assert code == 1
    assert "1 rows of the table events with topic id nobody, partition 0 were not compared" in out
    assert "partition 77 were not compared" in out and "offset 5000: in the table events: the topic ends at 302" in out
    assert looked(filled, Control(elsewhere=False)) == set()
    query(filled, f"ALTER TABLE {events} DELETE WHERE kafka_partition = 77 OR kafka_offset = 5000 SETTINGS mutations_sync = 2")
    code, out, _ = fsck(filled, "--other-topics", "nobody")
    assert code == 0, out
    assert "not compared, as --other-topics says: 1 rows of the table events with topic id nobody" in out


def test_tampering_with_clickhouse_is_named(filled: Space) -> None:
    events = f"`{filled.name}`.events"
    for sql in (
        f"ALTER TABLE {events} DELETE WHERE kafka_offset IN (17, 18)",
        f"ALTER TABLE {events} UPDATE prompt = concat(prompt, ' ') WHERE kafka_offset = 40",
        f"ALTER TABLE {events} UPDATE event_digest = 1 WHERE kafka_offset = 50",
    ):
        query(filled, sql + " SETTINGS mutations_sync = 2")
    query(filled, f"INSERT INTO {events} SELECT * FROM {events} WHERE kafka_offset = 60")
    marker = 200  # where the first transaction ended: no event is there
    query(
        filled,
        f"INSERT INTO {events} SELECT * REPLACE ({marker} AS kafka_offset) FROM (SELECT * FROM {events} WHERE kafka_offset = 61)",
    )
    assert found(filled) == {
        ("missing_in_clickhouse", 17),
        ("digest_differs", 40),
        ("stored_digest_differs", 50),
        ("stored_twice", 60),
        ("not_in_topic", marker),
    }
    assert looked(filled, Control(clickhouse=False)) == set(), "negative control: no other comparison sees it"


def _first(space: Space, retention_class: str) -> str:
    return next(archive_bucket.bucket(space).keys(f"events/class={retention_class}/"))


def test_tampering_with_the_archive_is_named(filled: Space, tmp_path: Path) -> None:
    key = _first(filled, "standard")
    offsets: list[int] = []

    def change(table: pa.Table) -> pa.Table:
        table = table.sort_by("kafka_offset")
        offsets.extend(table["kafka_offset"].to_pylist()[:2])
        prompts: Any = pc.if_else(pc.equal(table["kafka_offset"], offsets[1]), "changed", table["prompt"])
        return table.set_column(table.schema.names.index("prompt"), table.schema.field("prompt"), prompts).slice(1)

    overwrite(filled, key, change, tmp_path / "copy")
    assert looked(filled) == {
        ("missing_in_archive", offsets[0]),
        ("digest_differs", offsets[1]),
        ("bad_object", None),
        ("extra_version", None),
    }


def test_a_hidden_object_and_a_stray_one_are_named(filled: Space, tmp_path: Path) -> None:
    hidden, other = _first(filled, "short"), _first(filled, "standard")
    bucket = archive_bucket.bucket(filled)
    bucket.download(other, tmp_path / "copy")
    archive_bucket.hide(filled, hidden)
    bucket.put(other.replace("class=standard", "class=stray"), tmp_path / "copy", {})
    bucket.put("events/notes.txt", tmp_path / "copy", {})
    kinds = {kind for kind, _ in looked(filled)}
    assert kinds == {"missing_in_archive", "missing_object", "hidden_object", "stray_object", "unknown_object"}
    assert looked(filled, Control(archive=False, objects=False)) == set(), "negative control: no other comparison sees it"


def test_manifests_that_lie_are_named(filled: Space, tmp_path: Path) -> None:
    bucket = archive_bucket.bucket(filled)
    key = next(bucket.keys("ranges/"))
    manifest = json.loads(bucket.read(key))
    shifted = {**manifest, "start": 5, "end": manifest["end"] + 5}
    (tmp_path / "shifted").write_text(json.dumps(shifted))
    folder, _, name = key.rpartition("/")
    end, _, start = name.removesuffix(".json").partition("-")
    bucket.put(f"{folder}/{int(end) + 5:020d}-{int(start) + 5:020d}.json", tmp_path / "shifted", {})
    (tmp_path / "broken").write_text("{")
    bucket.put(f"{folder}/{int(end) + 6:020d}-{int(start) + 6:020d}.json", tmp_path / "broken", {})
    kinds = {kind for kind, _ in looked(filled)}
    assert {"overlapping_ranges", "bad_manifest", "bad_metadata", "stored_twice"} <= kinds


TAMPERED = {
    "ALTER TABLE {ledger} DELETE WHERE kafka_offset = 2": ("missing_in_ledger_table", 2),
    "ALTER TABLE {ledger} UPDATE duplicates = 7 WHERE kafka_offset = 4": ("ledger_table_differs", 4),
    "INSERT INTO {ledger} SELECT * REPLACE (7 AS clean) FROM {ledger} WHERE kafka_offset = 6": ("ledger_table_differs", 6),
    "INSERT INTO {ledger} SELECT * REPLACE (3 AS kafka_offset) FROM (SELECT * FROM {ledger} WHERE kafka_offset = 0)": (
        "not_in_ledger_topic",
        3,
    ),
    "ALTER TABLE {sequences} DELETE WHERE kafka_offset = 8 AND kind = 'duplicate'": ("missing_in_ledger_table", 8),
    "INSERT INTO {sequences} SELECT * REPLACE (99 AS last) FROM {sequences} WHERE kafka_offset = 10 LIMIT 1": (
        "ledger_table_differs",
        10,
    ),
}
NOWHERE = {
    "INSERT INTO {ledger} SELECT * REPLACE ('nobody' AS kafka_topic_id) FROM {ledger} WHERE kafka_offset = 0": 0,
    "INSERT INTO {sequences} SELECT * REPLACE (99 AS kafka_offset) FROM (SELECT * FROM {sequences} WHERE kafka_offset = 0)": 99,
}


def test_tampering_with_the_ledger_tables_is_named_row_by_row(provisioned: Space) -> None:
    topic = AccountedTopic(provisioned)
    for _ in range(6):
        topic.write(10, partitions=(0,))
    store(topic)
    topic.ledger_committed()
    mirror_ledger(provisioned)
    assert looked(provisioned) == set()
    tables = {name: f"`{provisioned.name}`.{table}" for name, table in (("ledger", "ledger"), ("sequences", "ledger_sequences"))}
    query(provisioned, f"INSERT INTO {tables['ledger']} SELECT * FROM {tables['ledger']}")
    assert looked(provisioned) == set(), "written at least once: equal rows are one"
    for sql in (*NOWHERE, *TAMPERED):
        query(provisioned, sql.format(**tables) + (" SETTINGS mutations_sync = 2" if sql.startswith("ALTER") else ""))
    assert looked(provisioned) == {*TAMPERED.values(), *(("not_in_ledger_topic", offset) for offset in NOWHERE.values())}
    assert looked(provisioned, Control(elsewhere=False)) == set(TAMPERED.values())
    assert looked(provisioned, Control(tables=False, elsewhere=False)) == set(), "negative controls: nothing else sees it"


def test_ledger_records_that_somebody_added_or_that_counted_other_events_or_rejects_are_named(provisioned: Space) -> None:
    topic = AccountedTopic(provisioned)
    topic.write(20, partitions=(0,))
    entry = dict(topic.last_entry)
    for rejected in (1, 3):
        topic.write(20, partitions=(0,), rejected=rejected)
    topic.alone(entry, 0)
    topic.write(20, partitions=(1,))
    topic.write(20, partitions=(1,), off_by=1)
    store(topic)
    assert looked(provisioned) == {("ledger_equation", 6), ("quarantine_differs", None), ("ledger_differs", 21)}
    assert looked(provisioned, Control(quarantine=False)) == {("ledger_equation", 6), ("ledger_differs", 21)}
    assert looked(provisioned, Control(ledger=False)) == set()


def test_what_both_stores_lost_below_the_topics_beginning_the_ledger_knows(filled: Space, tmp_path: Path) -> None:
    key = _first(filled, "standard")
    gone: list[int] = []

    def change(table: pa.Table) -> pa.Table:
        table = table.sort_by("kafka_offset")
        gone.append(next(offset for offset in table["kafka_offset"].to_pylist() if offset > 205))
        return table.filter(pc.not_equal(table["kafka_offset"], gone[0]))

    overwrite(filled, key, change, tmp_path / "copy")
    query(filled, f"ALTER TABLE `{filled.name}`.events DELETE WHERE kafka_offset = {gone[0]} SETTINGS mutations_sync = 2")
    delete_before(cluster_of(dict(filled.settings(settings.Migrate))), f"{filled.name}.events", {0: 250})
    kinds = {kind for kind, _ in looked(filled)}
    assert kinds == {"ledger_differs", "bad_object", "extra_version"}
    assert ("ledger_differs", 201) in looked(filled, since=100), "the transaction from 201 on lies wholly behind 100"
    assert "ledger_differs" not in {kind for kind, _ in looked(filled, since=203)}, "it is cut there, and no other is wrong"
    assert "ledger_differs" not in {kind for kind, _ in looked(filled, Control(ledger=False))}


def test_a_stretch_needs_only_its_part_of_the_ledger(provisioned: Space) -> None:
    topic = AccountedTopic(provisioned)
    for off_by in (0, 0, 0, 0, 1, 0, 0, 0):
        topic.write(20, partitions=(0,), off_by=off_by)
    store(topic)
    topic.ledger_committed()
    mirror_ledger(provisioned)
    fifth = 4 * 21  # a transaction has 20 events and its marker
    assert looked(provisioned, since=fifth - 30) == looked(provisioned, since=fifth) == {("ledger_differs", fifth)}
    assert looked(provisioned, since=fifth + 21) == set()
    assert [_ledger(provisioned, raw).records for raw in ((50, 80), (50, None), (None, 80), (None, None))] == [2, 6, 8, 8]
    tally = Tally(_ledger(provisioned, (50, 80)), "t[0]")
    tally.feed("ClickHouse", np.array([60]), np.array([3]), np.array([1], np.uint64))
    assert tally.findings, "an event there that names a raw record before the stretch is excused"
    table = f"`{provisioned.name}`.ledger"
    first = f"SELECT * FROM {table} WHERE start_offset = 0"
    query(provisioned, f"INSERT INTO {table} SELECT * REPLACE (toInt64(100) AS kafka_offset) FROM ({first})")
    assert _ledger(provisioned, (50, 80)).records == 8, "a table that points behind the record is not believed"
    assert looked(provisioned, since=fifth - 30) >= {("ledger_differs", fifth)}


def _ledger(space: Space, between: Neighbours) -> Book:
    """What is read of the ledger of partition 0 to know what lies between two raw offsets."""
    values, topic = space.settings(settings.Operator), f"{space.name}.ledger"
    cluster = cluster_of(values.model_dump())
    client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
    with closing(client), PartitionReader(cluster, f"{space.name}-operator") as reader:
        tables = LedgerTables(client, space.name, topic_id_of(cluster, topic), 0)
        return Ledger(reader, tables, topic, 0).around(Book(f"{topic}[0]", (f"{space.name}.raw", 0)), between)


def test_a_foreign_record_in_the_clean_topic_is_named(filled: Space) -> None:
    topic = AccountedTopic(filled, "audit-foreigner")
    topic._producer.begin_transaction()
    topic._producer.produce(topic.name, b"not an event", partition=0)
    topic._end(True, (0,))
    assert _covered(filled) == {("unreadable_in_topic", 302)}


def _covered(space: Space) -> set[tuple[str, int | None]]:
    """Findings after the sinks, which stop before such a record, were told to go on behind it."""
    topic = AccountedTopic(space, "audit-mover")
    for sink in ("clickhouse", "archive"):
        consumer = Consumer({**topic.client, "group.id": f"{space.name}-{sink}-sink", "log_level": 3})
        end = consumer.get_watermark_offsets(TopicPartition(topic.name, 0), 20)[1]
        until(partial(_commits, consumer, TopicPartition(topic.name, 0, end)))
        consumer.close()
    return looked(space)


def _commits(consumer: Consumer, end: TopicPartition) -> bool:
    """True once the group has no members left, killed ones included."""
    try:
        return bool(consumer.commit(offsets=[end], asynchronous=False))
    except KafkaException:
        return False


def test_a_registry_that_cannot_be_asked_ends_with_2(untouched: Space) -> None:
    """The other servers: test_plain_errors_servers."""
    begun = time.monotonic()
    code, out, err = fsck(untouched, SCHEMA_REGISTRY_URL="http://127.0.0.1:1")
    assert (code, out) == (2, "")
    assert "AUDITWIRE_SCHEMA_REGISTRY_URL" in err and "Traceback" not in err
    assert time.monotonic() - begun < 60


def test_a_partition_that_is_not_there_ends_with_2(untouched: Space) -> None:
    code, _, err = fsck(untouched, "--partition", "0", "9")
    assert code == 2 and "not [9]: correct --partition" in err

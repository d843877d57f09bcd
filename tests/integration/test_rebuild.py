"""`auditwired rebuild` on real servers: what one store lost comes back from another, once, whatever kills it.

One namespace for most tests: those that break something for good keep to a partition of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from connectors import manifest
from connectors.clickhouse.store import Safety
from connectors.kafka import cluster_of
from connectors.kafka_trim import delete_before
from pipeline import settings
from tests import archive_bucket
from tests.archive_sink import ArchiveProcess, intact, set_offset, settled
from tests.fsck_world import AccountedTopic, query, store
from tests.rebuilding import Done, killed, lose_events, lose_object, rebuild
from tests.sinks import SinkProcess, drained
from tests.space import Space
from tests.waiting import until

EVENTS = 150
WHOLE, DOUBLED, ALTERED, TAKEN = "0", "1", "2", "3"


@pytest.fixture(scope="module")
def filled(new_space: Callable[[], Space]) -> AccountedTopic:
    """150 events in each partition, stored by both sinks in ranges of their own making."""
    space = new_space()
    space.provision()
    topic = AccountedTopic(space)
    for count in (400, 200):
        topic.write(count, partitions=(0, 1, 2, 3))
    store(topic)
    return topic


def _counts(done: Done) -> tuple[int, int]:
    """(inserted, there already) at the end of the only partition."""
    inserted, there = re.findall(r"events\[\d\] .*: (\d+) inserted, (\d+) there already", done.err)[-1]
    return int(inserted), int(there)


def _clickhouse(topic: AccountedTopic, partition: str, *arguments: str, safety: Safety | None = None) -> Done:
    return rebuild(topic.space, "clickhouse", "--partition", partition, *arguments, safety=safety)


def _lose(topic: AccountedTopic, partition: str, where: str = "1") -> None:
    lose_events(topic.space, f"kafka_partition = {partition} AND ({where})")


def test_what_is_lost_comes_back_once(filled: AccountedTopic) -> None:
    _lose(filled, WHOLE)
    done = _clickhouse(filled, WHOLE, "--window", "37")
    assert (done.code, _counts(done)) == (0, (EVENTS, 0)), done.err
    assert f"{EVENTS} events in 1 partitions agree" in done.out
    again = _clickhouse(filled, WHOLE)
    assert (again.code, _counts(again)) == (0, (0, EVENTS))


@pytest.mark.parametrize("fault", ["kill@before_write:2", "kill@mid_write:1", "kill@window:3"])
def test_a_rebuild_that_was_killed_goes_on_when_it_is_run_again(filled: AccountedTopic, fault: str) -> None:
    _lose(filled, WHOLE)
    assert killed(filled.space, fault, "clickhouse", "--partition", WHOLE, "--window", "30") == -9
    done = _clickhouse(filled, WHOLE, "--window", "70")
    assert done.code == 0, done.out + done.err
    assert sum(_counts(done)) == EVENTS


def test_a_range_comes_back_beside_a_running_sink(filled: AccountedTopic) -> None:
    with SinkProcess(filled.space) as sink:
        filled.write(20, partitions=(0,))
        drained(filled, sink)
        _lose(filled, WHOLE, "kafka_offset IN (17, 18) OR kafka_offset BETWEEN 60 AND 70")
        done = _clickhouse(filled, WHOLE, "--since", "10", "--until", "50")
        assert (done.code, _counts(done)) == (0, (2, 38)), done.out + done.err
        assert _clickhouse(filled, WHOLE, "--until", "100").code == 0
        filled.write(20, partitions=(0,))
        drained(filled, sink)
    events = f"`{filled.space.name}`.events"
    _lose(filled, WHOLE, f"kafka_offset = (SELECT max(kafka_offset) FROM {events} WHERE kafka_partition = 0)")
    done = _clickhouse(filled, WHOLE)
    assert done.code == 1 and "missing_in_clickhouse" in done.out, "the archive does not have it yet"
    assert re.search(r"Let the archive sink run until it has committed \d+, then run this again", done.err), done.err
    store(filled)
    assert _clickhouse(filled, WHOLE).code == 0


def test_lost_tables_come_back_and_the_sink_goes_on(filled: AccountedTopic) -> None:
    for table in ("events", "fence", "ledger", "ledger_sequences"):
        query(filled.space, f"DROP TABLE `{filled.space.name}`.{table}")
    filled.space.provision()
    filled.ledger_committed()
    done = rebuild(filled.space, "clickhouse")
    assert done.code == 0, done.out + done.err
    assert re.search(r"ledger\[1\] 4: 2 records written into the ledger tables", done.err), done.err
    filled.write(40, partitions=(0,))
    store(filled)
    assert rebuild(filled.space, "clickhouse").code == 0


def test_without_looking_what_is_there_it_doubles(filled: AccountedTopic) -> None:
    """Negative control: the tests above go red with it."""
    done = _clickhouse(filled, DOUBLED, safety=Safety(read_back=False))
    assert done.code == 1
    assert "× stored_twice" in done.out


def _key(topic: AccountedTopic, partition: str, retention_class: str) -> str:
    keys = archive_bucket.bucket(topic.space).keys(f"events/class={retention_class}/")
    return next(k for k in keys if (named := manifest.object_of(k)) and str(named.partition) == partition)


def test_an_altered_object_is_not_stored_again(filled: AccountedTopic, tmp_path: Path) -> None:
    space, key = filled.space, _key(filled, ALTERED, "short")
    bucket = archive_bucket.bucket(space)
    bucket.download(key, tmp_path / "copy")
    (tmp_path / "other").write_bytes((tmp_path / "copy").read_bytes() + b"x")
    stored = bucket.head(key)
    assert stored is not None
    archive_bucket.bucket(space, "admin", create_only=False).put(key, tmp_path / "other", stored.metadata)
    _lose(filled, ALTERED)
    done = _clickhouse(filled, ALTERED)
    assert done.code == 1
    assert f"NOT REBUILT: {bucket.name}/{key}: its bytes are not those that were written" in done.err


def test_a_sink_that_runs_and_has_committed_nothing_is_not_raced(provisioned: Space) -> None:
    topic = AccountedTopic(provisioned)
    topic.write(5, partitions=(0,))
    consumer = Consumer({**topic.client, "group.id": f"{provisioned.name}-clickhouse-sink", "log_level": 3})
    consumer.subscribe([topic.name])
    until(lambda: consumer.poll(0.2) is not None or bool(consumer.assignment()))
    done = rebuild(provisioned, "clickhouse", "--partition", "0")
    consumer.close()
    assert done.code == 1
    assert "the ClickHouse sink runs and has committed nothing" in done.err and "stop it" in done.err


def _archived(topic: AccountedTopic, partition: str) -> dict[str, str]:
    bucket, folder = archive_bucket.bucket(topic.space), f"/{int(partition):03d}/"
    events = (k for k in bucket.keys("events/") if (named := manifest.object_of(k)) and str(named.partition) == partition)
    keys = [*events, *(k for k in bucket.keys("ranges/") if folder in k)]
    return {key: stored.etag for key in keys if (stored := bucket.head(key)) is not None}


def _archive(topic: AccountedTopic, partition: str, end: int = 151, since: int = 0, accounted: bool = True) -> Done:
    bounds = ("--since", str(since), "--until", str(end))
    return rebuild(topic.space, "archive", "--partition", partition, *bounds, accounted=accounted)


def test_a_lost_object_comes_back_with_its_very_bytes(filled: AccountedTopic) -> None:
    before = _archived(filled, WHOLE)
    lost = [key for key in before if "class=short" in key]
    for key in lost:
        lose_object(filled.space, key)
    end = filled.committed(f"{filled.space.name}-archive-sink")[0]
    done = _archive(filled, WHOLE, end)
    assert done.code == 0, done.out + done.err
    assert _archived(filled, WHOLE) == before
    assert "archived again" not in _archive(filled, WHOLE, end).err


@pytest.mark.parametrize("source", ["the clean topic", "ClickHouse"])
def test_lost_ranges_of_the_archive_come_back(filled: AccountedTopic, source: str) -> None:
    for key in _archived(filled, WHOLE):
        lose_object(filled.space, key)
    if source == "ClickHouse":
        delete_before(cluster_of(dict(filled.space.settings(settings.Migrate))), filled.name, {0: 120})
    done = _archive(filled, WHOLE)
    assert done.code == 0, done.out + done.err
    assert f"events archived again from {source}" in done.err


def test_what_is_hidden_or_taken_is_not_overwritten(filled: AccountedTopic, tmp_path: Path) -> None:
    short, standard = (_key(filled, TAKEN, name) for name in ("short", "standard"))
    lose_object(filled.space, standard)
    (tmp_path / "foreign").write_bytes(b"foreign")
    bucket = archive_bucket.bucket(filled.space)
    bucket.put(standard, tmp_path / "foreign", {})
    lose_object(filled.space, _key(filled, TAKEN, "__HIVE_DEFAULT_PARTITION__"))
    done = _archive(filled, TAKEN)
    assert done.code == 1 and "exists with other content; nothing was overwritten" in done.err, done.err
    assert bucket.read(standard) == b"foreign"
    archive_bucket.hide(filled.space, short)
    done = _archive(filled, TAKEN)
    assert done.code == 1
    assert f"{short} is not lost, only hidden by a delete marker" in done.err


def test_nothing_is_made_beyond_what_the_archive_sink_has_committed(filled: AccountedTopic) -> None:
    done = _archive(filled, WHOLE, 5000)
    assert done.code == 1
    assert re.search(r"the archive sink has committed \d+, and writes what is behind it itself: --until at most \d+", done.err)


def test_what_the_ledger_did_not_count_is_not_archived(filled: AccountedTopic) -> None:
    """An event of the transaction at 101..150 is gone in ClickHouse and below the beginning of the topic, like the ranges."""
    _lose(filled, WHOLE, "kafka_offset = 110")
    for key in _archived(filled, WHOLE):
        lose_object(filled.space, key)
    delete_before(cluster_of(dict(filled.space.settings(settings.Migrate))), filled.name, {0: 120})
    done = _archive(filled, WHOLE, since=1)
    assert done.code == 1 and "nothing was written, as ClickHouse does not have what the ledger counted" in done.err, done.err
    assert "49 clean events" in done.err and _archived(filled, WHOLE) == {}
    done = _archive(filled, WHOLE, since=1, accounted=False)
    assert "events archived again from ClickHouse" in done.err, "negative control: the short range is locked in"
    assert done.code == 1 and "ledger_differs" in done.out, "and fsck of the range names it"


def test_what_was_begun_is_left_to_the_sink_and_what_was_given_up_is_made_again_as_it_was(provisioned: Space) -> None:
    """The object of a plan that was given up stays; ranges that end elsewhere would have its events a second time."""
    topic = AccountedTopic(provisioned)
    topic.write(60, partitions=(0,))
    with ArchiveProcess(provisioned, ("kill@before_manifest:1",)) as doomed:
        until(doomed.died, 90, doomed.text)
    set_offset(topic, 0, 30)
    done = _archive(topic, "0", 30)
    assert done.code == 1 and "the archive sink has begun" in done.err, done.err
    end = int(re.findall(r"give the plan up by committing (\d+) for its group", done.err)[0])
    topic.write(60, partitions=(0,))
    set_offset(topic, 0, end + 20)
    topic.write(60, partitions=(0,))
    with ArchiveProcess(provisioned) as sink:
        settled(topic, sink)
    done = _archive(topic, "0", end + 20, accounted=False)
    assert done.err.count("events archived again from the clean topic") == 2, done.err
    intact(topic)
    ranges = sorted(manifest.range_of(key) for key in archive_bucket.bucket(provisioned).keys("ranges/"))
    assert ranges[:2] == [(0, end), (end, end + 20)] and ranges[2][0] == end + 20

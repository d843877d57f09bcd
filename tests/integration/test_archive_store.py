"""The archive as a store of planned ranges, on a real S3 server: written once, by whomever, and every disagreement is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from connectors import manifest, parquet
from connectors.archive import Archive, ArchiveClaim, Written
from connectors.ranges import FencedError, Plan, Proof, RejectedError, Rows, StoreError
from connectors.s3 import Bucket
from connectors.spill import SpillFolder
from tests import archive_bucket
from tests.archive_rows import part, plan_of, rows
from tests.space import Space

CLASSES = ("short", "standard", "")


@pytest.fixture
def spill(tmp_path: Path) -> Iterator[SpillFolder]:
    folder = SpillFolder(tmp_path / "spill", 256 << 20)
    yield folder
    assert [p.name for p in folder.path.iterdir()] == ["lock"]
    folder.close()


@pytest.fixture
def bucket(namespace: Space) -> Bucket:
    archive_bucket.create(namespace)
    return archive_bucket.bucket(namespace)


@pytest.fixture
def archive(bucket: Bucket, spill: SpillFolder) -> Archive:
    return Archive(bucket, spill)


def _claim(archive: Archive, plan: Plan) -> ArchiveClaim:
    return archive.take_over(plan.topic, plan.topic_id, plan.partition)


def _write(archive: Archive, plan: Plan, of: Rows) -> None:
    claim = _claim(archive, plan)
    held = claim.open()
    try:
        for start in range(0, len(of), 90):
            held.add(part(of, start, min(start + 90, len(of))))
        claim.write(plan, held)
    finally:
        held.close()


def _whole(plan: Plan) -> Proof:
    return Proof(plan.count, plan.count, plan.checksum)


def test_a_range_is_written_proven_and_known_by_name(archive: Archive, bucket: Bucket, namespace: Space) -> None:
    given = rows(400, first=10, classes=CLASSES, step=3)
    plan = plan_of(given)
    claim = _claim(archive, plan)
    assert (claim.stands_at(), claim.prove(plan)) == (None, Proof(0, 0, 0))
    _write(archive, plan, given)
    assert _claim(archive, plan).prove(plan) == _whole(plan)
    assert claim.stands_at() == plan.end
    anew = replace(plan, topic_id="another-topic-id")
    assert (_claim(archive, anew).stands_at(), _claim(archive, anew).prove(anew)) == (None, Proof(0, 0, 0))
    assert archive.take_over(plan.topic, plan.topic_id, 1).stands_at() is None
    assert sorted(k.partition("/dt=")[0] for k in bucket.keys("events/")) == [
        "events/class=__HIVE_DEFAULT_PARTITION__",
        "events/class=short",
        "events/class=standard",
    ]
    assert [o for _, o in archive_bucket.offsets(archive_bucket.stored(bucket, namespace))] == given.offsets.tolist()


def test_ranges_follow_each_other(archive: Archive) -> None:
    one, two = rows(50), rows(50, first=50, seed=1)
    for given in (one, two):
        _write(archive, plan_of(given), given)
    claim = _claim(archive, plan_of(one))
    assert [claim.prove(plan_of(g)) for g in (one, two)] == [_whole(plan_of(g)) for g in (one, two)]
    assert claim.stands_at() == 100


def test_writing_again_changes_nothing_and_adopts_what_is_there(bucket: Bucket, spill: SpillFolder) -> None:
    heard: list[Written] = []
    archive = Archive(bucket, spill, heard.append)
    given = rows(300, classes=CLASSES)
    plan = plan_of(given)
    _write(archive, plan, given)
    _write(archive, plan.again(), given)
    assert [w.adopted for w in heard] == [False] * 3 + [True] * 3
    assert heard[:3] == [Written(w.part, False) for w in heard[3:]]
    assert archive_bucket.doubles(bucket) == []


def test_other_bytes_with_the_same_rows_are_adopted(archive: Archive, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade of the Parquet library between the two attempts, with a kill before the manifest."""
    given = rows(300)
    plan = plan_of(given)
    with monkeypatch.context() as older:
        older.setattr(parquet, "ROWS", 77)
        older.setattr(archive, "points", _die_at("before_manifest"))
        with pytest.raises(_DiedError):
            _write(archive, plan, given)
    assert _claim(archive, plan).prove(plan) == Proof(0, 0, 0)
    archive.points = lambda _: None
    _write(archive, plan, given)
    assert _claim(archive, plan).prove(plan) == _whole(plan)
    assert archive_bucket.doubles(bucket) == []


class _DiedError(Exception):
    pass


def _die_at(*wanted: str) -> Callable[[str], None]:
    left = list(wanted)

    def point(name: str) -> None:
        if left and name == left[0]:
            left.pop(0)
            if not left:
                raise _DiedError

    return point


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_range_cut_short_between_its_objects_is_completed(
    archive: Archive, bucket: Bucket, namespace: Space, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = rows(200, classes=CLASSES)
    plan = plan_of(given)
    with monkeypatch.context() as dying:
        dying.setattr(archive, "points", _die_at(*["before_object"] * steps))
        with pytest.raises(_DiedError):
            _write(archive, plan, given)
    assert len(list(bucket.keys("events/"))) == steps - 1
    claim = _claim(archive, plan)
    assert (claim.prove(plan), claim.stands_at()) == (Proof(0, 0, 0), None)
    _write(archive, plan.again(), given)
    assert claim.prove(plan) == _whole(plan)
    assert archive_bucket.doubles(bucket) == []
    assert len(archive_bucket.stored(bucket, namespace)) == 200


def test_a_range_that_was_begun_is_told_to_whoever_comes_next(archive: Archive, bucket: Bucket) -> None:
    given = rows(200, first=5, classes=CLASSES)
    plan, other = plan_of(given), rows(240, classes=CLASSES)
    claim, frozen = _claim(archive, plan), _claim(archive, plan)
    assert (claim.begun(0), frozen.begun(0)) == (None, None)
    archive.points = _die_at("before_manifest")
    with pytest.raises(_DiedError):
        _write(archive, plan.again(), given)
    archive.points = lambda _: None
    assert (claim.begun(0), claim.begun(plan.start)) == (plan, None)
    assert _claim(archive, replace(plan, topic_id="another-topic-id")).begun(0) is None
    known = list(bucket.keys("events/"))
    with pytest.raises(FencedError, match=r"plans/.*was begun there, not"), closing(frozen.open()) as held:
        held.add(other)
        frozen.write(plan_of(other), held)
    assert list(bucket.keys("events/")) == known
    _write(archive, plan.again(), given)
    assert claim.prove(plan) == _whole(plan)
    assert (claim.stands_at(), claim.begun(plan.end)) == (plan.end, None)
    assert archive_bucket.doubles(bucket) == []


def test_behind_a_plan_that_was_given_up_the_next_one_has_the_next_number(archive: Archive, bucket: Bucket) -> None:
    lost, given = plan_of(rows(50)), rows(50, first=50, seed=1)
    archive.points = _die_at("before_object")
    with pytest.raises(_DiedError):
        _write(archive, lost, rows(50))
    archive.points = lambda _: None
    _write(archive, plan_of(given), given)
    assert [key.rpartition("/")[2] for key in bucket.keys("plans/")] == [f"{0:020d}-000.json", f"{0:020d}-001.json"]
    assert _claim(archive, lost).plans(0, 1) == [lost, plan_of(given)]


@pytest.mark.parametrize("content", ["", "{}", "no plan", replace(plan_of(rows(3)), partition=9).to_metadata()])
def test_what_is_no_plan_of_its_name_is_refused(archive: Archive, bucket: Bucket, tmp_path: Path, content: str) -> None:
    plan = plan_of(rows(20))
    (tmp_path / "plan").write_text(content)
    bucket.put(manifest.plan_key(plan.topic, plan.topic_id, plan.partition, 0, 0), tmp_path / "plan", {})
    said = r"/plans/.*Only the archive sink may write there"
    with pytest.raises(RejectedError, match=said):
        _claim(archive, plan).begun(0)
    with pytest.raises(RejectedError, match=said):
        _write(archive, plan, rows(20))


def test_the_same_range_with_other_events_is_refused_and_nothing_is_overwritten(
    archive: Archive, bucket: Bucket, spill: SpillFolder
) -> None:
    given, other = rows(100), rows(100, seed=9)
    _write(archive, plan_of(given), given)
    with pytest.raises(RejectedError, match=r"exists with other content; nothing was overwritten.*docs/archive.md"):
        _write(Archive(bucket, spill, plans=False), plan_of(other), other)
    assert archive_bucket.doubles(bucket) == []
    assert _claim(archive, plan_of(given)).prove(plan_of(given)) == _whole(plan_of(given))


def test_without_create_only_the_second_writer_wins_silently(namespace: Space, bucket: Bucket, spill: SpillFolder) -> None:
    """Negative control: the test above goes red without the fence."""
    careless = Archive(archive_bucket.bucket(namespace, create_only=False), spill)
    given, other = rows(100), rows(100, seed=9)
    _write(careless, plan_of(given), given)
    _write(careless, plan_of(other), other)
    assert len(archive_bucket.doubles(bucket)) == 2
    assert set(archive_bucket.stored(bucket, namespace)["event_digest"].to_pylist()) == set(other.digests.tolist())


def test_an_object_that_lies_about_its_content_is_not_adopted(archive: Archive, bucket: Bucket, tmp_path: Path) -> None:
    given, other = rows(100), rows(100, seed=9)
    plan = plan_of(given)
    forged = replace(other, digests=given.digests)
    parquet.write(tmp_path / "forged", [parquet.columns_of(forged, plan.partition)], {})
    metadata = _metadata_of(archive, plan, given)
    bucket.put(manifest.object_key(plan, "standard", int(given.timestamps[0])), tmp_path / "forged", metadata)
    with pytest.raises(RejectedError, match="exists with other content"):
        _write(archive, plan, given)


def _metadata_of(archive: Archive, plan: Plan, given: Rows) -> dict[str, str]:
    """What an honest writer would have said, from a partition of its own."""
    twin = replace(plan, partition=9)
    _write(archive, twin, given)
    (key,) = (k for k in archive.bucket.keys("events/") if "-009-" in k)
    stored = archive.bucket.head(key)
    assert stored is not None
    return {**stored.metadata, "partition": str(plan.partition)}


def test_a_replay_that_is_thinner_than_its_plan_is_refused_before_anything_is_written(archive: Archive, bucket: Bucket) -> None:
    given = rows(100)
    with pytest.raises(RejectedError, match="the topic now gives 99 events"):
        _write(archive, plan_of(given), part(given, 0, 99))
    assert list(bucket.keys("")) == []


@pytest.mark.parametrize(("first", "count"), [(0, 60), (40, 100), (40, 10), (0, 200)])
def test_a_range_that_overlaps_another_is_refused(archive: Archive, first: int, count: int) -> None:
    given = rows(100, first=20)
    _write(archive, plan_of(given), given)
    other = plan_of(rows(count, first=first))
    with pytest.raises(RejectedError, match=r"holds the range 20\.\.120, which overlaps it.*\(120\)"):
        _claim(archive, other).prove(other)


def test_a_hidden_object_shows_in_the_proof_and_is_written_anew(archive: Archive, namespace: Space) -> None:
    given = rows(200, classes=CLASSES)
    plan = plan_of(given)
    _write(archive, plan, given)
    hidden = next(archive.bucket.keys("events/class=short"))
    archive_bucket.hide(namespace, hidden)
    proof = _claim(archive, plan).prove(plan)
    assert 0 < proof.count < plan.count and not proof.exceeds(plan)
    _write(archive, plan.again(), given)
    assert _claim(archive, plan).prove(plan) == _whole(plan)


def test_an_object_that_is_not_what_its_manifest_says_is_told(archive: Archive, namespace: Space, tmp_path: Path) -> None:
    given = rows(100)
    plan = plan_of(given)
    _write(archive, plan, given)
    key = next(archive.bucket.keys("events/"))
    stored = archive.bucket.head(key)
    assert stored is not None
    (tmp_path / "short").write_bytes(b"x")
    archive_bucket.bucket(namespace, create_only=False).put(key, tmp_path / "short", stored.metadata)
    with pytest.raises(RejectedError, match="is not what its manifest says"):
        _claim(archive, plan).prove(plan)


def test_a_store_that_does_not_answer_is_an_error_to_wait_out(namespace: Space, spill: SpillFolder) -> None:
    archive = Archive(archive_bucket.bucket(namespace, endpoint="http://127.0.0.1:1"), spill)
    given = rows(10)
    plan = plan_of(given)
    claim = _claim(archive, plan)
    for ask in (claim.stands_at, lambda: claim.prove(plan), lambda: _write(archive, plan, given)):
        with pytest.raises(StoreError, match="AUDITWIRE_S3_ENDPOINT"):
            ask()


@pytest.mark.parametrize("point", ["before_object", "before_manifest"])
def test_a_disk_that_takes_nothing_more_is_an_error_to_wait_out(archive: Archive, bucket: Bucket, point: str) -> None:
    """Whichever file it is that cannot be written: the next attempt finds what is there and completes it."""
    given = rows(50)
    plan = plan_of(given)
    away = archive.spill.path.with_name("away")
    archive.points = lambda name: None if name != point else _rename(archive.spill.path, away)
    with pytest.raises(StoreError, match="make room there"):
        _write(archive, plan, given)
    _rename(away, archive.spill.path)
    archive.points = lambda _: None
    for left in archive.spill.path.glob("*.arrow"):
        left.unlink()
    _write(archive, plan.again(), given)
    assert _claim(archive, plan).prove(plan) == _whole(plan)
    assert archive_bucket.doubles(bucket) == []


def _rename(path: Path, to: Path) -> None:
    path.rename(to)


def test_a_whole_folder_is_one_table_for_duckdb(archive: Archive, bucket: Bucket, tmp_path: Path) -> None:
    for first in (0, 200):
        given = rows(200, first=first, seed=first, classes=CLASSES)
        _write(archive, plan_of(given), given)
    for key in bucket.keys("events/"):
        path = tmp_path / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.download(key, path)
    with duckdb.connect() as db:
        found = db.execute(
            "SELECT count(*), count(DISTINCT kafka_offset), count(*) FILTER (class IS NOT DISTINCT FROM"
            " nullif(processed_retention_class, '')), min(dt)::VARCHAR"
            " FROM read_parquet(?, hive_partitioning = true, union_by_name = true)",
            [str(tmp_path / "copy/events/**/*.parquet")],
        ).fetchone()
    assert found == (400, 400, 400, "2026-11-01")


def test_what_is_stored_is_what_was_given(archive: Archive, bucket: Bucket, namespace: Space) -> None:
    given = rows(250, classes=CLASSES)
    _write(archive, plan_of(given), given)
    table = archive_bucket.stored(bucket, namespace)
    events = parquet.events_of(table.combine_chunks().to_batches()[0])
    assert events.equals(given.columns)
    assert np.asarray(table["event_digest"]).tolist() == given.digests.tolist()

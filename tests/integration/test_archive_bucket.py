"""The bucket as the archive uses it, on a real store: create-only, locked, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors import s3
from connectors.s3 import Bucket, Exists, Refused, Unavailable
from tests import archive_bucket
from tests.space import Space


@pytest.fixture
def bucket(namespace: Space) -> Bucket:
    archive_bucket.create(namespace)
    return archive_bucket.bucket(namespace)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "body"
    path.write_bytes(b"x" * 1000)
    return path


def test_the_start_up_check_passes_and_leaves_one_object_however_often(bucket: Bucket) -> None:
    bucket.check()
    bucket.check()
    assert len(list(bucket.versions("probe/"))) == 1


def test_a_store_that_overwrites_in_spite_of_the_condition_is_refused(namespace: Space, bucket: Bucket) -> None:
    with pytest.raises(Refused, match=r"in spite of If-None-Match.*use a store with conditional writes"):
        archive_bucket.bucket(namespace, create_only=False).check()


@pytest.mark.parametrize("part_bytes", [1 << 30, 5 << 20])
def test_an_object_is_created_once_whole_or_in_parts(
    bucket: Bucket, tmp_path: Path, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", part_bytes)
    body, back = tmp_path / "body", tmp_path / "back"
    body.write_bytes(bytes(range(256)) * 45_000)
    bucket.put("events/a b%20=c/ä", body, {"count": "7"})
    with pytest.raises(Exists):
        bucket.put("events/a b%20=c/ä", body, {"count": "8"})
    stored = bucket.head("events/a b%20=c/ä")
    assert stored is not None
    assert (stored.size, stored.metadata["count"]) == (body.stat().st_size, "7")
    bucket.download("events/a b%20=c/ä", back)
    assert back.read_bytes() == body.read_bytes()
    assert list(bucket.keys("events/")) == ["events/a b%20=c/ä"]
    assert [v.latest for v in bucket.versions("events/")] == [True]


def test_without_create_only_a_second_writer_adds_a_version(namespace: Space, bucket: Bucket, file: Path) -> None:
    """The negative control of the fence: this is what create-only prevents."""
    careless = archive_bucket.bucket(namespace, create_only=False)
    careless.put("events/x", file, {})
    assert archive_bucket.doubles(bucket) == []
    careless.put("events/x", file, {})
    assert archive_bucket.doubles(bucket) == ["events/x"]


def test_nobody_who_writes_or_reads_the_archive_can_delete_from_it(namespace: Space, bucket: Bucket, file: Path) -> None:
    bucket.put("events/x", file, {})
    (version,) = bucket.versions("events/x")
    for role in ("archive", "operator", "reader", "admin"):  # the admin key may, but the object lock forbids it
        with pytest.raises(Refused, match="cannot delete"):
            archive_bucket.bucket(namespace, role).delete_version("events/x", version.version)
    for role in ("operator", "reader", "export"):
        with pytest.raises(Refused, match=f"access key {role} is not allowed"):
            archive_bucket.bucket(namespace, role).put("events/y", file, {})
    assert bucket.head("events/x") is not None


def test_what_a_delete_marker_hides_shows_in_the_versions(namespace: Space, bucket: Bucket, file: Path) -> None:
    bucket.put("events/x", file, {})
    archive_bucket.hide(namespace, "events/x")
    assert bucket.head("events/x") is None
    assert list(bucket.keys("events/")) == []
    assert sorted(v.deleted for v in bucket.versions("events/")) == [False, True]


def test_each_error_says_what_to_do(namespace: Space, bucket: Bucket, file: Path) -> None:
    cases: list[tuple[Bucket, type[Exception], str]] = [
        (archive_bucket.bucket(namespace, secret="wrong"), Refused, "access key archive or its secret is wrong"),
        (archive_bucket.bucket(namespace, name="audit-none-archive"), Refused, "there is no such bucket"),
        (
            archive_bucket.bucket(namespace, endpoint="http://127.0.0.1:1"),
            Unavailable,
            "is it up, is AUDITWIRE_S3_ENDPOINT right",
        ),
    ]
    for broken, kind, text in cases:
        with pytest.raises(kind, match=text) as caught:
            broken.put("events/x", file, {})
        assert 'wrong"' not in str(caught.value) and broken.endpoint in str(caught.value)
    assert archive_bucket.bucket(namespace).head("events/x") is None
    for broken, kind, _ in cases:
        with pytest.raises(kind):
            broken.check()

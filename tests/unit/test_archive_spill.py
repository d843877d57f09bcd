"""The spill folder: bounded, emptied at start, one process; a range gives back what it took, class by class."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from connectors import avro, parquet
from connectors.ranges import StoreError
from connectors.spill import SpillError, SpillFolder
from tests.archive_rows import part, rows


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SpillFolder]:
    made = SpillFolder(tmp_path / "spill", 64 << 20)
    yield made
    made.close()


def test_a_range_gives_back_its_rows_by_class_in_offset_order(folder: SpillFolder) -> None:
    given = rows(400, first=10, classes=("a", "b", ""))
    held = folder.open(2)
    for start in range(0, 400, 70):
        held.add(part(given, start, min(start + 70, 400)))
    held.seal()
    assert sorted(held.classes) == ["", "a", "b"]
    assert (held.count, held.checksum, held.first_timestamp) == (400, avro.checksum(given.digests), int(given.timestamps[0]))
    back = pa.Table.from_batches([b for c in held.classes.values() for b in c.batches()])
    assert back.sort_by("kafka_offset").equals(pa.Table.from_batches([parquet.columns_of(given, 2)]))
    for name, rows_of_class in held.classes.items():
        table = pa.Table.from_batches(list(rows_of_class.batches()))
        assert set(table[parquet.CLASS].to_pylist()) == {name}
        assert table["kafka_offset"].to_pylist() == sorted(table["kafka_offset"].to_pylist())
        assert rows_of_class.count == table.num_rows
    held.close()
    assert [p.name for p in folder.path.iterdir()] == ["lock"]
    assert folder.used == 0


def test_the_folder_is_emptied_at_start_and_nothing_else_is_touched(tmp_path: Path) -> None:
    for name in ("1.arrow", "2.file", "notes.txt"):
        (tmp_path / name).write_text("x")
    SpillFolder(tmp_path, 1 << 20).close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lock", "notes.txt"]


def test_two_sinks_do_not_share_a_folder(tmp_path: Path) -> None:
    first = SpillFolder(tmp_path, 1 << 20)
    with pytest.raises(SpillError, match="in use by another archive sink"):
        SpillFolder(tmp_path, 1 << 20)
    first.close()
    SpillFolder(tmp_path, 1 << 20).close()


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpillError, match="AUDITWIRE_ARCHIVE_SINK_SPILL_DIR"):
        SpillFolder(tmp_path / "file" / "below", 1 << 20)


def test_near_the_limit_the_largest_range_is_full_and_beyond_it_rows_are_refused(tmp_path: Path) -> None:
    given = rows(600)
    folder = SpillFolder(tmp_path, 600_000)
    small, large = folder.open(0), folder.open(1)
    small.add(part(given, 0, 5))
    assert not (small.full or large.full)
    refused = False
    for start in range(0, 2000):
        at = start * 20 % 600
        try:
            large.add(part(given, at, at + 20))
        except StoreError as exc:
            assert "AUDITWIRE_ARCHIVE_SINK_SPILL_BYTES" in str(exc)
            refused = True
            break
        if folder.used > 400_000:
            assert large.full and not small.full
    assert refused
    assert 600_000 <= folder.used <= 700_000
    large.close()
    small.add(part(given, 5, 10))
    assert not small.full
    small.close()
    folder.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from connectors.ranges import StoreError
from connectors.spill import SpillFolder
from tests.archive_rows import rows
held = SpillFolder(Path(sys.argv[1]), 64 << 20).open(0)
given = rows(200)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    for _ in range(100):
        held.add(given)
except StoreError as exc:
    print(exc)
    held.close()
    print([p.name for p in Path(sys.argv[1]).iterdir()])
"""


def test_a_disk_that_takes_no_more_is_a_plain_error_and_leaves_nothing(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith(f"cannot write to {tmp_path}") and first.endswith("make room there")
    assert second == "['lock']"

"""The spool: what it takes, gives back and refuses; one process a folder; what its folder shows to a thief."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from auditwire._errors import ClosedError, SpoolBusyError, SpoolError, SpoolFullError
from auditwire._spool import Spool, SpoolControl
from auditwire._spool_disk import Disk
from tests.spool_records import KEY, filled, numbers, records
from tests.waiting import until


def test_what_goes_in_comes_out_in_order_with_its_topic(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", KEY)
    assert spool.append([(b"", b"", "a"), (b"k", b"v", "b")]) == 2
    assert spool.append([(b"k", b"v" * 3_000_000, "c")]) == 3, "larger than a frame"
    assert list(spool.read()) == [(1, "a", b"", b""), (2, "b", b"k", b"v"), (3, "c", b"k", b"v" * 3_000_000)]
    assert [end for end, _, _, _ in spool.read(1)] == [2, 3]
    assert spool.pending[0] == 3


def test_done_is_not_read_again_and_gives_its_room_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", KEY, segment_bytes=4000)
    for n in range(100):
        spool.append(records(n, 1))
    files, before = len(list(tmp_path.glob("s/*.seg"))), spool.pending
    spool.done(60)
    assert numbers(spool) == list(range(60, 100))
    assert len(list(tmp_path.glob("s/*.seg"))) < files
    assert spool.pending[0] == 40
    assert spool.pending[1] < before[1]
    spool.done(100)
    assert spool.pending == (0, 0)
    assert spool.oldest_at() is None
    with pytest.raises(ValueError, match="behind the last durable"):
        spool.done(101)
    spool.close()
    assert not list(tmp_path.glob("s/*.seg")), "nothing is left of what is done"
    again = Spool(tmp_path / "s", KEY)
    assert (again.position, again.done_position) == (100, 100), "positions go on"
    assert again.append(records(100, 1)) == 101


def test_many_threads_append_and_every_position_is_given_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", KEY)
    ends: list[int] = []

    def work(first: int) -> None:
        for n in range(50):
            end = spool.append(records(first + n, 1))
            ends.append(end)

    threads = [threading.Thread(target=work, args=(1000 * t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == list(range(1, 401)), "every position once"
    found = numbers(spool)
    assert sorted(found) == sorted(1000 * t + n for t in range(8) for n in range(50))
    assert all([n for n in found if n // 1000 == t] == [1000 * t + n for n in range(50)] for t in range(8)), "each thread's order"


def test_what_is_written_during_an_fsync_shares_the_next_one(tmp_path: Path) -> None:
    class Held(Disk):
        syncs = 0

        def __init__(self) -> None:
            self.begun, self.go_on = threading.Event(), threading.Event()
            self.go_on.set()

        def sync(self, fd: int) -> None:
            self.syncs += 1
            self.begun.set()
            assert self.go_on.wait(30)
            super().sync(fd)

    disk = Held()
    spool = Spool(tmp_path / "s", KEY, control=SpoolControl(disk=disk))
    spool.append(records(0, 1))  # the segment is there now
    before = disk.syncs
    disk.begun.clear()
    disk.go_on.clear()
    threads = [threading.Thread(target=spool.append, args=(records(n, 1),)) for n in range(1, 9)]
    threads[0].start()
    assert disk.begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    until(lambda: spool._writer.written == 9, 30)
    disk.go_on.set()
    for thread in threads:
        thread.join()
    assert (spool.position, disk.syncs - before) == (9, 2)


def test_full_is_an_error_and_nothing_is_taken(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", KEY, max_bytes=20_000, segment_bytes=4000)
    with pytest.raises(SpoolFullError, match=r"is full .* Nothing was taken"):
        while True:
            spool.append(records(spool.position, 3))
    held = spool.position
    assert numbers(spool) == list(range(held))
    assert sum(path.stat().st_size for path in tmp_path.glob("s/*.seg")) <= 20_000
    with pytest.raises(SpoolFullError):
        spool.append(records(0, 1, size=30_000))
    spool.done(held)
    assert spool.append(records(held, 3)) == held + 3, "room again"


def test_a_reader_waits_for_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", KEY)
    assert not spool.wait(0, 0.01)
    thread = threading.Thread(target=lambda: spool.append(records(0, 1)))
    thread.start()
    assert spool.wait(0, 30)
    thread.join()
    spool.close()
    assert not spool.wait(1, 30)
    with pytest.raises(ClosedError):
        spool.append(records(1, 1))


def test_one_process_a_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", KEY)
    with pytest.raises(SpoolBusyError, match=r"Give each process a folder of its own"):
        Spool(tmp_path / "s", KEY)
    code = f"from auditwire._spool import Spool; from pathlib import Path; Spool(Path({str(tmp_path / 's')!r}), bytes(range(32)))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "SpoolBusyError" in other.stderr
    spool.close()
    Spool(tmp_path / "s", KEY).close()


def test_a_forked_child_cannot_use_it_and_the_parent_keeps_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", KEY)
    child = os.fork()
    if child == 0:
        try:
            spool.append(records(0, 1))
        except ClosedError as exc:
            os._exit(0 if "after os.fork()" in str(exc) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spool.append(records(0, 1)) == 1
    with pytest.raises(SpoolBusyError):
        Spool(tmp_path / "s", KEY)


def test_the_folder_is_its_owners_only_and_shows_no_plain_text(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("s/*")}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert not any(
        word in path.read_bytes() for path in tmp_path.glob("s/*") for word in (b"plain", b"vvvv", b"key-", b"audit.raw")
    )


def test_control_without_seal_the_plain_text_is_there(tmp_path: Path) -> None:
    files = filled(tmp_path / "s", control=SpoolControl(seal=False))
    assert any(b"plain" in path.read_bytes() for path in files)


def test_another_key_is_refused_while_something_waits(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    with pytest.raises(SpoolError, match="under another key"):
        Spool(tmp_path / "s", b"x" * 32)
    spool = Spool(tmp_path / "s", KEY)
    spool.done(100)
    spool.close()
    Spool(tmp_path / "s", b"x" * 32).close()  # empty: the key may change
    with pytest.raises(ValueError, match="32 bytes"):
        Spool(tmp_path / "s", b"short")

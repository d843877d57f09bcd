"""The spool on disks that fail: an fsync that fails, a kill after it, no room left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest

from auditwire._errors import SpoolError, SpoolFullError
from auditwire._spool import Spool, SpoolControl
from auditwire._spool_disk import Disk
from tests.spool_disk import CrashDisk
from tests.spool_records import KEY, numbers, records


def acknowledged_by_a_second_sync(folder: Path, *, give_up: bool) -> bool:
    """Two appends wait for one fsync, which fails; whether the second is acknowledged and gone after a crash."""
    waiting, synced = threading.Event(), threading.Event()

    class Gate(CrashDisk):
        armed = False

        def sync(self, fd: int) -> None:
            if self.armed:
                self.armed = False
                synced.set()
                assert waiting.wait(30)
            super().sync(fd)

    disk = Gate(folder)
    spool = Spool(folder, KEY, control=SpoolControl(disk=disk, give_up_after_failed_fsync=give_up))
    spool.append(records(0, 1))
    disk.armed, disk.fail_sync = True, 1
    ends: list[int | Exception] = []

    def append(n: int) -> None:
        try:
            ends.append(spool.append(records(n, 1)))
        except SpoolError as exc:
            ends.append(exc)

    first = threading.Thread(target=append, args=(1,))
    first.start()
    assert synced.wait(30)
    second = threading.Thread(target=append, args=(2,))
    second.start()
    while spool._writer.written < 3:
        threading.Event().wait(0.001)
    waiting.set()
    first.join()
    second.join()
    acknowledged = 3 in ends
    spool._writer.forget()
    for path in folder.glob("*.seg"):
        lost = [c for f in disk._files.values() for c in f.changes if c.state == "doomed" and c.data]
        data = path.read_bytes()
        for change in lost:
            assert change.data is not None
            data = data[: change.offset] + b"\0" * len(change.data) + data[change.offset + len(change.data) :]
        path.write_bytes(data)
    return acknowledged and 2 not in numbers(Spool(folder, KEY))


def test_after_a_failed_fsync_nobody_is_acknowledged_for_the_same_file(tmp_path: Path) -> None:
    assert not acknowledged_by_a_second_sync(tmp_path / "s", give_up=True)


def test_control_trying_the_same_file_again_loses_what_was_acknowledged(tmp_path: Path) -> None:
    assert acknowledged_by_a_second_sync(tmp_path / "s", give_up=False)


def seen_once_and_gone(folder: Path, *, write_again: bool) -> bool:
    """An append whose fsync failed, a kill, a start that reads it from the system's memory, then the power goes: is it missed?"""
    for seed in range(10):
        disk = CrashDisk(folder / str(seed))
        control = SpoolControl(disk=disk, write_again_at_start=write_again)
        spool = Spool(disk.folder, KEY, control=control)
        spool.append(records(0, 1))
        disk.fail_sync = 1
        with pytest.raises(SpoolError):
            spool.append(records(1, 1))
        spool._writer.forget()
        again = Spool(disk.folder, KEY, control=control)
        assert numbers(again) == [0, 1]
        again.append(records(2, 1))
        again._writer.forget()
        disk.power_off(Random(seed))
        last = Spool(disk.folder, KEY, control=control)
        disk.close()
        if last.lost or numbers(last) != [0, 1, 2]:
            return True
    return False


def test_what_a_start_has_read_stays_there_even_after_a_failed_fsync(tmp_path: Path) -> None:
    assert not seen_once_and_gone(tmp_path, write_again=True)


def test_control_reading_it_is_no_proof_that_it_is_on_the_disk(tmp_path: Path) -> None:
    assert seen_once_and_gone(tmp_path, write_again=False)


def test_a_disk_that_failed_once_is_tried_again(tmp_path: Path) -> None:
    disk = CrashDisk(tmp_path / "s")
    spool = Spool(tmp_path / "s", KEY, control=SpoolControl(disk=disk))
    spool.append(records(0, 1))
    disk.fail_sync = 2
    for _ in range(2):
        with pytest.raises(SpoolError, match=r"Input/output error.*not confirmed is not kept"):
            spool.append(records(1, 1))
    assert spool.append(records(2, 1)) == 2
    assert numbers(spool) == [0, 2]


class Quota(CrashDisk):
    """A disk that tells only at the fsync, or at the cut after a failed write, that it has no room."""

    at_sync = at_cut = False

    def sync(self, fd: int) -> None:
        if self.at_sync:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        super().sync(fd)

    def truncate(self, fd: int, size: int) -> None:
        if self.at_cut:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().truncate(fd, size)


def test_nothing_was_taken_is_said_only_where_nothing_is_left_in_the_file(tmp_path: Path) -> None:
    disk = Quota(tmp_path / "s")
    spool = Spool(tmp_path / "s", KEY, control=SpoolControl(disk=disk))
    spool.append(records(0, 1))
    disk.room = 30
    with pytest.raises(SpoolFullError, match="Nothing was taken"):
        spool.append(records(1, 1))
    disk.at_cut = True
    with pytest.raises(SpoolError, match=r"No space left on device\. What was not confirmed is not kept") as caught:
        spool.append(records(1, 1))
    assert not isinstance(caught.value, SpoolFullError)
    disk.room, disk.at_cut, disk.at_sync = None, False, True
    with pytest.raises(SpoolError, match=r"cannot sync the spool .*quota.*not confirmed is not kept") as caught:
        spool.append(records(1, 1))
    assert not isinstance(caught.value, SpoolFullError)
    disk.at_sync = False
    spool.append(records(2, 1))


def test_every_folder_that_is_made_is_on_the_disk_before_the_next(tmp_path: Path) -> None:
    synced: list[Path] = []

    class Noting(Disk):
        def sync_folder(self, folder: Path) -> None:
            synced.append(folder)
            super().sync_folder(folder)

    Spool(tmp_path / "a" / "b" / "s", KEY, control=SpoolControl(disk=Noting()))
    assert synced[:3] == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    assert (tmp_path / "a" / "b" / "s").stat().st_mode & 0o077 == 0


MOUNT = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"'
FILL = """
import sys
from pathlib import Path
from auditwire._errors import SpoolFullError
from auditwire._spool import Spool
folder, n = Path(sys.argv[1]) / "s", 0
spool = Spool(folder, bytes(range(32)))
try:
    while True:
        n = spool.append([(b"k", b"plain %d " % n + b"v" * 700, "t")])
except SpoolFullError as exc:
    print(exc)
assert [int(v.split()[1]) for _, _, _, v in spool.read()] == list(range(n)), "all that was acknowledged"
spool.close()
spool = Spool(folder, bytes(range(32)))
assert spool.pending[0] == n > 200 and not spool.lost
spool.done(n)
assert spool.append([(b"k", b"plain", "t")]) == n + 1, "room again"
print("went on")
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """On a file system of 256 KiB of its own."""
    command = ["unshare", "-rm", "sh", "-c", MOUNT, str(tmp_path), sys.executable, "-c", FILL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 0, done.stderr
    assert "No space left on device. Nothing was taken. Make room on its disk." in done.stdout
    assert "went on" in done.stdout

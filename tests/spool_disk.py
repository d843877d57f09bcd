"""A disk under a spool that forgets: what was not synced when the power goes may be kept, lost or torn, write by write."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from auditwire._spool_disk import Disk


@dataclass
class _Change:
    """A write (or a cut to ``offset``, without data). ``state``: durable; unsynced; doomed, when the sync it waited for failed:

    the system has forgotten that it is not on the disk, so no later sync brings it there.
    """

    offset: int
    data: bytes | None
    state: str = "unsynced"


@dataclass
class _File:
    changes: list[_Change] = field(default_factory=list)

    def settle(self, state: str) -> None:
        for change in self.changes:
            if change.state == "unsynced":
                change.state = state


class CrashDisk(Disk):
    """Real files in one folder, and beside them what of each is on the disk for sure.

    ``fail_sync`` of the next syncs of files fail (EIO); ``room`` bytes may still be written (None: any), then ENOSPC.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}  # that are on the disk for sure
        self._pins: list[int] = []
        self.fail_sync, self.syncs = 0, 0
        self.room: int | None = None

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._new(fd)
        return fd

    def open(self, path: Path) -> int:
        known = path.exists()
        fd = super().open(path)
        if not known:
            self._new(fd)
        return fd

    def write(self, fd: int, data: bytes, offset: int) -> None:
        taken = data if self.room is None else data[: self.room]
        super().write(fd, taken, offset)
        self._of(fd).changes.append(_Change(offset, taken))
        if self.room is not None:
            self.room -= len(taken)
        if taken != data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self._of(fd).changes.append(_Change(size, None))

    def sync(self, fd: int) -> None:
        self.syncs += 1
        file = self._of(fd)
        if self.fail_sync:
            self.fail_sync -= 1
            file.settle("doomed")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        file.settle("durable")

    def sync_folder(self, folder: Path) -> None:
        if folder == self.folder:
            self._names = self._current()

    def power_off(self, random: Random) -> None:
        """Leave in the folder what a crash of the machine may leave. Nobody may have it open."""
        current = self._current()
        kept: dict[str, bytes] = {}
        for name in {*current, *self._names}:
            inode = random.choice([current.get(name), self._names.get(name)])
            if inode is not None:
                kept[name] = _torn(self._files[inode], random)
        for name in current:
            (self.folder / name).unlink()
        self.close()
        self._files, self._names = {}, {}
        for name, content in kept.items():
            (self.folder / name).write_bytes(content)
            self._pins.append(os.open(self.folder / name, os.O_RDONLY))
            self._names[name] = (self.folder / name).stat().st_ino
            self._files[self._names[name]] = _File([_Change(0, content, "durable")])

    def close(self) -> None:
        for fd in self._pins:
            os.close(fd)
        self._pins.clear()

    def _new(self, fd: int) -> None:
        """The file's number is not given to another file while a crash may bring it back."""
        self._pins.append(os.dup(fd))
        self._files[os.fstat(fd).st_ino] = _File()

    def _of(self, fd: int) -> _File:
        return self._files[os.fstat(fd).st_ino]

    def _current(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.folder.iterdir() if path.name != "lock"}


def _torn(file: _File, random: Random) -> bytes:
    """The durable changes, and each of the others kept, dropped or cut."""
    content = bytearray()
    keep = random.choice(("all", "none", "any"))
    for change in file.changes:
        if change.state != "durable" and (keep == "none" or (keep == "any" and random.random() < 0.4)):
            continue
        offset, data = change.offset, change.data
        if data is None:
            del content[offset:]
            continue
        if change.state != "durable" and keep == "any":
            data = data[: random.randrange(len(data) + 1)]
        content.extend(b"\0" * (offset - len(content)))
        content[offset : offset + len(data)] = data
    return bytes(content)

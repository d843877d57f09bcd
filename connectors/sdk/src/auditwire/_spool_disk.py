"""What a spool asks of the disk, in one place: a test of crashes takes it over, nobody else does."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from auditwire._errors import SpoolError, SpoolFullError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Disk:
    """Files of one folder by their paths; everything raises OSError as the system does."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """All of it, or OSError."""
        view = memoryview(data)
        while view:
            wrote = os.pwrite(fd, view, offset)
            view, offset = view[wrote:], offset + wrote

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Return when the file's content is on the disk, not in a cache of the system (or of a Mac's drive)."""
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is None:
            os.fsync(fd)
        else:
            fcntl.fcntl(fd, full)

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in the folder are on the disk."""
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def link(self, path: Path, other: Path) -> None:
        other.hardlink_to(path)

    def rename(self, path: Path, other: Path) -> None:
        path.rename(other)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class SpoolControl:
    """For negative controls and crash models only: what keeps the promise switched off, another ``disk``."""

    fsync: bool = True
    seal: bool = True
    give_up_after_failed_fsync: bool = True
    write_again_at_start: bool = True
    disk: Disk = field(default_factory=Disk)


def make_folder(path: Path, sync: Callable[[Path], None]) -> None:
    """The folder and what is missing above it, each level on the disk before the next. Raises OSError."""
    missing = [level for level in (path, *path.parents) if not level.exists()]
    for level in reversed(missing):
        level.mkdir(mode=0o700 if level == path else 0o777, exist_ok=True)
        sync(level.parent)


def trouble(exc: OSError, doing: str, path: Path, *, taken: bool = True) -> SpoolError:
    """What an error of the disk means for whoever called. Not ``taken``: nothing of it is left in the folder."""
    what = exc.strerror or type(exc).__name__
    if exc.errno in NO_ROOM and not taken:
        return SpoolFullError(f"cannot {doing} the spool {path}: {what}. Nothing was taken. Make room on its disk.")
    return SpoolError(
        f"cannot {doing} the spool {path}: {what}. What was not confirmed is not kept. Check the disk and who may write there."
    )

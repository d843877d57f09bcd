"""A spool's folder: who has it, which key it is under, its segments, its mark, and what is kept aside as damaged."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from auditwire._errors import SpoolBusyError, SpoolError
from auditwire._spool_disk import SpoolControl, make_folder, trouble
from auditwire._spool_frames import HEAD_BYTES, SALT_BYTES, Frame, SegmentCipher, derive, frames
from auditwire._spool_mark import Mark
from auditwire._spool_scan import SUFFIX, Segment, Survey, number_of, reader, survey

logger = logging.getLogger("auditwire.spool")
IDENTITY = struct.Struct("<8s16s8s16s")  # magic, id of the spool, id of the key, check
IDENTITY_MAGIC = b"AWSPID01"
DAMAGED, UNFINISHED = ".damaged", ".new"


class Folder:
    """Opens the folder (made if missing) and says what it holds in ``survey``. Raises SpoolBusyError, SpoolError."""

    def __init__(self, path: Path, key: bytes, control: SpoolControl) -> None:
        self.path, self._key, self.control, self._disk = path, key, control, control.disk
        try:
            make_folder(path, self._sync)
            self._lock = _locked(path)
            try:
                self.id = self._identity()
                self.mark = Mark(path / "mark", key, self.id, control)
                self._sync(path)
                done = self.mark.done if self.mark.found else None
                self.survey = survey(path, key, done, self.mark.durable, sealed=control.seal)
                self._settle(self.survey)
                if control.write_again_at_start:
                    self._secure(self.survey)
            except BaseException:
                os.close(self._lock)
                raise
        except OSError as exc:
            raise trouble(exc, "open", path) from None

    def create(self, number: int, first: int, copied: Sequence[tuple[Frame, bytes]] = ()) -> tuple[Segment, int]:
        """A new segment that is in the folder for good, and its descriptor; it gets its name when it is complete.

        Raises OSError; nothing that counts is left then.
        """
        path = self.path / f"{number:016d}{SUFFIX}"
        cipher = SegmentCipher(self._key, os.urandom(SALT_BYTES), number, first, sealed=self.control.seal)
        data = cipher.header + b"".join(cipher.seal(plain, f.count, f.position, f.durable, f.at) for f, plain in copied)
        unfinished = path.with_suffix(UNFINISHED)
        fd = self._disk.create(unfinished)
        try:
            self._disk.write(fd, data, 0)
            self.sync_file(fd)
            self._disk.rename(unfinished, path)
            self._sync(self.path)
        except OSError:
            os.close(fd)
            self._disk.unlink(unfinished)
            self._disk.unlink(path)
            raise
        end = copied[-1][0].end if copied else first
        return Segment(number, path, cipher, first, end, len(data)), fd

    def sync_file(self, fd: int) -> None:
        """Raises OSError."""
        if self.control.fsync:
            self._disk.sync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Raises OSError."""
        self._disk.truncate(fd, size)

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """Raises OSError."""
        self._disk.write(fd, data, offset)

    def delete(self, segments: list[Segment]) -> None:
        """The mark must say already that they are done. Raises OSError."""
        self.mark.sync()
        for segment in segments:
            self._disk.unlink(segment.path)

    def keep_aside(self, path: Path | None, begin: int, end: int) -> None:
        """Keep a damaged file under a second name; where no file is left, an empty one tells which positions are missing."""
        aside = self.path / f"missing-{begin}-{end}{DAMAGED}" if path is None else path.with_suffix(DAMAGED)
        logger.error(
            "%d records of the spool %s are lost (positions %d to %d); see %s", end - begin, self.path, begin, end - 1, aside
        )
        try:
            if aside.exists():
                return
            if path is None:
                os.close(self._disk.create(aside))
            else:
                self._disk.link(path, aside)
        except OSError as exc:
            logger.warning("cannot keep %s aside (%s)", path or aside, exc.strerror)

    def damaged(self) -> list[Path]:
        return sorted(self.path.glob(f"*{DAMAGED}"))

    def close(self) -> None:
        os.close(self.mark.fileno())
        os.close(self._lock)

    def _settle(self, found: Survey) -> None:
        """Cut what is torn, keep aside what is damaged; what was found is durable then. Raises OSError."""
        for path, size in found.torn:
            logger.warning(
                "the spool %s was cut off in the middle of a write: %s ends at byte %d now", self.path, path.name, size
            )
            self._cut(path, size)
        for path in found.strangers:
            aside = path.with_suffix(DAMAGED)
            logger.error("%s is no segment of this spool or its head is damaged; kept as %s", path, aside.name)
            self._disk.rename(path, aside)
        for path in self.path.glob(f"*{UNFINISHED}"):
            self._disk.unlink(path)
        for begin, end, file in found.lost:
            self.keep_aside(file, begin, end)
        self._sync(self.path)

    def _secure(self, found: Survey) -> None:
        """Write again what the mark does not call durable: it can be read, but after a failed fsync perhaps from memory only."""
        if not found.segments or (self.mark.found and found.end <= self.mark.durable):
            return
        last = found.segments[-1]
        begin = max(last.first, self.mark.durable)
        with last.path.open("rb") as file:
            opened = list(frames(reader(file.fileno()), last.cipher, HEAD_BYTES, last.size))
        copied = sorted((item for item in opened if begin <= item[0].position < found.end), key=lambda item: item[0].position)
        try:
            segment, fd = self.create(self.next_number(), begin, copied)
        except OSError as exc:
            logger.warning("cannot write the end of the spool %s again (%s); it is used as it is", self.path, exc.strerror)
            return
        os.close(fd)
        last.end, segment.end = begin, found.end
        found.segments.append(segment)
        if not last.path.with_suffix(DAMAGED).exists():
            last.size = min((frame.offset for frame, _ in copied), default=last.size)
            self._cut(last.path, last.size)

    def _cut(self, path: Path, size: int) -> None:
        """Raises OSError."""
        fd = self._disk.open(path)
        try:
            self._disk.truncate(fd, size)
            self.sync_file(fd)
        finally:
            os.close(fd)

    def next_number(self) -> int:
        """Behind every number that was given in this folder and can still be seen."""
        names = [number_of(path) for path in self.path.iterdir() if path.suffix in (SUFFIX, DAMAGED)]
        return max(names, default=0) + 1

    def _identity(self) -> bytes:
        """The id of the spool, made with the folder. Raises SpoolError for another key, OSError."""
        path = self.path / "identity"
        held = sorted(self.path.glob(f"*{SUFFIX}"))
        found = path.read_bytes() if path.exists() else b""
        if found:
            magic, spool_id, key_id, check = _parts(found)
            intact = magic == IDENTITY_MAGIC and check == derive(spool_id + key_id, IDENTITY_MAGIC, b"", 16)
            if intact and key_id == self._key_id(spool_id):
                return spool_id
            if intact and held:
                raise SpoolError(
                    f"the spool {self.path} holds records under another key. Start with the key that it was written with "
                    "until it is empty, or give this process another folder."
                )
        if held:
            raise SpoolError(
                f"the spool {self.path} holds segments but its file `identity` is missing or damaged. Put it back, or move the "
                "folder away and keep it: its records are not sent."
            )
        return self._new_identity(path)

    def _new_identity(self, path: Path) -> bytes:
        spool_id = os.urandom(16)
        key_id = self._key_id(spool_id)
        self._disk.unlink(self.path / "mark")
        self._disk.unlink(path)
        fd = self._disk.create(path)
        try:
            check = derive(spool_id + key_id, IDENTITY_MAGIC, b"", 16)
            self._disk.write(fd, IDENTITY.pack(IDENTITY_MAGIC, spool_id, key_id, check), 0)
            self.sync_file(fd)
        finally:
            os.close(fd)
        return spool_id

    def _key_id(self, spool_id: bytes) -> bytes:
        return derive(self._key, b"auditwire spool key id", spool_id, 8)

    def _sync(self, folder: Path) -> None:
        if self.control.fsync:
            self._disk.sync_folder(folder)


def _parts(identity: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    if len(identity) != IDENTITY.size:
        return b"", b"", b"", b""
    magic, spool_id, key_id, check = IDENTITY.unpack(identity)
    return magic, spool_id, key_id, check


def _locked(path: Path) -> int:
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise SpoolBusyError(
            f"the spool {path} belongs to another process that is still running. Give each process a folder of its own, "
            "or end that process first."
        ) from None
    return fd

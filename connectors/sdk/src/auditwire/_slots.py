"""A small text kept in a file that has its room already, so that a full disk takes the next one too.

Two slots are written in turn: a torn write leaves the other. The file is made again, larger, once a text fills half a slot.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

from auditwire._spool_disk import Disk

_HEAD = struct.Struct("<8sQI")  # magic, number of the write, length
_MAGIC = b"AWSLOTS1"
_OVER = _HEAD.size + hashlib.sha256().digest_size
_LEAST = 16 << 10  # bytes of a slot


class Slots:
    """``text`` is the newest one, None where the file is not there. Raises OSError; ValueError where neither slot is whole."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path, self._disk = path, disk
        self._slot = self._number = 0
        self._named = True
        self.text: bytes | None = None
        if path.exists():
            data = path.read_bytes()
            self._slot = len(data) // 2
            for begin in (0, self._slot):
                self._read(data[begin : begin + self._slot])
            if self.text is None:
                raise ValueError("no slot is whole")

    @property
    def room(self) -> int:
        """Bytes that `write` takes whatever the disk has left."""
        return max(0, self._slot - _OVER)

    def write(self, text: bytes) -> None:
        """Durable when it returns. Raises OSError: then the text of before holds."""
        there = self._path.exists()
        if 2 * len(text) <= self.room and there:
            self._put(text)
        else:
            try:
                self._grow(text)
            except OSError:
                if len(text) > self.room or not there:
                    raise
                self._put(text)
        if not self._named:
            self._disk.sync_folder(self._path.parent)
            self._named = True

    def _put(self, text: bytes) -> None:
        """Over the older slot; over the same one again where the disk failed."""
        fd = self._disk.open(self._path)
        try:
            self._disk.write(fd, _sealed(self._number + 1, text), self._slot * ((self._number + 1) % 2))
            self._disk.sync(fd)
        finally:
            os.close(fd)
        self._number += 1

    def _grow(self, text: bytes) -> None:
        number, slot, new = self._number + 1, max(_LEAST, self._slot), self._path.with_suffix(".new")
        while 2 * len(text) > slot - _OVER:
            slot *= 2
        self._disk.unlink(new)
        fd = self._disk.create(new)
        try:
            self._disk.write(fd, bytes(2 * slot), 0)
            self._disk.write(fd, _sealed(number, text), slot * (number % 2))
            self._disk.sync(fd)
            self._disk.rename(new, self._path)
        except OSError:
            self._disk.unlink(new)
            raise
        finally:
            os.close(fd)
        self._number, self._slot, self._named = number, slot, False

    def _read(self, data: bytes) -> None:
        if len(data) < _OVER:
            return
        _, number, length = _HEAD.unpack_from(data)
        text = data[_OVER : _OVER + length]
        if number > self._number and data[: _OVER + length] == _sealed(number, text):
            self._number, self.text = number, text


def _sealed(number: int, text: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, number, len(text))
    return head + hashlib.sha256(head + text).digest() + text

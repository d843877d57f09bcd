"""The mark beside a spool's segments: up to where everything is done, up to where everything is durable.

Two slots are written in turn, so a torn write leaves the other. The file itself is synced before a segment is deleted only: an
older mark means that records are sent again, never that one is lost.
"""

from __future__ import annotations

import hmac
import struct
from pathlib import Path

from auditwire._spool_disk import SpoolControl
from auditwire._spool_frames import derive

SLOT = struct.Struct("<8sQQQ32s")  # magic, number of the write, done, durable, HMAC-SHA256
MAGIC = b"AWMARK01"


class Mark:
    """Reads the newer good slot when made; ``write`` puts the next one over the older."""

    def __init__(self, path: Path, key: bytes, spool_id: bytes, control: SpoolControl) -> None:
        """Raises OSError."""
        self._disk, self._path, self._control = control.disk, path, control
        self._key = derive(key, b"auditwire spool mark", spool_id)
        self._fd = self._disk.open(path)
        self.found, self._number, self.done, self.durable = False, 0, 0, 0
        data = path.read_bytes()
        for slot in (0, 1):
            self._read(data[slot * SLOT.size : (slot + 1) * SLOT.size])

    def write(self, done: int, durable: int) -> None:
        """Raises OSError; nothing is synced."""
        self._number, self.done, self.durable = self._number + 1, done, durable
        head = SLOT.pack(MAGIC, self._number, done, durable, b"")[:-32]
        self._disk.write(self._fd, head + self._mac(head), SLOT.size * (self._number % 2))

    def sync(self) -> None:
        """Raises OSError."""
        if self._control.fsync:
            self._disk.sync(self._fd)

    def fileno(self) -> int:
        return self._fd

    def _read(self, slot: bytes) -> None:
        if len(slot) < SLOT.size:
            return
        magic, number, done, durable, mac = SLOT.unpack(slot)
        if magic == MAGIC and number > self._number and hmac.compare_digest(mac, self._mac(slot[:-32])):
            self.found, self._number, self.done, self.durable = True, number, done, durable

    def _mac(self, head: bytes) -> bytes:
        return hmac.digest(self._key, head, "sha256")

"""What Kafka refuses for good: kept in a spool of its own beside the receiver's, so that what is behind it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auditwire._spool import Spool
from connectors.outbox import Record

NAME = "refused"


class Refused:
    """Records put aside in the folder ``refused`` of a spool's folder, under the spool's key.

    The folder is open only while something is put there: whoever has mended the cause may move it away and start a receiver with
    it as its spool, which sends what it holds. Raises SpoolError (unusable disk, another key).
    """

    def __init__(self, folder: Path, key: bytes, max_bytes: int) -> None:
        self.path, self._key, self._max_bytes = folder / NAME, key, max_bytes
        self._held = 0
        if self.path.is_dir():
            self.keep([])

    @property
    def count(self) -> int:
        """Records in the folder."""
        return self._held if self.path.is_dir() else 0

    def keep(self, records: Sequence[Record]) -> None:
        """Durable when it returns. Raises SpoolError, SpoolFullError: nothing was taken, try again."""
        spool = Spool(self.path, self._key, max_bytes=self._max_bytes)
        try:
            if records:
                spool.append([(record.key, record.value, record.topic) for record in records])
            self._held, _ = spool.pending
        finally:
            spool.close()

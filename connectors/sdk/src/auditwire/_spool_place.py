"""Whose spool it is: the folder that a process gives, and what a process without one of its own is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from auditwire._errors import ConfigurationError
from auditwire._receipt import Receipt

if TYPE_CHECKING:
    from auditwire._spool import Spool


@dataclass(frozen=True)
class SpoolFolder:
    """Where a process keeps spooled events: a folder of its own on a volume that outlives it, sealed with ``key`` (32 bytes).

    ``max_bytes`` bounds the files; a full spool refuses events. The folder opens with the same key only: keep it. Raises
    ConfigurationError.
    """

    path: Path
    key: bytes = field(repr=False)
    max_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if not isinstance(self.key, bytes) or len(self.key) != 32:
            raise ConfigurationError(
                "the spool's key must be 32 bytes (AUDITWIRE_SPOOL_KEY: 64 hex digits, `openssl rand -hex 32`)"
            )
        if self.max_bytes < 1 << 20:
            raise ConfigurationError(
                "the spool's max_bytes (AUDITWIRE_SPOOL_MAX_BYTES) must be at least 1048576: one event may be 512 KiB"
            )


class Forked:
    """In place of the parent's spool in a forked child."""

    mode = "spooled"
    recorded = waiting = own_under_way = 0

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """Raises ConfigurationError, always."""
        raise ConfigurationError(
            f"the spool {self._path} belongs to the process that this one was forked from: make a client after the fork "
            "(post_fork, worker_process_init) with a folder of its own, such as one named after the worker's number"
        )

    async def arecord(self, head: bytes, tail: bytes, receipt: Receipt) -> None:
        """Raises ConfigurationError, always."""
        self.record(head, tail, receipt)

    def beat(self) -> None:
        """Nothing to say."""

    def end(self) -> None:
        """Nothing to end."""

    def say_closed(self) -> None:
        """Nothing to say."""

    def flush(self, timeout: float) -> int:
        """Nothing waits."""
        return 0

    def stop(self) -> None:
        """Nothing to stop."""


def no_spool() -> ConfigurationError:
    """For a client that has none."""
    return ConfigurationError(
        "mode spooled needs a folder: set AUDITWIRE_SPOOL_DIR and AUDITWIRE_SPOOL_KEY, or give the client spool=SpoolFolder(…)"
    )


def opened(place: SpoolFolder) -> Spool:
    """Raises SpoolBusyError, SpoolError, ConfigurationError (cryptography is missing)."""
    try:
        from auditwire._spool import Spool
    except ImportError:
        raise ConfigurationError("mode spooled needs the package cryptography: pip install 'auditwire[spool]'") from None
    return Spool(place.path, place.key, max_bytes=place.max_bytes)

"""Numbered records and a filled folder, for the tests of the spool."""

from __future__ import annotations

from pathlib import Path

from auditwire._spool import Spool, SpoolControl

KEY = bytes(range(32))


def records(first: int, count: int, size: int = 100) -> list[tuple[bytes, bytes, str]]:
    return [(b"key-%d" % n, b"plain %d " % n + b"v" * size, "audit.raw") for n in range(first, first + count)]


def numbers(spool: Spool, position: int = 0) -> list[int]:
    return [int(value.split()[1]) for _, _, _, value in spool.read(position)]


def filled(folder: Path, *, control: SpoolControl | None = None) -> list[Path]:
    """100 records, each in a frame of its own, in several closed segments."""
    spool = Spool(folder, KEY, segment_bytes=4000, control=control)
    for n in range(100):
        spool.append(records(n, 1))
    spool.close()
    return sorted(folder.glob("*.seg"))

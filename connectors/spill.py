"""Where open ranges of the archive wait: Arrow IPC files in a bounded temporary folder, so that memory stays flat.

Losing the folder loses nothing: what is not in the archive yet is read from Kafka again.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors import avro, parquet
from connectors.ranges import Rows, StoreError

SPARE_DISK = 256 << 20
OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class SpillError(Exception):
    """The folder cannot be used; the text says what to do."""


class SpillFolder:
    """The folder, emptied now, for this process alone. Two thirds of ``limit`` bytes are for open ranges, the rest for the
    Parquet file being written. Raises SpillError.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit
        self._names = itertools.count()
        self._ranges: set[SpilledRange] = set()
        self._guard = threading.Lock()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _locked(path / "lock")
            for old in [*path.glob("*.arrow"), *path.glob("*.file")]:
                old.unlink()
        except BlockingIOError:
            raise SpillError(
                f"{path} is in use by another archive sink: give each its own AUDITWIRE_ARCHIVE_SINK_SPILL_DIR"
            ) from None
        except OSError as exc:
            raise SpillError(
                f"cannot use {path} ({exc.strerror}): correct AUDITWIRE_ARCHIVE_SINK_SPILL_DIR or its rights"
            ) from exc

    def __enter__(self) -> SpillFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    @property
    def used(self) -> int:
        """Bytes of all open ranges."""
        with self._guard:
            return sum(r.size for r in self._ranges)

    def open(self, partition: int) -> SpilledRange:
        """An empty range of one partition."""
        found = SpilledRange(self, partition)
        with self._guard:
            self._ranges.add(found)
        return found

    def drop(self, gone: SpilledRange) -> None:
        with self._guard:
            self._ranges.discard(gone)

    def crowds(self, one: SpilledRange) -> bool:
        """True when space is short and this range takes at least its share of it: so the large ones close, not all."""
        with self._guard:
            used, share = sum(r.size for r in self._ranges), len(self._ranges)
        short = used > self.limit * 2 // 3 or shutil.disk_usage(self.path).free < min(SPARE_DISK, self.limit // 3)
        return short and one.size * share >= used

    def new_path(self, suffix: str) -> Path:
        """A name nobody has; the suffix is ``.arrow`` or ``.file``."""
        return self.path / f"{next(self._names):08d}{suffix}"

    def check_room(self) -> None:
        """Raises StoreError when the limit is reached; the last rows before may exceed it."""
        used = self.used
        if used >= self.limit:
            raise StoreError(
                f"the spill folder {self.path} holds {used} of {self.limit} bytes: raise AUDITWIRE_ARCHIVE_SINK_SPILL_BYTES,"
                " or see why the archive does not take objects"
            )


@dataclass
class ClassRows:
    """What a range holds of one retention class."""

    path: Path
    file: Any
    writer: Any
    count: int = 0
    checksum: int = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows with their positions, in offset order. Call after `SpilledRange.seal`."""
        with pa.OSFile(str(self.path)) as file, pa.ipc.open_stream(file) as reader:
            yield from reader


class SpilledRange:
    """An open range: one file per retention class, with running count and checksum."""

    def __init__(self, folder: SpillFolder, partition: int) -> None:
        self._folder, self._partition = folder, partition
        self.classes: dict[str, ClassRows] = {}
        self.size = 0
        self.first_timestamp: int | None = None
        """Append time of the first record, ms since 1970 UTC; None while empty."""

    @property
    def full(self) -> bool:
        return self._folder.crowds(self)

    @property
    def count(self) -> int:
        return sum(c.count for c in self.classes.values())

    @property
    def checksum(self) -> int:
        return sum(c.checksum for c in self.classes.values()) % 2**64

    def add(self, rows: Rows) -> None:
        """Append rows. Raises StoreError when the folder's limit is reached or the disk is full; the range is lost then."""
        if len(rows) == 0:
            return
        columns = parquet.columns_of(rows, self._partition)
        self._folder.check_room()
        if self.first_timestamp is None:
            self.first_timestamp = int(rows.timestamps[0])
        try:
            for name, batch in _by_class(columns):
                self._append(name, batch)
            self.size = sum(c.file.tell() for c in self.classes.values())
        except OSError as exc:
            raise StoreError(f"cannot write to {self._folder.path} ({os.strerror(exc.errno or 0)}): make room there") from exc

    def seal(self) -> None:
        """No more rows: make the files readable. Safe to repeat. Raises StoreError when the disk is full."""
        try:
            for part in self.classes.values():
                if not part.file.closed:
                    part.writer.close()
                    part.file.close()
        except OSError as exc:
            raise StoreError(f"cannot write to {self._folder.path} ({os.strerror(exc.errno or 0)}): make room there") from exc

    def temporary(self) -> Path:
        """A path in the folder for the Parquet file; the caller removes it."""
        return self._folder.new_path(".file")

    def close(self) -> None:
        """Remove the files."""
        for part in self.classes.values():
            with suppress(OSError):
                part.file.close()
            part.path.unlink(missing_ok=True)
        self._folder.drop(self)

    def _append(self, name: str, batch: pa.RecordBatch) -> None:
        part = self.classes.get(name)
        if part is None:
            path = self._folder.new_path(".arrow")
            file = pa.OSFile(str(path), "wb")
            part = self.classes[name] = ClassRows(path, file, pa.ipc.new_stream(file, parquet.schema(), options=OPTIONS))
        part.writer.write_batch(batch)
        part.count += batch.num_rows
        digests = np.asarray(batch.column("event_digest"))
        part.checksum = (part.checksum + avro.checksum(digests)) % 2**64


def _locked(path: Path) -> IO[str]:
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _by_class(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    column = batch.column(parquet.CLASS)
    names = sorted(pc.unique(column).to_pylist())
    for name in names:
        yield name, batch if len(names) == 1 else batch.filter(pc.equal(column, name))

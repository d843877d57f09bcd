"""Rows → the files of an extract: cut at fixed numbers of rows, hashed on their way, each stored once it is complete."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import numpy as np
import pyarrow as pa

from connectors import parquet
from pipeline.export import formats

log = logging.getLogger(__name__)
CHUNK_ROWS, CHUNK_BYTES = 1_000, 16 << 20
FILE_ROWS, FILE_BYTES = 1_000_000, 256 << 20
MANIFEST = "manifest.json"


class Store(Protocol):
    """Where files go: `connectors.extracts.ExtractBucket`."""

    def put(self, key: str, path: Path, metadata: dict[str, str]) -> None:
        """Create the object from a file; return means durable."""


@dataclass(frozen=True)
class File:
    """One stored file; ``sha256`` of its bytes, hexadecimal."""

    name: str
    rows: int
    bytes: int
    sha256: str

    def entry(self) -> dict[str, str | int]:
        return asdict(self)


class Chunks:
    """Batches of any size in, batches of at most `CHUNK_ROWS` rows and `CHUNK_BYTES` of text (or one row) out.

    Where they are cut depends on the rows alone, not on the batches.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._rows = self._most = 0  # text is not measured while even all bytes held, `_most`, are few

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The chunks that are full now."""
        at = 0
        while at < batch.num_rows:
            piece = batch.slice(at, CHUNK_ROWS - self._rows)
            size = piece.get_total_buffer_size()  # of the whole batch, but twenty times cheaper than that of the piece
            if self._most + size > CHUNK_BYTES:
                piece = piece.slice(0, self._fitting(piece))
            if piece.num_rows:
                self._held.append(piece)
                self._rows, self._most, at = self._rows + piece.num_rows, self._most + size, at + piece.num_rows
            if at < batch.num_rows or self._rows == CHUNK_ROWS:
                yield self._taken()

    def rest(self) -> pa.RecordBatch | None:
        """What is left at the end."""
        return self._taken() if self._rows else None

    def _fitting(self, piece: pa.RecordBatch) -> int:
        """How many of these rows still fit by their text; a chunk has at least one."""
        self._most = sum(int(parquet.row_bytes(held).sum()) for held in self._held)
        ends = np.cumsum(parquet.row_bytes(piece))
        return max(int(np.searchsorted(ends, CHUNK_BYTES - self._most, side="right")), 0 if self._rows else 1)

    def _taken(self) -> pa.RecordBatch:
        held, self._held, self._rows, self._most = self._held, [], 0, 0
        return _conform(pa.concat_batches(held), self._schema)


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [c if c.type == f.type else c.cast(f.type) for c, f in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class Files:
    """Writes ``part-00000.<format>`` and so on below ``prefix``. Nothing is left on the local disk, however the process ends."""

    def __init__(self, store: Store, prefix: str, form: str, schema: pa.Schema) -> None:
        self._store, self._prefix, self._form, self._schema = store, prefix, form, schema
        self._chunks = Chunks(schema)
        self._part: _Part | None = None
        self.done: list[File] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows in order. Raises S3Error."""
        for chunk in self._chunks.add(batch):
            self._write(chunk)

    def finish(self) -> list[File]:
        """Store what is open; an extract without events has one file without rows. Raises S3Error."""
        if (rest := self._chunks.rest()) is not None:
            self._write(rest)
        if self._part is None and not self.done:
            self._part = _Part(self._form, self._schema)
        if self._part is not None:
            self._close(self._part)
        return self.done

    def abandon(self) -> None:
        """Let go of the open file."""
        if self._part is not None:
            self._part.writer.abandon()
            self._part.out.drop()

    def _write(self, chunk: pa.RecordBatch) -> None:
        part = self._part = self._part or _Part(self._form, self._schema)
        part.writer.write(chunk)
        part.rows += chunk.num_rows
        if part.rows >= FILE_ROWS or part.writer.size() >= FILE_BYTES:
            self._close(part)

    def _close(self, part: _Part) -> None:
        part.writer.close()
        name, began = f"part-{len(self.done):05d}.{self._form}", time.monotonic()
        self.done.append(stored(self._store, self._prefix + name, name, part.rows, part.out))
        self._part = None
        log.info(
            "%s%s: %d rows, %d bytes, stored in %.1f s", self._prefix, name, part.rows, part.out.size, time.monotonic() - began
        )


class _Part:
    def __init__(self, form: str, schema: pa.Schema) -> None:
        self.out = Hashed()
        self.writer = formats.WRITERS[form](cast(BinaryIO, self.out), schema)
        self.rows = 0


class NoRoomError(Exception):
    """The folder of temporary files is full; the text says which. Trying again later can help."""


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise NoRoomError(
            f"{tempfile.gettempdir()} takes no more of an extract's file ({exc.strerror}): make room there, or set TMPDIR to a "
            f"folder with more than {FILE_BYTES >> 20} MB"
        ) from exc


class Hashed:
    """A file without a name that knows the size and the SHA-256 of what was written."""

    closed = False

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115  closed by `stored`
        self.size, self._sha256 = 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Arrow hands over buffers, which have a length only as a view."""
        view = memoryview(data)
        with _room():
            self.file.write(view)
        self._sha256.update(view)
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        with _room():
            self.file.flush()

    def drop(self) -> None:
        """Close the file; on a full disk that tries to write once more what is given up."""
        with suppress(OSError):
            self.file.close()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self.size

    def close(self) -> None:
        """Arrow closes what it wrote to; the file is still to be stored."""

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


def stored(store: Store, key: str, name: str, rows: int, out: Hashed) -> File:
    """Store what was written and forget it here. Raises S3Error, NoRoomError."""
    try:
        out.flush()
        store.put(key, Path(f"/proc/self/fd/{out.file.fileno()}"), {"sha256": out.sha256})
    finally:
        out.drop()
    return File(name, rows, out.size, out.sha256)

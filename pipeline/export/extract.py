"""One attempt at an extract: count, cut into slices, read each in order, write files, describe them in a manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from connectors.clickhouse.client import Client
from connectors.postgres.jobs import Job
from pipeline.export import columns
from pipeline.export.files import MANIFEST, File, Files, Hashed, Store, stored
from pipeline.export.queries import Reading
from pipeline.export.slices import Slice, slices

SLICE_ROWS = 100_000
# Bounds for the server, which sorts a slice: two threads, spill to disk early, small blocks to us (an event may have 512 KiB).
READ_SETTINGS: Mapping[str, str | int] = {
    "max_threads": 2,
    "max_block_size": 256,
    "max_bytes_before_external_sort": 200_000_000,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "output_format_arrow_string_as_string": 1,
}


class ChangedError(Exception):
    """The stored events changed while they were read (retention, erasure): begin again."""


@dataclass
class Progress:
    """How far an attempt is; read by the thread that keeps the lease."""

    rows_done: int = 0
    rows_total: int | None = None


@dataclass(frozen=True)
class Attempt:
    """What one attempt works with. ``check`` raises when the work is no longer wanted; ``prefix`` is this attempt's alone."""

    reading: Reading
    clickhouse: Client
    store: Store
    prefix: str
    check: Callable[[], None]
    progress: Progress = field(default_factory=Progress)

    def run(self) -> list[File]:
        """Write the data files; memory does not grow with their number. Raises ClickHouseError, S3Error, ChangedError."""
        plan = list(slices(self.reading.query.start, self.reading.query.end, self._count, SLICE_ROWS))
        self.progress.rows_total = sum(s.rows for s in plan)
        files = Files(self.store, self.prefix, self.reading.query.format, columns.arrow_schema(self.reading.query.columns))
        try:
            for piece in plan:
                self._copy(piece, files)
            return files.finish()
        finally:
            files.abandon()

    def _copy(self, piece: Slice, files: Files) -> None:
        rows = 0
        with closing(self._batches(piece)) as batches:
            for batch in batches:
                self.check()
                files.write(batch)
                rows += batch.num_rows
                self.progress.rows_done += batch.num_rows
        if rows != piece.rows:
            raise ChangedError(f"{piece.rows} events were counted, {rows} read: they changed meanwhile")

    def _batches(self, piece: Slice) -> Generator[pa.RecordBatch, None, None]:
        sql, params = self.reading.read(piece.start, piece.end)
        yield from self.clickhouse.batches(sql, params, **READ_SETTINGS)

    def _count(self, start: int, end: int, width: int) -> list[tuple[int, int]]:
        self.check()
        sql, params = self.reading.count(start, end, width)
        return [(int(number), int(rows)) for number, rows in self.clickhouse.rows(sql, params)]


def manifest(job: Job, reading: Reading, topic: str, files: list[File]) -> dict[str, Any]:
    """What an auditor needs to know about the files: the question, the answer's shape and digests, and what it covers."""
    return {
        "id": str(job.id),
        "created_at": job.created_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "service": {"name": "auditwire export", "version": version("auditwire-service")},
        "principal": job.principal,
        "query": reading.query.public(),
        "counts": {"rows": sum(f.rows for f in files), "files": len(files), "bytes": sum(f.bytes for f in files)},
        "files": [f.entry() for f in files],
        "schema": [columns.known()[name].described() for name in reading.query.columns],
        "order": reading.query.order,
        "high_water": [
            {"topic": topic, "topic_id": reading.marks.topic_id, "partition": p, "end_offset": end}
            for p, end in sorted(reading.marks.ends.items())
        ],
    }


def write_manifest(store: Store, prefix: str, content: Mapping[str, Any]) -> File:
    """Store the manifest; the last file of an extract. Raises S3Error."""
    out = Hashed()
    out.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
    return stored(store, prefix + MANIFEST, MANIFEST, 0, out)

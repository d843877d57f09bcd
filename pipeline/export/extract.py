"""One attempt at an extract: count, cut into slices, read each in order, write files, describe them in a manifest."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from connectors.clickhouse.client import Client
from connectors.kafka_marks import Marks
from connectors.postgres.jobs import Job
from pipeline.export import columns
from pipeline.export.files import MANIFEST, File, Files, Hashed, Store, stored
from pipeline.export.queries import Query, Reading
from pipeline.export.slices import Slice, slices

SLICE_ROWS = 100_000
# Bounds for the server, which sorts a slice: two threads, spill to disk early, small blocks to us (an event may have 512 KiB).
# Compressing the answer costs both sides more than sending it does.
READ_SETTINGS: Mapping[str, str | int] = {
    "max_threads": 2,
    "max_block_size": 256,
    "max_bytes_before_external_sort": 200_000_000,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_compression_method": "none",
    "enable_http_compression": 0,
}


class TooLargeError(Exception):
    """The extract would have more rows than its principal may have: it fails, and its text says what to do."""


class ChangedError(Exception):
    """The stored events changed while they were read (retention, erasure): begin again."""


@dataclass
class Progress:
    """How far an attempt is; read by the thread that keeps the lease."""

    rows_done: int = 0
    rows_total: int | None = None


@dataclass(frozen=True)
class Covered:
    """Which events an extract covers: those below the marks, among them everything ingested before ``complete_until`` (UTC).

    ``completeness``: what is known of the producers in the range (`pipeline.completeness_shown.of_range`); None: nobody asked.
    """

    marks: Marks
    complete_until: datetime | None
    completeness: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Attempt:
    """What one attempt works with. ``check`` raises when the work is no longer wanted; ``prefix`` is this attempt's alone."""

    reading: Reading
    clickhouse: Client
    store: Store
    prefix: str
    check: Callable[[], None]
    progress: Progress = field(default_factory=Progress)
    most_rows: int | None = None

    def run(self) -> list[File]:
        """Write the data files; memory does not grow with their number. Raises ClickHouseError, S3Error, ChangedError,
        TooLargeError.
        """
        plan = list(slices(self.reading.query.start, self.reading.query.end, self._count, SLICE_ROWS))
        self.progress.rows_total = sum(s.rows for s in plan)
        self._bounded(self.progress.rows_total)
        files = Files(self.store, self.prefix, self.reading.query.format, columns.arrow_schema(self.reading.query.columns))
        try:
            with closing(self._read(plan)) as pieces:
                for piece, batches in pieces:
                    self._copy(piece, batches, files)
            return files.finish()
        finally:
            files.abandon()

    def _bounded(self, rows: int) -> None:
        if self.most_rows is not None and rows > self.most_rows:
            raise TooLargeError(
                f"it would have {rows:,} events, and the principal's limit is {self.most_rows:,}: ask for a shorter range or"
                " filter, or have an operator raise `rows_per_extract` in the principals file"
            )

    def _copy(self, piece: Slice, batches: Iterator[pa.RecordBatch], files: Files) -> None:
        rows = 0
        for batch in batches:
            self.check()
            files.write(batch)
            rows += batch.num_rows
            self.progress.rows_done += batch.num_rows
        if rows != piece.rows:
            raise ChangedError(f"{piece.rows} events were counted, {rows} read: they changed meanwhile")

    def _read(self, plan: Sequence[Slice]) -> Generator[tuple[Slice, Iterator[pa.RecordBatch]], None, None]:
        """Each slice with its batches. While one is written, the server sorts the next."""
        with ThreadPoolExecutor(1, "read-ahead") as pool:
            ahead = deque(pool.submit(self._begun, piece) for piece in plan[:1])
            try:
                for number, piece in enumerate(plan):
                    first, rest = ahead[0].result()
                    ahead.extend(pool.submit(self._begun, following) for following in plan[number + 1 : number + 2])
                    yield piece, chain(first, rest)
                    rest.close()
                    ahead.popleft()
            finally:
                for begun in ahead:
                    with suppress(Exception):  # the reason for ending is already on its way
                        begun.cancel()
                        begun.result()[1].close()

    def _begun(self, piece: Slice) -> tuple[list[pa.RecordBatch], Generator[pa.RecordBatch, None, None]]:
        """The first batch of a slice, which comes when it is sorted, and the others."""
        sql, params = self.reading.read(piece.start, piece.end)
        batches = self.clickhouse.batches(sql, params, **READ_SETTINGS)
        return list(islice(batches, 1)), batches

    def _count(self, start: int, end: int, width: int) -> list[tuple[int, int]]:
        self.check()
        sql, params = self.reading.count(start, end, width)
        return [(int(number), int(rows)) for number, rows in self.clickhouse.rows(sql, params)]


def is_complete(query: Query, until: datetime | None) -> bool:
    """True where everything that the range can have by the ingest time is covered."""
    return until is not None and query.end_time <= until


def is_whole(query: Query, until: datetime | None, completeness: Mapping[str, Any] | None) -> bool:
    """True where besides no producer misses anything of the range; older extracts say nothing of that."""
    return is_complete(query, until) and (completeness is None or bool(completeness["complete"]))


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else None


def manifest(
    job: Job, reading: Reading, topic: str, files: list[File], covered: Covered, *, deleted: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """What an auditor needs to know about the files: the question, the answer's shape and digests, what it covers, and what had
    been ``deleted`` of its range (`pipeline.export.deleted.touching`).
    """
    query, until = reading.query, covered.complete_until
    return {
        "id": str(job.id),
        "created_at": iso(job.created_at),
        "service": {"name": "auditwire export", "version": version("auditwire-service")},
        "principal": job.principal,
        "definition": job.definition and str(job.definition),
        "query": query.public(),
        "complete": is_whole(query, until, covered.completeness),
        "pipeline_complete": is_complete(query, until),
        "complete_until": iso(until),
        "completeness": json.loads(json.dumps(covered.completeness, sort_keys=True)),  # PostgreSQL keeps no order of keys
        "deleted": [dict(one) for one in deleted],
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

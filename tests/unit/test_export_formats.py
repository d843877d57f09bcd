"""The three formats say the same of any value, and their bytes do not depend on how the rows arrive."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.export import columns, files, formats
from tests import archive_rows

NAMES = [
    "event_id",
    "message",
    "occurred_at",
    "cost_usd",
    "sequence",
    "tools_offered",
    "attributes",
    "processed_identity_conflict",
]


class Folder:
    """A store in a folder, with the real store's promise: create-only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, key: str, path: Path, metadata: dict[str, str]) -> None:
        with path.open("rb") as source, (self.path / key.replace("/", "_")).open("xb") as out:
            shutil.copyfileobj(source, out)
        assert hashlib.sha256((self.path / key.replace("/", "_")).read_bytes()).hexdigest() == metadata["sha256"]


def written(form: str, batch: pa.RecordBatch) -> bytes:
    out = files.Hashed()
    writer = formats.WRITERS[form](cast(BinaryIO, out), batch.schema)
    writer.write(batch)
    writer.close()
    out.file.seek(0)
    body = out.file.read()
    out.file.close()
    assert hashlib.sha256(body).hexdigest() == out.sha256
    return body


@cache
def events(count: int) -> pa.RecordBatch:
    made = archive_rows.columns(count)
    schema = columns.arrow_schema(made.schema.names)
    return pa.RecordBatch.from_arrays([c.cast(f.type) for c, f in zip(made.columns, schema, strict=True)], schema=schema)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


EXECUTED = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
RISKY = st.builds("".join, st.tuples(st.sampled_from(["", "'", "''"]), st.sampled_from(EXECUTED), TEXT))


@given(st.lists(st.one_of(TEXT, RISKY), min_size=1, max_size=20))
def test_no_cell_is_executable_and_each_can_be_undone(texts: list[str]) -> None:
    body = written("csv", pa.RecordBatch.from_arrays([pa.array(texts)], schema=columns.arrow_schema(["message"])))
    cells = [row[0] for row in csv.reader(io.StringIO(body.decode(), newline=""))][1:]
    assert not any(cell.startswith(EXECUTED) for cell in cells)
    undone = [cell[1:] if cell.lstrip("'")[:1] in EXECUTED and cell.startswith("'") else cell for cell in cells]
    assert undone == texts


@given(st.lists(st.tuples(RISKY, RISKY), max_size=5))
def test_neither_lists_nor_pairs_nor_headers_are_executable(texts: list[tuple[str, str]]) -> None:
    names = ["tools_offered", "attributes"]
    rows = [[a for a, _ in texts], [{"key": a, "value": b} for a, b in texts]]
    schema = columns.arrow_schema(names)
    arrays = [pa.array([row], field.type) for row, field in zip(rows, schema, strict=True)]
    header, cells = csv.reader(
        io.StringIO(written("csv", pa.RecordBatch.from_arrays(arrays, schema=schema)).decode(), newline="")
    )
    assert header == names
    assert [json.loads(cell) for cell in cells] == rows
    assert not any(cell.startswith(EXECUTED) for cell in cells)


def test_names_of_columns_begin_with_a_letter() -> None:
    assert all(name[0].isalpha() for name in columns.known())
    empty = pa.RecordBatch.from_pylist([], columns.arrow_schema(columns.known()))
    header = next(csv.reader(io.StringIO(written("csv", empty).decode())))
    assert header == list(columns.known())


def test_without_the_quote_a_cell_would_be_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "EXECUTABLE", r"^\b$")
    body = written("csv", pa.RecordBatch.from_arrays([pa.array(["=1+1"])], schema=columns.arrow_schema(["message"])))
    assert body.decode().splitlines()[1] == '"=1+1"'


@given(st.lists(TEXT, min_size=1, max_size=20))
def test_a_line_of_json_says_what_the_column_says(texts: list[str]) -> None:
    body = written("jsonl", pa.RecordBatch.from_arrays([pa.array(texts)], schema=columns.arrow_schema(["message"])))
    assert [json.loads(line)["message"] for line in body.decode().removesuffix("\n").split("\n")] == texts


def test_times_have_microseconds_and_a_zone_even_when_they_are_round() -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array([0, 1], pa.timestamp("us", "UTC"))], schema=columns.arrow_schema(["occurred_at"])
    )
    assert written("jsonl", batch).decode() == (
        '{"occurred_at":"1970-01-01T00:00:00.000000Z"}\n{"occurred_at":"1970-01-01T00:00:00.000001Z"}\n'
    )
    assert '"1970-01-01T00:00:00.000001Z"' in written("csv", batch).decode()


@pytest.mark.parametrize("form", formats.WRITERS)
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(1, 3499), max_size=8))
def test_bytes_depend_on_the_rows_alone(form: str, cuts: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = events(3500).select(NAMES)
    bounds = [0, *sorted(set(cuts)), whole.num_rows]
    made = []
    for pieces in ([whole], [whole.slice(a, b - a) for a, b in itertools.pairwise(bounds)]):
        out = files.Files(Folder(tmp_path_factory.mktemp("files")), "extracts/", form, whole.schema)
        for piece in pieces:
            out.write(piece)
        made.append(out.finish())
    assert made[0] == made[1]


@pytest.mark.parametrize("limit", [44_000, 44_200])
def test_row_groups_end_where_they_do_however_the_rows_came(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that has an absent value elsewhere has a bitmap for all of its rows, which are no more bytes of the rows."""
    monkeypatch.setattr(formats, "GROUP_BYTES", limit)
    monkeypatch.setattr(files, "FILE_BYTES", 3_000)
    schema = pa.schema([pa.field("number", pa.int64()), pa.field("text", pa.string(), nullable=False)])
    numbers = pa.array([None if i == 1001 else i for i in range(10_000)], pa.int64())
    whole = pa.RecordBatch.from_arrays([numbers, pa.array(["x" * 10] * 10_000)], schema=schema)
    made = []
    for size in (250, 256, 10_000):
        out = files.Files(Folder(tmp_path), f"{size}-", "parquet", schema)
        for first in range(0, 10_000, size):
            sent = pa.BufferOutputStream()
            with pa.ipc.new_stream(sent, schema) as stream:
                stream.write_batch(whole.slice(first, size))
            out.write(pa.ipc.open_stream(sent.getvalue()).read_next_batch())
        made.append(out.finish())
    assert made[0] == made[1] == made[2]
    assert len(made[0]) > 1


def test_a_file_ends_at_its_limit_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_ROWS", 2000)
    whole = events(4500).select(["event_id", "sequence"])
    out = files.Files(Folder(tmp_path), "", "parquet", whole.schema)
    out.write(whole)
    done = out.finish()
    assert [(f.name, f.rows) for f in done] == [
        ("part-00000.parquet", 2000),
        ("part-00001.parquet", 2000),
        ("part-00002.parquet", 500),
    ]
    read: list[dict[str, Any]] = [row for f in done for row in pq.read_table(tmp_path / f.name).to_pylist()]
    assert read == pa.Table.from_batches([whole]).to_pylist()


@given(
    sizes=st.lists(st.sampled_from((0, 10, 400, 999, 3000)), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_chunks_are_small_in_bytes_too_and_do_not_depend_on_the_batches(sizes: list[int], cuts: list[int]) -> None:
    schema = pa.schema([pa.field("message", pa.string(), nullable=False)])
    whole = pa.RecordBatch.from_arrays([pa.array(["x" * n for n in sizes], pa.string())], schema=schema)

    def chunked(at: list[int]) -> list[list[str]]:
        made = files.Chunks(schema)
        found = [c for a, b in itertools.pairwise([0, *at, len(sizes)]) for c in made.add(whole.slice(a, b - a))]
        rest = made.rest()
        return [c.column(0).to_pylist() for c in [*found, *([] if rest is None else [rest])]]

    with pytest.MonkeyPatch.context() as small:
        small.setattr(files, "CHUNK_ROWS", 7)
        small.setattr(files, "CHUNK_BYTES", 1000)
        chunks = chunked(sorted(min(c, len(sizes)) for c in cuts))
        assert chunks == chunked([])
    assert [len(text) for chunk in chunks for text in chunk] == sizes
    assert all(len(c) <= 7 and (len(c) == 1 or sum(map(len, c)) <= 1000) for c in chunks)

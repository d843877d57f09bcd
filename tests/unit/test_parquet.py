"""Columns → Parquet → columns: nothing changes, the bytes depend on the rows alone, and others can read the file."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import schemas
from connectors import avro, parquet
from connectors.ranges import Rows
from tests.archive_rows import NOVEMBER, part, rows


def _write(path: Path, of: Rows, step: int) -> bytes:
    slices = (part(of, i, min(i + step, len(of))) for i in range(0, len(of), step))
    parquet.write(path, (parquet.columns_of(s, 2) for s in slices), {"auditwire.start": "7"})
    return path.read_bytes()


def _in_order(path: Path) -> pa.RecordBatch:
    return pa.Table.from_batches(list(parquet.read(path))).sort_by("kafka_offset").combine_chunks().to_batches()[0]


def test_what_is_read_encodes_to_the_very_bodies_that_were_written(tmp_path: Path) -> None:
    given = rows(500, first=40)
    _write(tmp_path / "a", given, 33)
    read = _in_order(tmp_path / "a")
    assert avro.encode(parquet.events_of(read)) == avro.encode(given.columns)
    assert np.array_equal(np.asarray(read.column("event_digest")), given.digests)
    assert np.asarray(read.column("kafka_offset")).tolist() == given.offsets.tolist()
    assert set(read.column("kafka_partition").to_pylist()) == {2}
    assert read.column("kafka_timestamp")[0].value == NOVEMBER


def test_the_bytes_depend_on_the_rows_and_not_on_how_they_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = rows(300)
    monkeypatch.setattr(parquet, "ROWS", 70)
    monkeypatch.setattr(parquet, "BYTES", 20_000)
    assert len({_write(tmp_path / str(step), given, step) for step in (1, 7, 100, 300)}) == 1


@pytest.mark.parametrize(("most_rows", "most_bytes"), [(70, 1 << 30), (1000, 20_000), (1000, 1)])
def test_row_groups_keep_their_limits_and_lose_nothing(most_rows: int, most_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = parquet.columns_of(rows(300), 0)
    monkeypatch.setattr(parquet, "ROWS", most_rows)
    monkeypatch.setattr(parquet, "BYTES", most_bytes)
    groups = list(parquet.row_groups([given.slice(0, 111), given.slice(111)]))
    assert pa.Table.from_batches(groups).equals(pa.Table.from_batches([given]))
    assert all(g.num_rows <= most_rows for g in groups)
    assert all(g.num_rows == 1 or parquet.row_bytes(g).sum() <= most_bytes for g in groups)
    assert len(groups) > 1


def test_row_bytes_counts_text_in_lists_and_pairs_also_of_slices() -> None:
    given = rows(50).columns.slice(13, 20)
    expected = [sum(len(v.encode()) for v in _texts(row)) for row in given.to_pylist()]
    assert parquet.row_bytes(given).tolist() == expected


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _texts(item)]


def test_the_file_is_sorted_indexed_compressed_and_self_describing(tmp_path: Path) -> None:
    _write(tmp_path / "a", rows(200), 50)
    with pq.ParquetFile(tmp_path / "a") as file:
        names = [file.schema.column(i).path for i in range(len(file.schema))]
        group = file.metadata.row_group(0)
        columns = {names[i]: group.column(i) for i in range(group.num_columns)}
        assert file.metadata.metadata[b"auditwire.start"] == b"7"
        tops = list(dict.fromkeys(n.partition(".")[0] for n in names))
        assert tops == [*schemas.event_fields(), "kafka_partition", "kafka_offset", "kafka_timestamp", "event_digest"]
        assert {c.compression for c in columns.values()} == {"ZSTD"}
        assert "RLE_DICTIONARY" in columns["tenant_id"].encodings
        assert "RLE_DICTIONARY" not in columns["event_id"].encodings
        assert columns["kafka_offset"].has_offset_index and columns["kafka_offset"].has_column_index
        assert columns["prompt"].statistics is None or not columns["prompt"].statistics.has_min_max
        table = file.read(["tenant_id", "occurred_at"])
        assert str(file.schema.column(names.index("occurred_at")).logical_type).startswith(
            "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds"
        )
    keys = list(zip(table["tenant_id"].to_pylist(), table["occurred_at"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def test_every_dictionary_column_is_one_of_the_file() -> None:
    names = {n.partition(".")[0] for n in parquet.FEW_VALUES}
    assert names <= set(parquet.schema().names)


def test_duckdb_reads_the_same_values(tmp_path: Path) -> None:
    given = rows(120)
    _write(tmp_path / "a", given, 120)
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        found = db.execute(
            "SELECT count(*), sum(event_digest), min(kafka_offset), max(epoch_ms(kafka_timestamp)) FROM read_parquet(?)",
            [str(tmp_path / "a")],
        ).fetchone()
    assert found == (120, sum(given.digests.tolist()), 0, NOVEMBER + 119)


def test_only_row_groups_that_may_hold_the_offsets_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 10)
    _write(tmp_path / "a", rows(100, first=1000), 100)
    found = pa.Table.from_batches(list(parquet.read(tmp_path / "a", 1025, 1031)))
    assert sorted(found["kafka_offset"].to_pylist()) == list(range(1020, 1040))


def test_a_file_that_lacks_newer_columns_is_filled_with_their_defaults(tmp_path: Path) -> None:
    given = rows(20)
    batch = parquet.columns_of(given, 2).drop_columns(["processed_identity_conflict", "attributes", "cost_usd"])
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "old")
    event = parquet.events_of(next(parquet.read(tmp_path / "old")))
    assert event.schema.equals(avro.event_arrow_schema())
    assert event.column("attributes").to_pylist() == [[]] * 20
    assert event.column("processed_identity_conflict").to_pylist() == [False] * 20
    assert event.column("cost_usd").null_count == 20


def test_what_is_not_parquet_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        list(parquet.read(tmp_path / "a"))

"""Objects of the first and of the newest schema in one bucket: DuckDB and ClickHouse give what the ClickHouse table gives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import schemas
from connectors import archive_sql, avro, manifest, parquet
from connectors.clickhouse import ddl, store
from connectors.ranges import Rows
from pipeline.rules import sql
from pipeline.rules.condition import parse
from schemas.contract import Contract
from tests import analyst_world, archive_bucket
from tests.analyst_world import Fields
from tests.archive_rows import plan_of
from tests.sinks import clickhouse
from tests.space import Space

COLUMNS = [name for name in ddl.columns() if name != "kafka_topic_id"]


def _first_schema() -> set[str]:
    return {f["name"] for f in Contract(schemas.ROOT.parent).released("audit_event")[1]["fields"]}


def _events(count: int, **more: Any) -> list[Fields]:
    kinds = ("tool.invoked", "model.responded")
    numbers = [{"input_tokens": n, "cost_usd": n / 8} if n % 3 else {} for n in range(count)]
    return [analyst_world.event(kinds[n % 2], n, tool_name=f"tool-{n}'s", **numbers[n], **more) for n in range(count)]


@pytest.fixture(scope="module")
def archived(new_space: Callable[[], Space]) -> Space:
    """30 events of the first schema and 40 of the newest, in the table and, as two objects, in the bucket."""
    space = new_space()
    archive_bucket.create(space)
    full = {"processed_tool_risk": "high", "processed_owners": ["tool:a", "agent:b"], "processed_flags": ["tool_unknown"]}
    old = analyst_world.insert(space, analyst_world.batch(_events(30)))
    events = analyst_world.batch([{**e, "event_id": f"new-{n}"} for n, e in enumerate(_events(40, **full))])
    new = analyst_world.insert(space, events, first=30)
    _put(space, old, without=tuple(name for name in schemas.event_fields() if name not in _first_schema()))
    _put(space, new)
    return space


def _put(space: Space, rows: Rows, without: tuple[str, ...] = ()) -> None:
    table = pa.Table.from_batches([parquet.columns_of(rows, 0)]).drop_columns(list(without))
    if without:
        assert set(table.column_names) == _first_schema() | {f.name for f in parquet.POSITION_FIELDS}
    path = space.folder / "object.parquet"
    pq.write_table(table, path, compression="zstd", store_schema=False)
    key = manifest.object_key(plan_of(rows, partition=0), "standard", int(rows.timestamps[0]))
    archive_bucket.bucket(space).put(key, path, {})


def _of_the_table(space: Space) -> dict[int, int]:
    """Offset → digest, computed anew from all columns."""
    with clickhouse(space) as client:
        batches = list(store.read_events(client, space.name))
    return _digests(pa.Table.from_batches(batches))


def _digests(table: pa.Table) -> dict[int, int]:
    """The same of what an engine gives: only rows with exactly these values in all columns have these digests."""
    kinds = {f.name: f.type for f in avro.event_arrow_schema()}
    columns = {name: table[name].combine_chunks().cast(kind) for name, kind in kinds.items()}
    found = avro.digests(avro.encode(avro.conform(pa.RecordBatch.from_pydict(columns))))
    assert found.tolist() == table["event_digest"].to_pylist()
    return dict(zip(table["kafka_offset"].to_pylist(), found.tolist(), strict=True))


def _clickhouse(space: Space, sql: str, location: str = "", folder: Path | None = None) -> pa.Table:
    """The answer of a ClickHouse in a process of its own, with the reader's key."""
    where = location or f"{space.env['AUDITWIRE_S3_ENDPOINT']}/{space.env['AUDITWIRE_S3_BUCKET']}"
    key = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": space.stack.state.secrets["s3_reader"]}
    answer = space.folder / "answer.parquet"
    subprocess.run(
        [sys.executable, "-m", "chdb", f"{archive_sql.clickhouse(where)} {sql} INTO OUTFILE '{answer}' TRUNCATE FORMAT Parquet"],
        env={"PATH": os.environ["PATH"], "HOME": str(space.folder), **key},
        cwd=folder or space.folder,
        check=True,
    )
    return pq.read_table(answer)


def _copied(space: Space) -> Path:
    bucket = archive_bucket.bucket(space, "reader")
    for key in bucket.keys("events/"):
        path = space.folder / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.download(key, path)
    return space.folder / "copy"


def test_clickhouse_reads_the_bucket_as_the_table_is(archived: Space) -> None:
    found = _clickhouse(archived, "SELECT * FROM events")
    assert found.column_names == [*COLUMNS, *archive_sql.FOLDERS]
    assert _digests(found) == _of_the_table(archived)


def test_clickhouse_reads_a_copy_in_its_folder(archived: Space) -> None:
    assert _digests(_clickhouse(archived, "SELECT * FROM events", ".", _copied(archived))) == _of_the_table(archived)


def test_duckdb_reads_a_copy_as_the_table_is(archived: Space) -> None:
    with duckdb.connect() as db:
        db.execute(archive_sql.duckdb(str(_copied(archived))))
        found = db.sql("SELECT * FROM events").to_arrow_table()
    assert found.column_names == [*COLUMNS, *archive_sql.FOLDERS]
    assert _digests(found) == _of_the_table(archived)


def test_duckdb_reads_objects_of_the_first_schema_alone(archived: Space) -> None:
    """Union by name knows no column that no object has."""
    folder = archived.folder / "first"
    (old,) = (p for p in _copied(archived).rglob("*.parquet") if pq.read_metadata(p).num_rows == 30)
    path = folder / old.relative_to(archived.folder / "copy")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(old.read_bytes())
    with duckdb.connect() as db:
        db.execute(archive_sql.duckdb(str(folder)))
        found = db.execute("SELECT DISTINCT processed_tool_risk, processed_owners FROM events").fetchall()
    assert found == [("", [])]


def test_without_the_defaults_the_engines_differ(archived: Space) -> None:
    """Negative control: what the plain statement gives."""
    files = str(_copied(archived) / archive_sql.OBJECTS)
    with duckdb.connect() as db:
        sql = (
            "SELECT count(*) FROM read_parquet(?, hive_partitioning = true, union_by_name = true) WHERE processed_tool_risk = ''"
        )
        assert db.execute(sql, [files]).fetchone() == (0,)


def test_folders_and_statistics_skip_what_is_not_asked_for(archived: Space) -> None:
    with duckdb.connect() as db:
        db.execute(archive_sql.duckdb(str(_copied(archived))))
        plan = str(db.execute("EXPLAIN SELECT count(*) FROM events WHERE dt > '2026-11-01' AND tenant_id = 'x'").fetchall())
    assert "Scanning Files: 0/2" in plan
    assert "Filters: tenant_id" in plan


CONDITIONS = [
    "processed_tool_risk = '' AND tool_name LIKE 'tool-1_''s'",  # a column that the older objects lack
    "NOT (input_tokens > 10) OR cost_usd IS NULL",
    "occurred_at >= '2026-11-10T09:00:00Z' AND has(processed_owners, 'tool:a')",
    "NOT has(processed_flags, 'tool_unknown') AND COALESCE(input_tokens, 7) BETWEEN 5 AND 20",
]


def test_conditions_of_rules_find_the_same_events_in_archive_and_table(archived: Space) -> None:
    with duckdb.connect() as db, clickhouse(archived) as client:
        db.execute(archive_sql.duckdb(str(_copied(archived))))
        for tree in (parse(text).tree for text in CONDITIONS):
            found = db.execute(f"SELECT kafka_offset FROM events WHERE {sql.duckdb(tree)} ORDER BY ALL").fetchall()
            stored = client.rows(
                f"SELECT kafka_offset FROM events WHERE {sql.clickhouse(tree)} ORDER BY ALL", database=archived.name
            )
            assert [list(row) for row in found] == stored
            assert 0 < len(stored) < 70

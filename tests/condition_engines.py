"""The engines that run conditions, each over the same rows: per condition, per row, whether it matches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.clickhouse import ddl
from pipeline.rules import columnar, sql, tree
from pipeline.rules.nodes import Tree
from tests import conditions
from tests.plain.conditions import matches

Rows = list[dict[str, Any]]
Answers = list[list[bool]]


def plain(trees: Sequence[Tree], rows: Rows) -> Answers:
    """By the plain evaluator."""
    return [[matches(one, row) for row in rows] for one in trees]


def pyarrow(trees: Sequence[Tree], rows: Rows) -> Answers:
    """By the processor's, out of the JSON form as in a processor."""
    read = [tree.from_json(tree.to_json(one)) for one in trees]
    return [mask.tolist() for mask in columnar.Program(read).masks(conditions.batch(rows))]


def in_duckdb(trees: Sequence[Tree], rows: Rows) -> Answers:
    """By DuckDB, in the archive's types; the session is in a zone far from UTC."""
    table = utc(conditions.batch(rows))
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'Pacific/Kiritimati'")
        db.register("rows", table)
        found = db.sql(f"SELECT {', '.join(map(sql.duckdb, trees))} FROM rows").fetchall()
    return [list(column) for column in zip(*found, strict=True)]


def utc(batch: pa.RecordBatch) -> pa.Table:
    """Times as instants, as the archive has them."""
    kinds = {f.name: pa.timestamp("us", "UTC") if pa.types.is_timestamp(f.type) else f.type for f in batch.schema}
    return pa.Table.from_batches([batch]).cast(pa.schema(list(kinds.items())))


class ClickHouse:
    """ClickHouse inside of this process, over the columns' types of the table `events`."""

    def __enter__(self) -> Self:
        import chdb

        self._query = chdb.query
        self._folder = TemporaryDirectory()
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def masks(self, trees: Sequence[Tree], rows: Rows) -> Answers:
        """One statement for all of them."""
        path = write(Path(self._folder.name), rows)
        answer = self._query(clickhouse_sql(trees, path), "TabSeparated").bytes().decode()
        return columns(answer)


def write(folder: Path, rows: Rows) -> Path:
    """The rows as a file for `clickhouse_sql`."""
    path = folder / "rows.parquet"
    pq.write_table(utc(conditions.batch(rows)), path)
    return path


def clickhouse_sql(trees: Sequence[Tree], path: Path) -> str:
    """A SELECT of all conditions over the file; the session is in a zone far from UTC."""
    structure = ", ".join(f"{name} {ddl.columns()[name]}" for name in (*conditions.FIELDS, *conditions.LISTS)).replace("'", "\\'")
    wanted = ", ".join(f"toUInt8({sql.clickhouse(one)})" for one in trees)
    return (
        f"SELECT {wanted} FROM file('{path}', 'Parquet', '{structure}')"
        " SETTINGS session_timezone = 'Pacific/Kiritimati', max_threads = 1"
    )


def columns(answer: str) -> Answers:
    """TabSeparated 0 and 1 → per condition the rows."""
    lines = [line.split("\t") for line in answer.splitlines()]
    if {cell for line in lines for cell in line} - {"0", "1"}:
        raise AssertionError("a condition gave something else than 0 and 1")
    return [[cell == "1" for cell in column] for column in zip(*lines, strict=True)]


def answers(trees: Sequence[Tree], rows: Rows, clickhouse: ClickHouse) -> dict[str, Answers]:
    """What each engine says."""
    return {"pyarrow": pyarrow(trees, rows), "DuckDB": in_duckdb(trees, rows), "ClickHouse": clickhouse.masks(trees, rows)}


def difference(trees: Sequence[Tree], rows: Rows, expected: Answers, found: Answers) -> str:
    """The first condition that was seen differently, with the first row of it."""
    for one, wanted, got in zip(trees, expected, found, strict=True):
        for row, should, does in zip(rows, wanted, got, strict=True):
            if should != does:
                return f"{does} instead of {should} for {row}\n{tree.to_json(one)}\n{sql.clickhouse(one)}\n{sql.duckdb(one)}"
    return "no difference"

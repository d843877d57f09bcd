"""The statements that make the archive a table: every column, and no place for more than a location."""

from __future__ import annotations

import duckdb
import pytest

import schemas
from connectors import archive_sql, parquet
from pipeline.__main__ import main


@pytest.mark.parametrize("engine", archive_sql.ENGINES)
@pytest.mark.parametrize("location", ["a'b", "a\\b", "x', 'CSV') --"])
def test_a_location_that_could_end_the_text_is_refused(engine: str, location: str) -> None:
    with pytest.raises(ValueError, match="must not hold quotes or backslashes"):
        archive_sql.ENGINES[engine](location)


@pytest.mark.parametrize("engine", archive_sql.ENGINES)
def test_every_column_of_the_archive_is_listed(engine: str) -> None:
    text = archive_sql.ENGINES[engine]("copy")
    assert [name for name in (*parquet.schema().names, *archive_sql.FOLDERS) if name not in text] == []


def test_a_default_that_clickhouse_would_not_fill_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    later = {"name": "later", "type": "string", "default": "unknown"}
    monkeypatch.setattr(schemas, "event_schema", lambda: {"fields": [later]})
    with pytest.raises(ValueError, match="column later: its default cannot be filled in"):
        archive_sql.duckdb(".")


def test_the_statement_is_one_that_duckdb_understands() -> None:
    with duckdb.connect() as db, pytest.raises(duckdb.IOException, match="No files found"):
        db.execute(archive_sql.duckdb("/nowhere"))


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive-sql", "--engine", "clickhouse", "--location", "http://s3.example.com/audit-archive"]) == 0
    assert "s3('http://s3.example.com/audit-archive/events/**/*.parquet', 'Parquet'" in capsys.readouterr().out
    assert main(["archive-sql", "--engine", "duckdb", "--location", "it's"]) == 2
    assert "rename the folder" in capsys.readouterr().err

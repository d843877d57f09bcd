"""The archive as a table for DuckDB and for ClickHouse: one statement each, as text. Pure.

Objects keep the columns that the event had when they were written. A column that a later version of the schema brought is filled
with the schema's default where an object lacks it, so both engines give what the ClickHouse table gives.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

import schemas
from connectors import parquet
from connectors.clickhouse import ddl
from schemas.contract import Contract

FOLDERS = ("class", "dt")
"""Columns out of the folders' names: the retention class, and the UTC day of the first record of an object's range."""

OBJECTS = "events/**/*.parquet"
PLAIN = {"string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "uint64": "UBIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}
DEFAULTS: dict[str, Any] = {"''": "", "[]": [], "false": False}


def duckdb(location: str) -> str:
    """``CREATE VIEW events`` for DuckDB over a copy's folder or ``s3://bucket``. Raises ValueError for quotes in it."""
    later = _later()
    typed = ", ".join(f"NULL::{_duckdb_type(parquet.schema().field(name).type)} AS {name}" for name in later)
    listed = ",\n    ".join(_filled(name, later) for name in (*parquet.schema().names, *FOLDERS))
    files = f"read_parquet({_text(_path(location))}, hive_partitioning = true, union_by_name = true)"
    every = f"SELECT {typed} WHERE false\n    UNION ALL BY NAME SELECT * FROM {files}"  # noqa: S608
    return f"CREATE OR REPLACE VIEW events AS SELECT\n    {listed}\nFROM ({every});\n"


def clickhouse(location: str) -> str:
    """``CREATE VIEW events`` for clickhouse-local over a copy's folder or ``http(s)://endpoint/bucket``.

    Credentials are not part of it: ClickHouse takes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from its environment. Raises
    ValueError for a quote in ``location``.
    """
    types = {name: kind for name, kind in ddl.columns().items() if name in parquet.schema().names}
    structure = ",\n    ".join(f"{name} {kind}".replace("'", "\\'") for name, kind in types.items())
    remote = location.startswith(("http://", "https://"))
    source = f"{'s3' if remote else 'file'}({_text(_path(location))}, 'Parquet', '\n    {structure}')"
    return f"CREATE OR REPLACE VIEW events AS SELECT {', '.join((*types, *FOLDERS))}\nFROM {source};\n"


ENGINES = {"duckdb": duckdb, "clickhouse": clickhouse}


def _later() -> dict[str, str]:
    """Event columns that an object may lack → their default in SQL, empty for null. Raises ValueError for other defaults."""
    first = {f["name"] for f in Contract(schemas.ROOT.parent).released("audit_event")[1]["fields"]}
    return {f["name"]: _default(f) for f in schemas.event_schema()["fields"] if f["name"] not in first}


def _default(field: dict[str, Any]) -> str:
    """ClickHouse fills in what its types have as default, so the schema must not have another one."""
    if field["default"] is None:
        return ""
    for text, value in DEFAULTS.items():
        if type(field["default"]) is type(value) and field["default"] == value:
            return text
    raise ValueError(f"column {field['name']}: its default cannot be filled in by ClickHouse; use null, '', [] or false")


def _filled(name: str, later: dict[str, str]) -> str:
    return f"coalesce({name}, {later[name]}) AS {name}" if later.get(name) else name


def _duckdb_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_duckdb_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{f.name} {_duckdb_type(f.type)}' for f in kind)})"
    return "TIMESTAMPTZ" if pa.types.is_timestamp(kind) else PLAIN[str(kind)]


def _path(location: str) -> str:
    return f"{location.rstrip('/')}/{OBJECTS}"


def _text(value: str) -> str:
    if "'" in value or "\\" in value:
        raise ValueError("the location must not hold quotes or backslashes: rename the folder")
    return f"'{value}'"

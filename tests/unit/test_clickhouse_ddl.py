"""The committed migrations make exactly the columns that the event schema asks for."""

from __future__ import annotations

import re

import pytest

from connectors.clickhouse import ddl, migrations
from connectors.clickhouse.store import insert_sql

COLUMN = re.compile(
    r"^    (\w+) ((?:LowCardinality|Nullable|Array|DateTime64|String|Int64|UInt\d+|Float64|Bool)\b.*?),?$", re.MULTILINE
)
ADDED = re.compile(r"ADD COLUMN (?:IF NOT EXISTS )?(\w+) (.+?)(?:,|;|$)", re.MULTILINE)


def migrated() -> dict[str, str]:
    """Columns of `events` after all migrations."""
    found: dict[str, str] = {}
    for path in migrations.files().values():
        text = path.read_text(encoding="utf-8")
        if "{namespace}.events\n" in text or "ALTER TABLE {namespace}.events" in text:
            found.update(COLUMN.findall(text.split("INDEX")[0]))
            found.update(ADDED.findall(text))
    return found


def test_each_column_of_the_schema_is_migrated_with_its_type() -> None:
    assert migrated() == ddl.columns()


def test_personal_and_content_columns_take_any_text() -> None:
    import schemas

    kinds = {ddl.columns()[name] for name in schemas.fields_of_class("personal", "content")}
    assert kinds == {"String", "Array(String)", "Array(Tuple(key String, value String))"}


def test_numbers_are_gap_free_and_statements_end_with_a_semicolon() -> None:
    files = migrations.files()
    assert list(files) == list(range(1, len(files) + 1))
    for path in files.values():
        text = path.read_text(encoding="utf-8")
        assert text.rstrip().endswith(";")
        assert "{namespace}" in text
        assert all("{namespace}" not in s for s in migrations.statements(text, "audit"))


@pytest.mark.parametrize("name", ["", "Audit", "a-b", "1a", "a;drop"])
def test_a_namespace_that_cannot_name_a_database_is_refused(name: str) -> None:
    with pytest.raises(migrations.MigrationError, match="AUDITWIRE_NAMESPACE"):
        migrations.statements("CREATE DATABASE {namespace};", name)


def test_an_avro_type_without_a_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="column x"):
        ddl.type_of("x", "bytes")


def test_the_insert_names_every_column_and_asks_the_fence() -> None:
    text = insert_sql()
    assert all(f"{name} {kind}".replace("'", "\\'") in text for name, kind in ddl.columns().items())
    assert "throwIf" in text
    assert "throwIf" not in insert_sql(fence=False)

"""The export service on real servers: what comes out is what is stored, in every format, and it vouches for itself."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.export import columns
from tests import archive_rows, export_service
from tests.export_service import ask, fetch_all, wait
from tests.space import Space

START = 1_793_577_600_000_000  # 2026-11-02T00:00:00Z
EVENTS = 2_500
NASTY = [
    "=1+1",
    "+2",
    "-3",
    "@sum",
    "\ttab",
    "\rcr",
    "\nlf",
    "'=quoted",
    "\uff1dwide",
    "'plain",
    'say "hi", twice',
    "line\nbreak",
    "ä🙂",
]


def events(count: int, tenant: str, seed: int) -> pa.RecordBatch:
    """Events of every kind of value within the day; each tenth shares its time with its neighbour."""
    batch = archive_rows.columns(count, seed)
    times = pa.array([START + i // 10 * 10 * 30_000_000 + (i % 10 > 1) * i for i in range(count)], pa.timestamp("us"))
    changed = {"tenant_id": pa.array([tenant] * count), "occurred_at": times}
    changed["message"] = pa.array([NASTY[i % len(NASTY)] for i in range(count)])
    changed["event_type"] = pa.array([["tool.invoked", "tool.denied", "it's"][i % 3] for i in range(count)])
    arrays = [changed.get(n, c) for n, c in zip(batch.schema.names, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    for seed, tenant in enumerate(("demo", "acme")):
        export_service.store(made, events(EVENTS, tenant, seed), [i % 4 for i in range(EVENTS)], list(range(EVENTS)))
    export_service.mark(made, dict.fromkeys(range(4), EVENTS))
    export_service.write_principals(made.folder / "export-principals.yaml")
    return made


def of_parquet(body: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(body)).to_pylist()
    return rows


def of_jsonl(body: bytes) -> list[dict[str, Any]]:
    return [{k: typed(k, v) for k, v in json.loads(line).items()} for line in body.decode().split("\n") if line]


def of_csv(body: bytes) -> list[dict[str, Any]]:
    """Undoes what docs/export.md says: the ' in front of what a spreadsheet would execute; empty is null where null can be."""
    read = csv.DictReader(io.StringIO(body.decode(), newline=""))
    return [{k: of_cell(k, v) for k, v in row.items()} for row in read]


def of_cell(name: str, text: str) -> Any:
    column = columns.known()[name]
    if column.kind == "string":
        return text[1:] if re.match("'+[=+\\-@\uff1d\uff0b\uff0d\uff20\t\r\n]", text) else text
    if text == "" and column.nullable:
        return None
    return typed(name, text if column.kind in ("time", "time_ms") else json.loads(text))


def typed(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if value and columns.known()[name].kind in ("time", "time_ms") else value


READERS = {"parquet": of_parquet, "jsonl": of_jsonl, "csv": of_csv}


def rows_of(client: httpx.Client, **request: Any) -> list[dict[str, Any]]:
    extract = ask(client, **request)
    assert wait(client, extract)["state"] == "done"
    return [row for body in fetch_all(client, extract)[1] for row in READERS[request.get("format", "parquet")](body)]


def test_three_formats_say_the_same_row_for_row_and_are_what_is_stored(space: Space, olga: httpx.Client) -> None:
    found = {form: rows_of(olga, format=form) for form in READERS}
    assert len(found["parquet"]) == EVENTS
    assert found["jsonl"] == found["parquet"]
    assert found["csv"] == found["parquet"]
    names = export_service.column_names()
    assert list(found["parquet"][0]) == names
    with export_service.clickhouse(space) as client:
        order = "occurred_at, event_id, kafka_partition, kafka_offset"
        sql = f"SELECT {', '.join(names)} FROM {space.name}.events WHERE tenant_id = 'demo' ORDER BY {order}"
        schema = columns.arrow_schema(names)
        stored = [row for batch in client.batches(sql) for row in pa.Table.from_batches([batch]).cast(schema).to_pylist()]
    assert found["parquet"] == stored
    assert {row["tenant_id"] for row in stored} == {"demo"}


def test_the_manifest_vouches_for_the_files(olga: httpx.Client) -> None:
    extract = ask(olga, columns=["occurred_at", "event_type"], filters={"event_type": ["tool.denied"]}, format="jsonl")
    shown = wait(olga, extract)
    manifest, bodies = fetch_all(olga, extract)
    rows = of_jsonl(bodies[0])
    assert {row["event_type"] for row in rows} == {"tool.denied"}
    assert shown["files"] == manifest["files"]
    assert shown["counts"] == manifest["counts"] == {"rows": len(rows), "files": 1, "bytes": len(bodies[0])}
    assert shown["progress"] == {"rows_done": len(rows), "rows_total": len(rows), "fraction": 1.0}
    assert manifest["query"]["from"] == "2026-11-02T00:00:00.000000Z"
    assert manifest["query"]["filters"] == {"event_type": ["tool.denied"]}
    assert [(c["name"], c["type"], c["class"]) for c in manifest["schema"]] == [
        ("occurred_at", "time", "fact"),
        ("event_type", "string", "fact"),
    ]
    assert [(m["partition"], m["end_offset"]) for m in manifest["high_water"]] == [(p, EVENTS) for p in range(4)]
    assert manifest["created_at"].endswith("Z")
    answer = olga.get(f"/v1/extracts/{extract}/files/{manifest['files'][0]['name']}")
    assert answer.headers["etag"] == f'"{manifest["files"][0]["sha256"]}"'
    assert answer.headers["content-disposition"] == 'attachment; filename="part-00000.jsonl"'


@pytest.mark.parametrize("form", READERS)
def test_the_same_closed_range_gives_the_same_bytes(olga: httpx.Client, form: str) -> None:
    first, second = (ask(olga, format=form) for _ in range(2))
    for extract in (first, second):
        assert wait(olga, extract)["state"] == "done"
    assert fetch_all(olga, first)[1] == fetch_all(olga, second)[1]


def test_the_range_is_half_open(olga: httpx.Client) -> None:
    rows = rows_of(olga, columns=["occurred_at"])
    middle = rows[len(rows) // 2]["occurred_at"]
    before = rows_of(olga, columns=["occurred_at"], to=middle.isoformat())
    after = rows_of(olga, columns=["occurred_at"], **{"from": middle.isoformat()})
    assert before + after == rows
    assert before[-1]["occurred_at"] < middle <= after[0]["occurred_at"]


@pytest.mark.parametrize(
    "filters",
    [
        {"event_type": "it's"},
        {"event_type": ["tool.invoked", "nothing"], "processed_identity_conflict": True},
        {"actor_id": ["", "ä"]},
        {"actor_name": "\\'); --\t\n🙂"},
        {"kafka_partition": [1, 3]},
        {"tools_offered": "ä"},
        {"input_tokens": 5},
        {"cost_usd": [1, 0.5]},
    ],
)
def test_filters_select_what_python_would(olga: httpx.Client, filters: dict[str, Any]) -> None:
    def fits(row: dict[str, Any]) -> bool:
        return all(
            any(w in row[n] if isinstance(row[n], list) else w == row[n] for w in (v if isinstance(v, list) else [v]))
            for n, v in filters.items()
        )

    assert rows_of(olga, filters=filters) == [row for row in rows_of(olga) if fits(row)]


def test_a_value_is_found_whatever_it_is_made_of(space: Space, olga: httpx.Client) -> None:
    values = [
        "back\\slash",
        "quote'",
        "tab\t",
        "line\n",
        "cr\r",
        "bell\b",
        'double"',
        "{x:String}",
        "%00",
        "\\N",
        "[]",
        "🙂",
        " ",
    ]
    batch = events(len(values), "demo", 9)
    index = batch.schema.get_field_index("session_id")
    batch = batch.set_column(index, batch.schema.field(index), pa.array(values))
    day = pa.array([START - 86_400_000_000 + i for i in range(len(values))], pa.timestamp("us"))
    index = batch.schema.get_field_index("occurred_at")
    batch = batch.set_column(index, batch.schema.field(index), day)
    export_service.store(space, batch, [0] * len(values), list(range(len(values))))
    before = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z", "columns": ["session_id"]}
    for value in values:
        assert rows_of(olga, **before, filters={"session_id": value}) == [{"session_id": value}]
    assert [r["session_id"] for r in rows_of(olga, **before, filters={"session_id": values})] == values


def test_filters_may_be_as_long_as_a_request(olga: httpx.Client) -> None:
    long = [f"{i:02}{'ä' * 300}" for i in range(90)]
    found = rows_of(olga, columns=["actor_id"], filters={"actor_id": [*long, "ä"]})
    assert found
    assert {row["actor_id"] for row in found} == {"ä"}


def test_an_extract_never_shows_what_the_sink_has_not_proven(new_space: Callable[[], Space]) -> None:
    space = new_space()
    space.provision()
    export_service.write_principals(space.folder / "export-principals.yaml")
    export_service.store(space, events(40, "demo", 3), [i % 2 for i in range(40)], [i // 2 for i in range(40)])
    export_service.mark(space, {0: 7})
    with export_service.start(space) as running, running.client() as client:
        rows = rows_of(client, columns=["kafka_partition", "kafka_offset"])
        assert sorted((r["kafka_partition"], r["kafka_offset"]) for r in rows) == [(0, n) for n in range(7)]
        empty = ask(client, **{"from": "2020-01-01T00:00:00Z", "to": "2021-01-01T00:00:00+01:00"})
        assert wait(client, empty)["counts"]["rows"] == 0
        manifest, bodies = fetch_all(client, empty)
        assert of_parquet(bodies[0]) == []
        assert manifest["query"]["to"] == "2020-12-31T23:00:00.000000Z"
        assert running.stop() == 0


def test_the_openapi_document_describes_requests_and_answers(olga: httpx.Client) -> None:
    document = olga.get("/openapi.json").json()
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        if path.startswith(("/v1/extracts", "/v1/definitions"))
        for method, operation in methods.items()
    ]
    assert len(operations) == 10
    for name, operation in operations:
        assert {"401", "403", "422", "429", "503"} < set(operation["responses"]), name
        assert operation["summary"] and operation["description"], name
        for parameter in operation.get("parameters", []):
            assert parameter["description"] and (parameter["schema"].get("examples") or parameter.get("examples")), (
                name,
                parameter,
            )
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
            if "$ref" in schema:
                assert document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["examples"], (name, status)
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["schema"]["examples"], name
    example = document["paths"]["/v1/extracts"]["post"]["requestBody"]["content"]["application/json"]["schema"]["examples"][0]
    assert olga.post("/v1/extracts", json=example).status_code == 202
    defined = document["paths"]["/v1/definitions"]["post"]["requestBody"]["content"]["application/json"]["schema"]["examples"][0]
    assert olga.post("/v1/definitions", json=defined).status_code == 201

"""Nobody gets a byte of another tenant, and each request, download and refusal is recorded; both checks are seen red."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyarrow.parquet as pq
import pytest

from connectors.clickhouse.client import ClickHouseError, Client
from connectors.kafka_marks import Marks
from pipeline import settings
from pipeline.export import audit
from pipeline.export.app import create_app, stores
from pipeline.export.extract import Attempt
from pipeline.export.jobs import Worker
from pipeline.export.queries import Query, Reading
from tests import export_service
from tests.export_service import (
    DAY,
    PRINCIPALS,
    TOKENS,
    Running,
    ask,
    attributes,
    fetch,
    fetch_all,
    trail,
    wait,
    write_principals,
)
from tests.space import Space

OLGA, ANTON, NORA = TOKENS
ROWS = 300


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    for tenant in ("demo", "acme"):
        export_service.generate(made, ROWS, tenant)
    export_service.mark(made, dict.fromkeys(range(4), ROWS))
    write_principals(made.folder / "export-principals.yaml")
    return made


def only_of(tenant: str, rows: list[dict[str, Any]]) -> None:
    assert rows
    assert {row["tenant_id"] for row in rows} == {tenant}


def test_another_tenants_extract_looks_like_none_and_every_try_is_recorded(
    space: Space, olga: httpx.Client, anton: httpx.Client
) -> None:
    extract = ask(olga)
    assert wait(olga, extract)["state"] == "done"
    only_of("demo", pq.read_table(io.BytesIO(fetch(olga, extract, "part-00000.parquet"))).to_pylist())
    nowhere = str(uuid.uuid4())
    for path in ("", "/files/manifest.json", "/files/part-00000.parquet"):
        answers = [anton.get(f"/v1/extracts/{i}{path}") for i in (extract, nowhere)]
        assert [a.status_code for a in answers] == [404, 404]
        assert answers[0].text == answers[1].text
    assert anton.post("/v1/extracts", json=DAY).status_code == 403
    of_extract = trail(space, target_id=extract)
    assert [(e["event_type"], e["tenant_id"], e["actor_id"]) for e in of_extract if e["actor_id"] == ANTON] == [
        ("export.refused", "demo", ANTON)
    ] * 3
    refused = trail(space, actor_id=ANTON, event_type="export.refused")
    assert [attributes(e)["status"] for e in refused].count("403") == 1
    assert {e["tenant_id"] for e in trail(space, target_id=nowhere)} == {"auditwire"}
    assert all(e["ip_address"] == "127.0.0.1" and e["outcome"] == "denied" and e["actor_type"] == "human" for e in refused)


def test_requests_deliveries_and_downloads_are_recorded(space: Space, olga: httpx.Client) -> None:
    extract = ask(olga, columns=["tenant_id"], filters={"outcome": "success"}, format="csv")
    wait(olga, extract)
    fetch_all(olga, extract)
    found = sorted(trail(space, target_id=extract), key=lambda e: e["occurred_at"])
    assert [e["event_type"] for e in found] == ["export.requested", "export.delivered", "export.read", "export.read"]
    assert {(e["tenant_id"], e["actor_id"], e["outcome"], e["target_type"]) for e in found} == {
        ("demo", OLGA, "success", "extract")
    }
    asked = attributes(found[0])
    assert (asked["from"], asked["columns"], asked["filter.outcome"]) == ("2026-11-02T00:00:00.000000Z", "tenant_id", "success")
    manifest = hashlib.sha256(fetch(olga, extract, "manifest.json")).hexdigest()
    assert attributes(found[1]) == {"rows": str(ROWS), "manifest_sha256": manifest}
    assert [e["target_details"] for e in found[2:]] == ["manifest.json", "part-00000.csv"]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        (None, DAY, 401),
        (NORA, DAY, 403),
        (OLGA, {**DAY, "tenant": "nowhere"}, 403),
        (OLGA, {**DAY, "to": DAY["from"]}, 422),
        (OLGA, {**DAY, "columns": ["event_tpye"]}, 422),
        (OLGA, {**DAY, "columns": ["x" * 70_000]}, 413),
    ],
)
def test_each_refusal_says_what_to_do_and_is_recorded(
    space: Space, service: Running, name: str | None, body: dict[str, Any], status: int
) -> None:
    before = len(trail(space, event_type="export.refused"))
    headers = {"Authorization": f"Bearer {TOKENS[name] if name else 'unknown'}"}
    answer = httpx.post(service.url + "/v1/extracts", json=body, headers=headers, timeout=30)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "what_to_do"}
    found = trail(space, event_type="export.refused")
    assert len(found) == before + 1
    newest = max(found, key=lambda e: e["occurred_at"])
    assert (newest["actor_id"], attributes(newest)["status"]) == (name or "", str(status))
    assert newest["tenant_id"] == ("demo" if status == 422 and "to" in body and body["tenant"] == "demo" else "auditwire")


def test_what_is_not_done_is_a_conflict_and_unknown_files_are_not_found(space: Space, olga: httpx.Client) -> None:
    extract = ask(olga)
    early = olga.get(f"/v1/extracts/{extract}/files/manifest.json")
    assert early.status_code in (200, 409)  # 200 only where the worker was faster
    wait(olga, extract)
    for name in ("part-00001.parquet", "..%2Fmanifest.json", "manifest.json.bak"):
        assert olga.get(f"/v1/extracts/{extract}/files/{name}").status_code == 404
    assert olga.get("/v1/extracts/not-an-id").status_code == 404
    assert olga.get("/v1/nothing").json()["what_to_do"]


def test_rights_of_the_moment_count(space: Space, olga: httpx.Client) -> None:
    extract = ask(olga)
    wait(olga, extract)
    path = space.folder / "export-principals.yaml"
    try:
        write_principals(path, [{**PRINCIPALS[0], "tenants": ["acme"]}, *PRINCIPALS[1:]])
        assert olga.get(f"/v1/extracts/{extract}/files/manifest.json").status_code == 404
        path.write_text("broken: [")
        assert olga.get(f"/v1/extracts/{extract}").status_code == 503
    finally:
        write_principals(path)
    assert olga.get(f"/v1/extracts/{extract}/files/manifest.json").status_code == 200


REFUSED_SQL = [
    "SELECT count() FROM {ns}.events",
    "SELECT count() FROM {ns}.events WHERE tenant_id = 'demo'",
    "SELECT count() FROM {ns}.events_of",
    "SELECT count() FROM {ns}.events_of()",
    "SELECT count() FROM merge('{ns}', '^events$')",
    "SELECT count() FROM mergeTreeProjection('{ns}', 'events', 'positions')",
    "SELECT count() FROM mergeTreeIndex('{ns}', 'events')",
    "SELECT count() FROM {ns}.fence",
    "SELECT count() FROM system.query_log",
    "SELECT count() FROM remote('127.0.0.1', '{ns}', 'events')",
    "SELECT count() FROM url('http://127.0.0.1/', 'CSV', 'a String')",
    "SELECT count() FROM file('x', 'CSV', 'a String')",
    "INSERT INTO {ns}.events (event_id) VALUES ('x')",
    "CREATE VIEW {ns}.mine AS SELECT 1",
    "CREATE TABLE {ns}.copy ENGINE = Memory AS SELECT * FROM {ns}.events",
    "ALTER TABLE {ns}.events DELETE WHERE 1",
    "DROP VIEW {ns}.events_of",
]


@pytest.mark.parametrize("sql", REFUSED_SQL)
def test_user_export_cannot_write_a_query_without_a_tenant(space: Space, sql: str) -> None:
    with export_service.clickhouse(space, "export") as client:
        with pytest.raises(ClickHouseError):
            client.command(sql.format(ns=space.name))
        of_one = f"SELECT DISTINCT tenant_id FROM {space.name}.events_of(tenant={{tenant:String}})"
        assert client.rows(of_one, {"tenant": "acme"}) == [["acme"]]


class Kept:
    """A store that keeps the files of one attempt in memory, as bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, key: str, path: Path, metadata: dict[str, str]) -> None:
        self.files[key] = path.read_bytes()


def extracted(space: Space, client: Client, isolated: bool) -> list[dict[str, Any]]:
    query = Query.stored({**DAY, "filters": {}, "columns": ["tenant_id", "event_id"], "format": "parquet"})
    marks = Marks(export_service.topic_id(space), dict.fromkeys(range(4), ROWS))
    kept = Kept()
    Attempt(Reading(space.name, query, marks, isolated), client, kept, "", lambda: None).run()
    rows: list[dict[str, Any]] = [r for body in kept.files.values() for r in pq.read_table(io.BytesIO(body)).to_pylist()]
    return rows


def test_without_the_view_another_tenants_events_show(space: Space) -> None:
    with export_service.clickhouse(space, "export") as client:
        only_of("demo", extracted(space, client, isolated=True))
        with pytest.raises(ClickHouseError):
            extracted(space, client, isolated=False)
    with export_service.clickhouse(space, "admin") as client, pytest.raises(AssertionError, match="acme"):
        only_of("demo", extracted(space, client, isolated=False))


@pytest.mark.parametrize("audited", [True, False])
def test_without_the_trail_nothing_is_recorded(space: Space, audited: bool) -> None:
    values = space.settings(settings.Export)
    connected = stores(values, audited=audited)
    app = create_app(values, connected, Worker(connected))
    before = len(trail(space))
    with export_service.served(app) as client:
        assert client.post("/v1/extracts", json=DAY).status_code == 401
    connected.trail.close()
    connected.clickhouse.close()
    assert (len(trail(space)) == before + 1) is audited


def test_what_cannot_be_recorded_is_not_served(space: Space) -> None:
    values = space.settings(settings.Export, EXPORT_KAFKA_PASSWORD="wrong")
    connected = replace(stores(values), trail=audit.Trail(partial(audit.connect, values), patience=1.0))
    app = create_app(values, connected, Worker(connected))
    headers = {"Authorization": f"Bearer {TOKENS[OLGA]}"}
    open_jobs = connected.jobs.use(OLGA).open
    with export_service.served(app) as client:
        for answer in (client.post("/v1/extracts", json=DAY, headers=headers), client.post("/v1/extracts", json=DAY)):
            assert answer.status_code == 503
            assert "could not be recorded" in answer.json()["error"]
    connected.trail.close()
    connected.clickhouse.close()
    assert connected.jobs.use(OLGA).open == open_jobs


def test_a_principal_has_a_bounded_number_of_open_extracts(space: Space) -> None:
    values = space.settings(settings.Export)
    connected = stores(values)
    app = create_app(values, connected, Worker(connected))
    headers = {"Authorization": f"Bearer {TOKENS[ANTON]}"}
    with psycopg.connect(space.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as db:
        db.execute(
            "INSERT INTO extract_jobs (id, namespace, tenant, principal, query, not_before)"
            " SELECT gen_random_uuid(), %s, 'acme', %s, '{}', now() + interval '1 day' FROM generate_series(1, 5)",
            (space.name, ANTON),
        )
    with export_service.served(app) as client:
        answer = client.post("/v1/extracts", json={**DAY, "tenant": "acme"}, headers=headers)
    connected.trail.close()
    connected.clickhouse.close()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert trail(space, actor_id=ANTON, event_type=audit.REFUSED, tenant_id="acme")


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM extract_jobs",
        "UPDATE extract_jobs SET tenant = 'acme'",
        "UPDATE extract_jobs SET principal = 'x'",
        "UPDATE extract_jobs SET query = '{}'",
        "INSERT INTO extract_jobs (id, state) VALUES (gen_random_uuid(), 'done')",
        "SELECT * FROM schema_migrations",
        "CREATE TABLE mine (a int)",
        "DROP TABLE extract_jobs",
    ],
)
def test_role_export_can_neither_delete_a_job_nor_change_what_was_asked(space: Space, sql: str) -> None:
    with (
        psycopg.connect(space.env["AUDITWIRE_EXPORT_POSTGRES_DSN"]) as db,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        db.execute(sql)

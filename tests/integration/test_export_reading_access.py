"""Each read is recorded or refused; strange questions get 4xx, never 5xx; a lookup by id reads a few rows, not a table."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from connectors.clickhouse.client import Client
from pipeline import settings
from pipeline.export import audit, limits
from pipeline.export.access import Service
from pipeline.export.app import create_app, stores
from pipeline.export.jobs import Worker
from pipeline.export.limits import Buckets
from tests import export_service, reading
from tests.export_service import PRINCIPALS, TOKENS, Running, attributes, trail, write_principals
from tests.reading import DAY, get, row
from tests.space import Space

OLGA, ANTON, NORA = TOKENS
ROWS = 400
EVENT = row(7)["event_id"]


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    reading.store(made, [row(n) for n in range(ROWS)])
    reading.store(made, [row(n, "acme") for n in range(ROWS)])
    reading.mark(made, ROWS)
    write_principals(made.folder / "export-principals.yaml")
    return made


def test_me_says_what_the_token_may(service: Running, olga: httpx.Client) -> None:
    assert olga.get("/v1/me").json() == {
        "name": OLGA,
        "tenants": ["demo"],
        "rights": ["read", "extract"],
        "limits": {"requests_per_minute": 300, "open_extracts": 5, "extracts_per_day": 100, "rows_per_extract": 50_000_000},
    }
    with service.client(NORA) as nora:
        assert nora.get("/v1/me").json()["rights"] == []
        assert nora.get("/v1/events", params=DAY).status_code == 403


def test_every_answered_read_is_recorded(space: Space, olga: httpx.Client) -> None:
    before = len(trail(space, event_type="export.searched"))
    get(olga, filter=["outcome:denied"], columns="event_id,outcome", limit=7)
    get(olga, "/v1/counts")
    get(olga, "/v1/event-types")
    assert olga.get(f"/v1/events/{EVENT}", params={"tenant": "demo"}).status_code == 200
    found = sorted(trail(space, event_type="export.searched"), key=lambda e: e["occurred_at"])[before:]
    assert {(e["tenant_id"], e["actor_id"], e["outcome"], e["target_type"]) for e in found} == {
        ("demo", OLGA, "success", "events")
    }
    assert [attributes(e)["route"] for e in found] == ["/v1/events", "/v1/counts", "/v1/event-types"]
    said = attributes(found[0])
    assert (said["filter.outcome"], said["columns"], said["events"]) == ("denied", "event_id,outcome", "7")
    assert said["from"] == "2026-11-02T00:00:00.000000Z"
    (read,) = trail(space, event_type="export.read", target_id=EVENT)
    assert (read["target_type"], read["tenant_id"]) == ("event", "demo")


def test_who_asks_wrongly_is_named_and_counted_like_anybody(space: Space, service: Running) -> None:
    before = len(trail(space, event_type="export.refused", actor_id=OLGA))
    with service.client(OLGA) as olga:
        assert olga.get("/v1/me", params={"tenant": "demo"}).status_code == 422
        olga.headers["Authorization"] = "Bearer unknown"
        assert olga.get("/v1/me", params={"tenant": "demo"}).status_code == 401
    assert len(trail(space, event_type="export.refused", actor_id=OLGA)) == before + 1


def test_a_flood_without_tokens_does_not_fill_the_log(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NAMELESS_PER_MINUTE", 3)
    values = space.settings(settings.Export)
    connected = stores(values)
    app = create_app(values, connected, Worker(connected))
    before = len(trail(space, event_type="export.refused", actor_id=""))
    with export_service.served(app) as client:
        statuses = {client.get(path).status_code for _ in range(10) for path in ("/v1/me", "/v1/nothing")}
    connected.trail.close()
    connected.clickhouse.close()
    assert statuses == {401, 404}
    found = len(trail(space, event_type="export.refused", actor_id="")) - before
    assert 4 <= found < 20


@pytest.mark.parametrize(
    "path", ["/v1/events", "/v1/counts", "/v1/event-types", f"/v1/events/{EVENT}", f"/v1/events/{EVENT}/explain"]
)
def test_a_tenant_of_others_is_refused_and_recorded(space: Space, service: Running, path: str) -> None:
    params = {"tenant": "demo"} if EVENT in path else DAY
    before = len(trail(space, event_type="export.refused", actor_id=ANTON))
    with service.client(ANTON) as anton:
        answer = anton.get(path, params=params)
    assert (answer.status_code, set(answer.json())) == (403, {"error", "what_to_do"})
    assert len(trail(space, event_type="export.refused", actor_id=ANTON)) == before + 1


STRANGE: list[tuple[str, str]] = [
    ("/v1/events", "tenant=demo"),
    ("/v1/events", "{day}&limit=0"),
    ("/v1/events", "{day}&limit=1001"),
    ("/v1/events", "{day}&limit=" + "9" * 5000),
    ("/v1/events", "{day}&limit=1e2"),
    ("/v1/events", "{day}&order=up"),
    ("/v1/events", "{day}&time=seen"),
    ("/v1/events", "{day}&offset=5"),
    ("/v1/events", "{day}&tenant=demo"),
    ("/v1/events", "{day}&columns=event_id,event_id"),
    ("/v1/events", "{day}&columns="),
    ("/v1/events", "{day}&columns=event_tpye"),
    ("/v1/events", "{day}&filter=outcome"),
    ("/v1/events", "{day}&filter=message:x"),
    ("/v1/events", "{day}&filter=input_tokens:five"),
    ("/v1/events", "{day}&filter=input_tokens:NaN"),
    ("/v1/events", "{day}&filter=cost_usd:1e999"),
    ("/v1/events", "{day}&filter=outcome:%00"),
    ("/v1/events", "{day}&filter=outcome:%ff"),
    ("/v1/events", "{day}&filter=outcome:%ED%A0%80"),
    ("/v1/events", "{day}&filter=outcome:" + "x" * 3000),
    ("/v1/events", "{day}&" + "&".join(f"filter=actor_id:{n}" for n in range(101))),
    ("/v1/events", "{day}&cursor=AAAA"),
    ("/v1/events", "{day}&cursor=%F0%9F%99%82"),
    ("/v1/events", "tenant=demo&from=2026-11-03T00:00:00Z&to=2026-11-02T00:00:00Z"),
    ("/v1/events", "tenant=demo&from=1969-11-03T00:00:00Z&to=2026-11-02T00:00:00Z"),
    ("/v1/events", "tenant=demo&from=0001-01-01T00:00:00%2B14:00&to=9999-12-31T23:59:59Z"),
    ("/v1/events", "tenant=demo&from=5&to=7"),
    ("/v1/events", "tenant=demo&from=2026-11-02T00:00:00&to=2026-11-03T00:00:00"),
    ("/v1/events/not-a-uuid", "tenant=demo"),
    (f"/v1/events/{EVENT}%0a", "tenant=demo"),
    (f"/v1/events/{EVENT}", ""),
    (f"/v1/events/{EVENT}/explain", "tenant=demo&month=2026-13"),
    (f"/v1/events/{EVENT}", "tenant="),
    ("/v1/counts", "{day}&limit=5"),
    ("/v1/event-types", "{day}&filter=outcome:x"),
    ("/v1/me", "x=1"),
]


@pytest.mark.parametrize(("path", "query"), STRANGE)
def test_strange_questions_are_refused_with_what_to_do(olga: httpx.Client, path: str, query: str) -> None:
    day = "&".join(f"{k}={v}" for k, v in DAY.items())
    answer = olga.get(f"{path}?{query.format(day=day)}")
    assert answer.status_code == 422, answer.text
    assert set(answer.json()) == {"error", "what_to_do"}
    assert all(answer.json().values())


def test_a_cursor_belongs_to_its_question_and_principal(space: Space, olga: httpx.Client, service: Running) -> None:
    page = get(olga, limit=5)
    cursor = page["next_cursor"]
    assert get(olga, limit=50, cursor=cursor)["events"]
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[-3] ^= 1
    for changed in (
        {"cursor": base64.urlsafe_b64encode(bytes(raw)).decode()},
        {"cursor": cursor, "order": "desc"},
        {"cursor": cursor, "to": "2026-11-04T00:00:00Z"},
        {"cursor": cursor, "filter": "outcome:denied"},
        {"cursor": cursor[:-4]},
    ):
        answer = olga.get("/v1/events", params={**DAY, **changed})
        assert answer.status_code == 422
        assert "does not belong" in answer.json()["error"]
    path = space.folder / "export-principals.yaml"
    try:
        write_principals(path, [PRINCIPALS[0], {**PRINCIPALS[1], "tenants": ["demo"]}])
        with service.client(ANTON) as anton:
            assert anton.get("/v1/events", params={**DAY, "cursor": cursor}).status_code == 422
    finally:
        write_principals(path)


def test_what_cannot_be_recorded_is_not_answered(space: Space) -> None:
    values = space.settings(settings.Export, EXPORT_KAFKA_PASSWORD="wrong")
    good = stores(space.settings(settings.Export))
    trail = audit.Trail(partial(audit.connect, values), patience=1.0)
    connected = replace(stores(values), trail=trail, complete=good.complete)  # only the trail's Kafka is out of reach
    headers = {"Authorization": f"Bearer {TOKENS[OLGA]}"}
    with export_service.served(create_app(values, connected, Worker(connected))) as client:
        for path in ("/v1/events", "/v1/counts", "/v1/event-types"):
            answer = client.get(path, params=DAY, headers=headers)
            assert answer.status_code == 503
            assert "could not be recorded" in answer.json()["error"]
            assert EVENT not in answer.text
    for one in (good, connected):
        one.trail.close()
        one.clickhouse.close()


@pytest.mark.parametrize("limited", [True, False])
def test_who_asks_too_often_waits_and_a_flood_is_one_event(space: Space, limited: bool) -> None:
    path = space.folder / "export-principals.yaml"
    values = space.settings(settings.Export)
    connected = stores(values)
    app = create_app(values, connected, Worker(connected))
    made: Service = app.state.service
    app.state.service = Service(made.principals, made.stores, made.worker, made.cursor_key, Buckets(enabled=limited))
    headers = {"Authorization": f"Bearer {TOKENS[OLGA]}"}
    before = len(trail(space, event_type="export.refused", actor_id=OLGA))
    try:
        write_principals(path, [{**PRINCIPALS[0], "limits": {"requests_per_minute": 3}}])
        with export_service.served(app) as client:
            answers = [client.get("/v1/me", headers=headers) for _ in range(30)]
    finally:
        write_principals(path)
        connected.trail.close()
        connected.clickhouse.close()
    refused = [a for a in answers if a.status_code == 429]
    assert len(refused) == (27 if limited else 0)
    assert len(trail(space, event_type="export.refused", actor_id=OLGA)) == before + limited
    assert all(1 <= int(a.headers["Retry-After"]) <= 20 for a in refused)


def read_rows(client: Client, sql: str, params: dict[str, str | int], **more: str | int) -> int:
    """Rows that the server read to answer."""
    answer = client._http.post("/", params={k: str(v) for k, v in more.items()}, files=_form(sql, params))
    answer.raise_for_status()
    found: dict[str, Any] = json.loads(answer.headers["X-ClickHouse-Summary"])
    return int(found["read_rows"])


def _form(sql: str, params: dict[str, str | int]) -> dict[str, tuple[None, str]]:
    return {k: (None, v) for k, v in {"query": sql, **{f"param_{n}": str(v) for n, v in params.items()}}.items()}


def test_a_lookup_by_id_reads_a_few_granules_also_of_old_parts(new_space: Callable[[], Space]) -> None:
    space = new_space()
    space.provision()
    with export_service.clickhouse(space) as admin:
        admin.command(f"ALTER TABLE {space.name}.events DROP INDEX event_id_filter")
        export_service.generate(space, 200_000)
        ((event_id,),) = admin.rows(f"SELECT event_id FROM {space.name}.events WHERE kafka_offset = 1234 LIMIT 1")
        sql = f"SELECT count() FROM {space.name}.events_of(tenant={{tenant:String}}) WHERE event_id IN ({{id:String}})"
        params: dict[str, str | int] = {"tenant": "demo", "id": event_id}
        settle = {"wait_end_of_query": 1}
        assert read_rows(admin, sql, params, **settle) >= 200_000
        for statement in lookups(space):
            admin.command(statement, mutations_sync=1)
        assert read_rows(admin, sql, params, **settle) <= 3 * 8192
        assert read_rows(admin, sql, params, use_skip_indexes=0, **settle) >= 200_000


def lookups(space: Space) -> list[str]:
    """The migration, as it runs on a table that has events."""
    from connectors.clickhouse import migrations

    path = next(p for p in migrations.files().values() if p.name.endswith("_lookups.sql"))
    return migrations.statements(path.read_text(), space.name)


def test_the_document_describes_every_answer_and_the_page_needs_nothing_from_elsewhere(olga: httpx.Client) -> None:
    document = olga.get("/openapi.json").json()
    for path in ("/v1/events", "/v1/events/{event_id}", "/v1/event-types", "/v1/counts", "/v1/me"):
        operation = document["paths"][path]["get"]
        assert {"200", "401", "422", "429", "503"} <= set(operation["responses"])
        for status, answer in operation["responses"].items():
            if status == "400":
                continue  # said by the HTTP server itself
            schema = answer["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith("/Problem") is (status != "200")
        assert all(p.get("description") or p["schema"].get("description") for p in operation.get("parameters", []))
    page = olga.get("/docs")
    assert "GET /v1/events" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for outside in ("http://", "https://", "<script", "src="):
        assert outside not in page.text

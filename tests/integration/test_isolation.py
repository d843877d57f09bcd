"""One tenant's token against another tenant's data, in over 500 ways: not a byte of it shows, each refusal is recorded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from connectors.clickhouse.client import ClickHouseError
from connectors.kafka_marks import Marks
from pipeline.export import columns
from pipeline.export.queries import Query, Reading
from pipeline.export.reading import Pages
from tests import export_service, isolation, isolation_tricks
from tests.export_service import Running
from tests.isolation import ANTON, OLGA, OTHER, OTHER_ROWS, OWN, OWN_ROWS, Said, Watch, World
from tests.isolation_requests import Target
from tests.reading import DAY
from tests.space import Space


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space], world: World) -> Space:
    made = new_space()
    made.provision()
    isolation.store(made, world)
    isolation.principals(made)
    return made


def made_by(client: httpx.Client, tenant: str) -> tuple[str, str]:
    """A finished extract and the cursor of the second page of this tenant's own events."""
    extract = export_service.ask(client, tenant=tenant, format="jsonl")
    assert export_service.wait(client, extract)["state"] == "done"
    page = client.get("/v1/events", params={**DAY, "tenant": tenant, "limit": 7}).raise_for_status().json()
    return extract, str(page["next_cursor"])


@pytest.fixture(scope="module")
def target(service: Running, world: World) -> Target:
    with service.client(OLGA) as own, service.client(ANTON) as other:
        own_extract, own_cursor = made_by(own, OWN)
        extract, cursor = made_by(other, OTHER)
        made_by(other, OTHER)
        body = {"name": f"{isolation.CANARY}definition", "tenant": OTHER, "filters": {"actor_id": world.other[9]["actor_id"]}}
        definition = other.post("/v1/definitions", json=body).raise_for_status().json()["id"]
        listed = other.get("/v1/extracts", params={"limit": 1}).raise_for_status().json()["next_cursor"]
    return Target(world, extract, str(definition), cursor, listed, own_extract, own_cursor)


@pytest.fixture(scope="module")
def secrets(service: Running, world: World, target: Target) -> set[str]:
    """What must not show: of the events, and of the other tenant's extracts and definitions."""
    with service.client(ANTON) as other:
        found = other.get("/v1/extracts").json()["extracts"]
    files = {file["sha256"] for e in found for file in [*e["files"], e["manifest"]]}
    return world.secrets() | files | {e["id"] for e in found} | {target.definition, ANTON, target.event_cursor}


def refusals(space: Space) -> Counter[str]:
    """The recorded refusals by status."""
    found = [e for e in export_service.recorded(space) if e["event_type"] == "export.refused"]
    return Counter(next(a["value"] for a in e["attributes"] if a["key"] == "status") for e in found)


def tried(service: Running, target: Target, watch: Watch) -> list[Said]:
    """Send everything, and fetch what came of requests that were served."""
    said = [isolation.send(service, ask) for ask in isolation_tricks.every(target)]
    for one in said:
        watch.http(one)
        if one.status == 200 and one.ask.target.startswith(("/v1/counts", "/v1/event-types")):
            answer = json.loads(one.body or b"{}")
            number = answer.get("total", sum(t["events"] for t in answer.get("event_types", ())))
            watch.look("numbers", "counted", "", "" if number <= OWN_ROWS else isolation.CANARY)
    made = [json.loads(one.body)["id"] for one in said if one.status == 202]
    with service.client(OLGA) as client:
        for extract in made:
            export_service.wait(client, extract)
            _, bodies = export_service.fetch_all(client, extract)
            for body in bodies:
                watch.look("files of own extracts", "200", "", body.decode("utf-8", "replace"))
    return said


def test_no_request_shows_a_byte_of_another_tenant_and_each_refusal_is_recorded(
    space: Space, service: Running, target: Target, secrets: set[str]
) -> None:
    watch, before = Watch(secrets), refusals(space)
    said = tried(service, target, watch)
    print("\n" + watch.table())
    assert watch.leaks == []
    assert len(said) > 500
    assert {s.status for s in said if s.status >= 500} == set()
    wanted = Counter(str(s.status) for s in said if s.refused() and s.ask.under_v1())
    assert refusals(space) - before == wanted
    assert wanted.total() > 500
    with service.client(ANTON) as other:  # nothing of theirs was changed either
        assert other.get(f"/v1/definitions/{target.definition}").status_code == 200
        assert other.get(f"/v1/extracts/{target.extract}").json()["files_state"] == "available"


def test_both_tenants_see_their_own(service: Running, world: World) -> None:
    """Otherwise nothing would show because nothing is there."""
    for name, tenant, rows in ((OLGA, OWN, world.own), (ANTON, OTHER, world.other)):
        with service.client(name) as client:
            page = client.get("/v1/events", params={**DAY, "tenant": tenant, "limit": 1000}).raise_for_status().json()
        assert {e["event_id"]: e["message"] for e in page["events"]} == {r["event_id"]: r["message"] for r in rows}


def test_without_the_check_of_the_tenant_it_shows(space: Space, service: Running, target: Target, secrets: set[str]) -> None:
    """Negative control: every fourth of the same requests, of a principal to whom the other tenant was given."""
    watch = Watch(secrets)
    isolation.principals(space, (OWN, OTHER))
    try:
        asks = [a for a in isolation_tricks.every(target) if a.method == "GET"]
        for ask in asks[::4]:
            watch.http(isolation.send(service, ask))
    finally:
        isolation.principals(space)
    assert len(watch.leaks) > 10
    assert {kind.partition(":")[0] for kind, _ in watch.leaks} >= {"tenant parameter", "extracts id", "event id"}


def events_read(space: Space, user: str, *, isolated: bool) -> str:
    """Every event that a query for the own tenant finds, as text."""
    names: list[str] = list(columns.known())
    query = Query.stored({**DAY, "tenant": OWN, "filters": {}, "columns": names, "format": "jsonl"})
    per_partition = (OWN_ROWS + OTHER_ROWS) // 4
    marks = Marks(export_service.topic_id(space), dict.fromkeys(range(4), per_partition))
    with export_service.clickhouse(space, user) as client:
        page: Any = Pages(Reading(space.name, query, marks, isolated), client).page(None, 1000)
    return b"\n".join(page.events).decode()


def test_without_the_view_of_one_tenant_it_shows(space: Space, secrets: set[str]) -> None:
    """Negative control: the table of all tenants in the place of the view, which the service's own user may not read."""
    watch = Watch(secrets)
    watch.look("events", "read", "", events_read(space, "export", isolated=True))
    assert watch.leaks == []
    with pytest.raises(ClickHouseError):
        events_read(space, "export", isolated=False)
    watch.look("events", "read", "", events_read(space, "admin", isolated=False))
    assert len(watch.leaks) == 1

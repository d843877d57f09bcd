"""Saved definitions and their schedules: one extract a period, whatever the instances do, and only while the right is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.postgres.jobs import Page
from pipeline import settings
from pipeline.export import audit
from pipeline.export.app import create_app
from pipeline.export.auth import Principals
from pipeline.export.errors import UnavailableError
from pipeline.export.jobs import Stores, Worker
from pipeline.export.schedules import CATCH_UP, Scheduler, begin_of
from tests import export_service
from tests.export_service import DAY, PRINCIPALS, TOKENS, recorded, write_principals
from tests.space import Space

OLGA, ANTON, NORA = TOKENS
DEFINITION: dict[str, Any] = {"name": "Denials", "tenant": "demo", "filters": {"outcome": "denied"}, "format": "csv"}
LIMITS = {"open_extracts": 1000, "extracts_per_day": 1000, "requests_per_minute": 100_000}


@pytest.fixture
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    grant(made)
    return made


def grant(space: Space, **olga: Any) -> None:
    write_principals(space.folder / "export-principals.yaml", [{**PRINCIPALS[0], "limits": LIMITS, **olga}, *PRINCIPALS[1:]])


@pytest.fixture
def olga(space: Space, connected: Stores) -> Iterator[httpx.Client]:
    with export_service.served(create_app(space.settings(settings.Export), connected, Worker(connected))) as client:
        client.headers["Authorization"] = f"Bearer {TOKENS[OLGA]}"
        yield client


def save(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/definitions", json={**DEFINITION, **more})
    assert answer.status_code == 201, answer.text
    assert client.get(answer.headers["Location"]).json() == answer.json()
    found: dict[str, Any] = answer.json()
    return found


def listed(connected: Stores) -> list[datetime]:
    """Begins of the periods that have an extract, newest first."""
    return [j.period_start for j in connected.jobs.newest(Page(["demo"], 1000)) if j.period_start]


def scheduler(space: Space, connected: Stores, now: datetime, complete: datetime | None = None, **more: Any) -> Scheduler:
    known = replace(connected, complete_until=lambda: complete or now)
    principals = Principals(space.settings(settings.Export).principals_file)
    return Scheduler(known, principals, lambda: None, lambda: now, **more)


def later(definition: dict[str, Any], **more: float) -> datetime:
    return datetime.fromisoformat(definition["created_at"]) + timedelta(**more)


def test_a_definition_is_saved_shown_used_and_deleted(space: Space, olga: httpx.Client) -> None:
    saved = save(olga, columns=["occurred_at", "event_type"], time="ingested")
    assert (saved["principal"], saved["schedule"]) == (OLGA, None)
    assert saved["query"] == {
        "time": "ingested",
        "filters": {"outcome": ["denied"]},
        "columns": ["occurred_at", "event_type"],
        "format": "csv",
    }
    path = f"/v1/definitions/{saved['id']}"
    made = olga.post(path + "/extracts", json={k: DAY[k] for k in ("from", "to")})
    assert made.status_code == 202
    assert made.json()["query"] == {**saved["query"], **made.json()["query"]}
    assert (made.json()["definition"], made.json()["period_start"]) == (saved["id"], None)
    assert [e["id"] for e in olga.get("/v1/extracts", params={"definition": saved["id"]}).json()["extracts"]] == [
        made.json()["id"]
    ]
    assert olga.post("/v1/definitions", json=DEFINITION).status_code == 409
    assert olga.delete(path).status_code == 204
    assert [olga.request(m, path).status_code for m in ("DELETE", "GET")] == [404, 404]
    assert olga.post(path + "/extracts", json={k: DAY[k] for k in ("from", "to")}).status_code == 404
    assert olga.get(f"/v1/extracts/{made.json()['id']}").status_code == 200
    save(olga)
    found = [(e["event_type"], e["target_type"]) for e in recorded(space) if e["target_id"] == saved["id"]]
    assert found == [(audit.DEFINED, "extract_definition"), (audit.UNDEFINED, "extract_definition")]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"name": "a\nb"}, 422, "name"),
        ({"name": ""}, 422, "name"),
        ({"columns": ["event_tpye"]}, 422, "no column"),
        ({"filters": {"message": "x"}}, 422, "cannot be filtered"),
        ({"schedule": {"every": "hour"}}, 422, "schedule.every"),
        ({"from": "2026-11-01T00:00:00Z"}, 422, "from"),
        ({"tenant": "acme"}, 403, "no right to this tenant"),
    ],
)
def test_what_cannot_be_saved_is_refused_with_what_to_do(
    olga: httpx.Client, change: dict[str, Any], status: int, said: str
) -> None:
    answer = olga.post("/v1/definitions", json={**DEFINITION, **change})
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert olga.get("/v1/definitions").json() == {"definitions": [], "next_cursor": None}


def test_nobody_sees_another_tenants_definitions_and_extracts(olga: httpx.Client) -> None:
    saved = save(olga)
    extract = olga.post("/v1/extracts", json=DAY).json()["id"]
    anton = {"Authorization": f"Bearer {TOKENS[ANTON]}"}
    assert olga.get("/v1/definitions", headers=anton).json()["definitions"] == []
    assert olga.get("/v1/extracts", headers=anton).json()["extracts"] == []
    assert olga.get("/v1/extracts", headers=anton, params={"definition": saved["id"]}).json()["extracts"] == []
    assert olga.get("/v1/extracts", headers=anton, params={"tenant": "demo"}).status_code == 403
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/extracts")):
        nowhere = olga.request(method, f"/v1/definitions/{extract}{path}", headers=anton)
        found = olga.request(method, f"/v1/definitions/{saved['id']}{path}", headers=anton)
        assert (found.status_code, found.text) == (404, nowhere.text)
    nora = {"Authorization": f"Bearer {TOKENS[NORA]}"}
    assert {olga.get(f"/v1/{kind}", headers=nora).status_code for kind in ("definitions", "extracts")} == {403}


def test_a_wrong_method_is_told_the_right_ones(olga: httpx.Client) -> None:
    for path, allowed in (("extracts", "GET, POST"), ("extracts/x", "DELETE, GET"), ("definitions", "GET, POST")):
        answer = olga.put(f"/v1/{path}")
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


def test_lists_come_in_pages(olga: httpx.Client) -> None:
    saved = [save(olga, name=f"n{i}")["id"] for i in range(5)]
    asked = [olga.post(f"/v1/definitions/{i}/extracts", json={k: DAY[k] for k in ("from", "to")}).json()["id"] for i in saved]
    for kind, wanted in (("definitions", saved), ("extracts", asked)):
        found, cursor = [], ""
        while cursor is not None:
            page = olga.get(f"/v1/{kind}", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).raise_for_status().json()
            found += [entry["id"] for entry in page[kind]]
            cursor = page["next_cursor"]
        assert found == wanted[::-1]
        for wrong in ({"limit": 0}, {"limit": "x"}, {"cursor": "x"}, {"cursor": "AAAA"}, {"else": "x"}):
            answer = olga.get(f"/v1/{kind}", params=wrong)
            assert answer.status_code == 422
            assert set(answer.json()) == {"error", "what_to_do"}
    assert len(olga.get("/v1/extracts", params={"state": "queued"}).json()["extracts"]) == 5
    assert olga.get("/v1/extracts", params={"state": "done"}).json()["extracts"] == []


def test_a_period_is_extracted_once_when_everything_of_it_is_stored(space: Space, connected: Stores, olga: httpx.Client) -> None:
    saved = save(olga, schedule={"every": "day"})
    begin = begin_of(datetime.fromisoformat(saved["created_at"]), "day")
    end = begin + timedelta(days=1)
    assert scheduler(space, connected, end - timedelta(seconds=1)).tick() == 0
    assert scheduler(space, connected, end + timedelta(hours=9), complete=end - timedelta(microseconds=1)).tick() == 0
    assert scheduler(space, connected, end + timedelta(hours=9), complete=end).tick() == 1
    assert scheduler(space, connected, end + timedelta(hours=9), complete=end).tick() == 0
    made = connected.jobs.newest(Page(["demo"], 10))[0]
    assert (made.principal, made.definition, made.period_start) == (OLGA, connected.definitions.scheduled()[0].id, begin)
    assert [datetime.fromisoformat(made.query[k]) for k in ("from", "to")] == [begin, end]
    assert made.query["filters"] == {"outcome": ["denied"]}
    requests = [e for e in recorded(space) if e["target_id"] == str(made.id)]
    assert [(e["event_type"], e["actor_id"]) for e in requests] == [(audit.REQUESTED, OLGA)]
    told = {p["key"]: p["value"] for p in requests[0]["attributes"]}
    assert (told["definition"], told["period_start"][:10]) == (saved["id"], begin.date().isoformat())


@pytest.mark.parametrize("alone", [True, False])
def test_however_many_instances_see_it_there_is_one_extract_a_period(
    space: Space, connected: Stores, olga: httpx.Client, alone: bool
) -> None:
    saved = [save(olga, name=f"n{i}", schedule={"every": "day"}) for i in range(2)]
    now = later(saved[0], days=5)
    gate = threading.Barrier(4)

    def instance(_: int) -> int:
        mine = scheduler(space, connected, now, alone=alone)
        gate.wait()
        return mine.tick()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(instance, range(4))) == 10
    assert sorted(listed(connected)) == sorted([begin_of(now, "day") - timedelta(days=d + 1) for d in range(5)] * 2)


def test_missed_periods_are_made_up_newest_first_and_no_more_than_a_few(
    space: Space, connected: Stores, olga: httpx.Client
) -> None:
    saved = save(olga, schedule={"every": "month"})
    now = later(saved, days=365 * 3)
    grant(space, limits={**LIMITS, "open_extracts": 5})
    assert scheduler(space, connected, now).tick() == 5  # the others wait for their turn, as any request does
    newest = begin_of(begin_of(now, "month") - timedelta(days=1), "month")
    assert max(listed(connected)) == newest
    grant(space)
    assert scheduler(space, connected, now).tick() == CATCH_UP - 5
    assert len(set(listed(connected))) == len(listed(connected)) == CATCH_UP
    assert listed(connected)[0] == min(listed(connected))


def test_a_crash_between_two_periods_loses_and_doubles_none(space: Space, connected: Stores, olga: httpx.Client) -> None:
    saved = save(olga, schedule={"every": "day"})
    now = later(saved, days=6)

    class CrashError(Exception):
        pass

    def crash() -> None:
        raise CrashError

    broken = scheduler(space, connected, now)
    broken._wake = crash  # after the first job is queued
    for _ in range(3):
        with pytest.raises(CrashError):
            broken.tick()
    assert len(listed(connected)) == 3
    assert scheduler(space, connected, now).tick() == 3
    assert len(set(listed(connected))) == 6


@pytest.mark.parametrize("olga_is", [{"tenants": ["acme"]}, {"rights": ["read"]}])
def test_without_the_right_the_schedule_ends_and_says_why(
    space: Space, connected: Stores, olga: httpx.Client, olga_is: dict[str, Any]
) -> None:
    saved = save(olga, schedule={"every": "day"})
    path = space.folder / "export-principals.yaml"
    path.write_text("broken: [")
    with pytest.raises(UnavailableError):  # who may what is not known: nothing happens
        scheduler(space, connected, later(saved, days=2)).tick()
    grant(space, **olga_is)
    assert scheduler(space, connected, later(saved, days=2)).tick() == 0
    grant(space)
    assert scheduler(space, connected, later(saved, days=2)).tick() == 0
    shown = olga.get(f"/v1/definitions/{saved['id']}").json()
    assert "has no right to extracts of this tenant any more" in shown["schedule"]["stopped"]
    ended = [e for e in recorded(space) if e["event_type"] == audit.SCHEDULE_ENDED]
    assert [(e["tenant_id"], e["target_id"], e["reason"]) for e in ended] == [("demo", saved["id"], shown["schedule"]["stopped"])]
    assert listed(connected) == []


def test_a_deleted_definition_makes_nothing_more(space: Space, connected: Stores, olga: httpx.Client) -> None:
    saved = save(olga, schedule={"every": "day"})
    assert scheduler(space, connected, later(saved, days=1)).tick() == 1
    olga.delete(f"/v1/definitions/{saved['id']}").raise_for_status()
    assert scheduler(space, connected, later(saved, days=9)).tick() == 0
    assert begin_of(datetime.now(UTC), "day") in listed(connected)

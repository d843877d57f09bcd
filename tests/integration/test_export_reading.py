"""The reading API on real servers: pages that hang together, exact counts, and nothing of another tenant."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from connectors.kafka_marks import Marks
from pipeline import settings
from pipeline.explain import command as explain
from pipeline.export import columns
from pipeline.export.queries import Query, Reading
from pipeline.export.reading import Pages
from pipeline.retention.lengths import later
from tests import export_service, reading, retention_world
from tests.fsck_world import query
from tests.reading import DAY, START, get, ids, pages, row
from tests.space import Space

ROWS = 2000


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    reading.store(made, [row(n) for n in range(ROWS)])
    reading.store(made, [row(n, "acme") for n in range(ROWS)])
    reading.mark(made, ROWS)
    export_service.write_principals(made.folder / "export-principals.yaml")
    return made


def expected(key: str = "occurred_at", **wanted: Any) -> list[str]:
    """event_ids of the tenant's stored events in the API's order."""
    rows = [row(n) for n in range(ROWS)]
    rows = [r for r in rows if all(r[name] in value for name, value in wanted.items())]
    return [r["event_id"] for r in sorted(rows, key=lambda r: (r[key], r["event_id"]))]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("time", ["occurred", "ingested"])
@pytest.mark.parametrize("limit", [1000, 317])
def test_pages_together_are_everything_once_and_in_order(olga: httpx.Client, order: str, time: str, limit: int) -> None:
    found = ids(olga, order=order, time=time, limit=limit)
    wanted = expected("occurred_at" if time == "occurred" else "processed_ingested_at")
    assert found == (wanted if order == "asc" else wanted[::-1])


def test_pages_of_one_event_each_hang_together_where_times_are_equal(olga: httpx.Client) -> None:
    few = {"to": "2026-11-02T00:02:00Z", "limit": 1}
    rows = [r for r in (row(n) for n in range(30)) if r["occurred_at"] < START + 120_000_000]
    wanted = [r["event_id"] for r in sorted(rows, key=lambda r: (r["occurred_at"], r["event_id"]))]
    assert len(wanted) == 18
    assert ids(olga, **few) == wanted
    assert ids(olga, **few, order="desc") == wanted[::-1]


def test_an_event_has_the_form_of_a_line_of_an_extract(olga: httpx.Client) -> None:
    page = get(olga, limit=1)
    first = page["events"][0]
    made = next(r for r in (row(n) for n in range(3)) if r["event_id"] == first["event_id"])
    assert list(first) == list(columns.known())
    assert first["occurred_at"] == "2026-11-02T00:00:00.000000Z"
    assert (first["message"], first["tools_offered"]) == (made["message"], made["tools_offered"])
    assert first["input_tokens"] == made["input_tokens"]
    assert page["complete_until"].endswith("Z")
    picked = get(olga, limit=2, columns="outcome,event_type")
    assert [list(e) for e in picked["events"]] == [["outcome", "event_type"]] * 2


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (["event_type:tool.denied"], {"event_type": ["tool.denied"]}),
        (
            ["event_type:tool.denied", "event_type:llm.requested", "outcome:denied"],
            {"event_type": ["tool.denied", "llm.requested"], "outcome": ["denied"]},
        ),
        (["input_tokens:17"], {"input_tokens": [17]}),
        (["tools_offered:t3"], {"tools_offered": [["a", "t3"]]}),
        (["processed_identity_conflict:false", "actor_id:user-3"], {"actor_id": ["user-3"]}),
        (["actor_id:'; DROP"], {"actor_id": []}),
    ],
)
def test_filters_of_one_column_are_or_of_several_and(olga: httpx.Client, filters: list[str], wanted: dict[str, Any]) -> None:
    assert ids(olga, filter=filters, limit=1000) == expected(**wanted)
    assert get(olga, "/v1/counts", filter=filters)["total"] == len(expected(**wanted))


def test_counts_add_up_step_by_step(olga: httpx.Client) -> None:
    found = get(olga, "/v1/counts", to="2026-11-02T03:00:00Z")
    hours = 3 * 3600
    rows = [r for r in (row(n) for n in range(ROWS)) if r["occurred_at"] < START + hours * 1_000_000]
    assert (found["step_seconds"], found["total"], found["series_left_out"]) == (120, len(rows), 0)
    wanted = Counter((r["event_type"], r["outcome"], (r["occurred_at"] - START) // 120_000_000) for r in rows)
    counted = {(s["event_type"], s["outcome"], bucket): n for s in found["series"] for bucket, n in enumerate(s["counts"]) if n}
    assert counted == dict(wanted)
    assert all(len(s["counts"]) == 90 and sum(s["counts"]) == s["total"] for s in found["series"])
    assert [s["total"] for s in found["series"]] == sorted((s["total"] for s in found["series"]), reverse=True)
    late = get(olga, "/v1/counts", time="ingested", to="2026-11-02T00:01:00Z")
    assert (late["total"], late["series"]) == (0, [])


def test_types_say_how_many_and_from_when_to_when(olga: httpx.Client) -> None:
    found = get(olga, "/v1/event-types")["event_types"]
    rows = [row(n) for n in range(ROWS)]
    assert {t["event_type"]: t["events"] for t in found} == Counter(r["event_type"] for r in rows)
    denied = next(t for t in found if t["event_type"] == "tool.denied")
    last = max(r["occurred_at"] for r in rows if r["event_type"] == "tool.denied")
    assert denied["first"] == "2026-11-02T00:00:00.000000Z"
    assert datetime.fromisoformat(denied["last"]) == datetime.fromtimestamp(last / 1e6, UTC)


def test_one_event_by_its_id_and_what_claims_it_too(space: Space, olga: httpx.Client) -> None:
    known = row(5)
    answer = olga.get(f"/v1/events/{known['event_id'].upper()}", params={"tenant": "demo"})
    assert answer.status_code == 200
    assert answer.json()["event"]["message"] == known["message"]
    assert answer.json()["conflicts"] == []
    other = row(1, "acme")["event_id"]
    missing = [olga.get(f"/v1/events/{i}", params={"tenant": "demo"}) for i in (other, known["event_id"][:-1] + "0")]
    assert [m.status_code for m in missing] == [404, 404]
    assert missing[0].text == missing[1].text


def test_what_the_sink_has_not_proven_does_not_show(new_space: Callable[[], Space]) -> None:
    space = new_space()
    space.provision()
    export_service.write_principals(space.folder / "export-principals.yaml")
    reading.store(space, [row(n) for n in range(40)])
    reading.mark(space, 20)
    with export_service.start(space) as running, running.client() as client:
        assert sorted(ids(client)) == sorted(row(n)["event_id"] for n in range(20))
        assert get(client, "/v1/counts")["total"] == 20
        assert sum(t["events"] for t in get(client, "/v1/event-types")["event_types"]) == 20
        assert client.get(f"/v1/events/{row(30)['event_id']}", params={"tenant": "demo"}).status_code == 404
        complete = get(client, to=datetime.now(UTC).isoformat())
        assert complete["complete"] is False
        assert get(client)["complete"] is True


def test_pages_show_what_was_stored_when_the_first_was_read_while_a_writer_inserts(new_space: Callable[[], Space]) -> None:
    space = new_space()
    space.provision()
    export_service.write_principals(space.folder / "export-principals.yaml")
    reading.store(space, [row(n) for n in range(600)])
    reading.mark(space, 600)
    over = threading.Event()

    def insert() -> None:
        for start in range(600, 6000, 60):
            if over.is_set():
                return
            # into the middle of the pages, not behind them
            fresh = [row(n) | {"occurred_at": START + n * 7919 % 600 * 7_000_000} for n in range(start, start + 60)]
            reading.store(space, fresh, start)
            reading.mark(space, start + 60)

    writer = threading.Thread(target=insert)
    with export_service.start(space) as running, running.client() as client:
        walk = pages(client, columns="event_id,kafka_partition,kafka_offset", limit=20)
        found = [next(walk)]
        writer.start()
        found += list(walk)
        seen = [e["event_id"] for page in found for e in page["events"]]
        grown = len(ids(client, limit=1000))
        over.set()
        writer.join()
    rows = [row(n) for n in range(600)]
    assert seen == [r["event_id"] for r in sorted(rows, key=lambda r: (r["occurred_at"], r["event_id"]))]
    assert len({page["complete_until"] for page in found}) == 1
    assert grown > 600


def test_without_the_view_another_tenants_events_show(space: Space) -> None:
    query = Query.stored({**DAY, "filters": {}, "columns": ["tenant_id"], "format": "jsonl"})
    marks = Marks(export_service.topic_id(space), dict.fromkeys(range(4), ROWS))
    for isolated, wanted in ((True, {b'{"tenant_id":"demo"}'}), (False, {b'{"tenant_id":"demo"}', b'{"tenant_id":"acme"}'})):
        with export_service.clickhouse(space, "export" if isolated else "admin") as client:
            page = Pages(Reading(space.name, query, marks, isolated), client).page(None, 100)
        assert set(page.events) == wanted


def test_a_page_is_bounded_in_bytes_and_goes_on_where_it_was_cut(space: Space) -> None:
    query = Query.stored({**DAY, "filters": {}, "columns": ["event_id"], "format": "jsonl"})
    marks = Marks(export_service.topic_id(space), dict.fromkeys(range(4), ROWS))
    found: list[bytes] = []
    with export_service.clickhouse(space, "export") as client:
        reader = Pages(Reading(space.name, query, marks), client, most_bytes=1000)
        page = reader.page(None, 500)
        while page.end is not None and len(found) < 200:
            assert sum(map(len, page.events)) <= 1000
            found += page.events
            page = reader.page(page.end, 500)
    assert [e.decode()[13:49] for e in found] == expected()[: len(found)]


@pytest.mark.parametrize("descending", [False, True])
def test_a_page_that_runs_out_of_time_says_where_to_go_on(space: Space, descending: bool) -> None:
    wide = {**DAY, "from": "2026-10-31T00:00:00Z", "to": "2026-11-05T00:00:00Z"}
    query = Query.stored({**wide, "filters": {}, "columns": ["event_id"], "format": "jsonl"})
    marks = Marks(export_service.topic_id(space), dict.fromkeys(range(4), ROWS))
    found: list[bytes] = []
    with export_service.clickhouse(space, "export") as client:
        reader = Pages(Reading(space.name, query, marks), client, descending, budget=0.01)
        page, asked = reader.page(None, 1000), 1
        while page.end is not None:
            found += page.events
            page, asked = reader.page(page.end, 1000), asked + 1
        found += page.events
    assert asked > 3
    assert [e.decode()[13:49] for e in found] == (expected()[::-1] if descending else expected())


def test_an_event_is_explained_to_its_tenant_alone(space: Space, olga: httpx.Client, anton: httpx.Client) -> None:
    retention_world.rules(space, standard=6)
    own = row(7)["event_id"]
    path = f"/v1/events/{own}/explain"
    found = olga.get(path, params={"tenant": "demo"}).json()
    (one,) = found["explanations"]
    kept, taken = one["retention"], one["retention"]["month"]
    assert (found["stored"], kept["class"], kept["months"], kept["rule"]) == (True, "standard", 6, None)
    assert kept["stays_until"] == f"{later(taken, 7)}-01T00:00:00Z"
    assert explain.found(space.settings(settings.Operator), "demo", own, None) == found
    assert olga.get(path, params={"tenant": "acme"}).status_code == 403
    assert anton.get(path, params={"tenant": "acme"}).json()["stored"] is False, "an id of another tenant is unknown"
    query(space, f"INSERT INTO `{space.name}`.deletions VALUES ('short', 202603, 't', 0, 1, 1, 1, 'key', now64(3))")
    gone = olga.get(f"/v1/events/{uuid.uuid4()}/explain", params={"tenant": "demo"}).json()
    assert gone["may_be_deleted_by"] == [{"class": "short", "month": "2026-03", "certificate": "key"}]
    for wrong in ({"tenant": "demo", "month": "2026-13"}, {"tenant": "demo", "x": "y"}, {}):
        assert olga.get(path, params=wrong).status_code == 422

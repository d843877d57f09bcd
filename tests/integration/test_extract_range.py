"""The range by event time or by ingest time, what an answer says about being complete, and the limits of a principal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyarrow as pa
import pytest

from connectors.kafka_marks import MarksError
from pipeline import settings
from pipeline.export.app import create_app, stores
from pipeline.export.jobs import Worker
from tests import archive_rows, export_service
from tests.export_service import DAY, PRINCIPALS, TOKENS, ask, fetch, fetch_all, recorded, wait, write_principals
from tests.space import Space

OLGA = next(iter(TOKENS))
ROWS = 600
START = datetime(2026, 11, 2, tzinfo=UTC)
NOON = START + timedelta(hours=12)


def micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def late_events() -> pa.RecordBatch:
    """An event a minute; every third came eight hours late, every fifth does not say when it came."""
    batch = archive_rows.columns(ROWS, 4)
    happened = [micros(START + timedelta(minutes=i)) for i in range(ROWS)]
    came = [None if i % 5 == 0 else at + 8 * 3_600_000_000 * (i % 3 == 0) for i, at in enumerate(happened)]
    changed = {
        "tenant_id": pa.array(["demo"] * ROWS),
        "occurred_at": pa.array(happened, pa.timestamp("us")),
        "processed_ingested_at": pa.array(came, pa.timestamp("us")),
    }
    arrays = [changed[n].cast(c.type) if n in changed else c for n, c in zip(batch.schema.names, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    export_service.store(made, late_events(), [i % 4 for i in range(ROWS)], list(range(ROWS)))
    export_service.mark(made, dict.fromkeys(range(4), ROWS))
    write_principals(made.folder / "export-principals.yaml")
    return made


@contextmanager
def service(space: Space, complete: Callable[[], datetime], *, working: bool = True) -> Iterator[httpx.Client]:
    """The service, told up to when everything is stored."""
    values = space.settings(settings.Export)
    connected = replace(stores(values), complete_until=complete)
    worker = Worker(connected)
    if working:
        worker.start()
    try:
        with export_service.served(create_app(values, connected, worker)) as client:
            client.headers["Authorization"] = f"Bearer {TOKENS[OLGA]}"
            yield client
    finally:
        if working:
            worker.stop()
        connected.trail.close()
        connected.clickhouse.close()


@pytest.fixture
def olga(space: Space) -> Iterator[httpx.Client]:
    with service(space, lambda: NOON) as client:
        yield client


def rows(client: httpx.Client, **request: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    columns = ["event_id", "occurred_at", "processed_ingested_at", "kafka_partition", "kafka_offset"]
    extract = ask(client, format="jsonl", columns=columns, **request)
    assert wait(client, extract)["state"] == "done"
    manifest, bodies = fetch_all(client, extract)
    return manifest, [json.loads(line) for body in bodies for line in body.splitlines()]


@pytest.mark.parametrize(("time", "column"), [("occurred", "occurred_at"), ("ingested", "processed_ingested_at")])
def test_the_range_is_of_the_time_that_was_asked_for(olga: httpx.Client, time: str, column: str) -> None:
    span = {"from": "2026-11-02T02:00:00Z", "to": "2026-11-02T09:30:00Z"}
    manifest, found = rows(olga, time=time, **span)
    _, everything = rows(olga, **{"from": "2026-11-01T00:00:00Z", "to": "2026-11-04T00:00:00Z"})
    low, high = (datetime.fromisoformat(span[k]) for k in ("from", "to"))
    fitting = [r for r in everything if r[column] and low <= datetime.fromisoformat(r[column]) < high]
    assert found == sorted(fitting, key=lambda r: [r[name] for name in manifest["order"]])
    assert manifest["order"][0] == column
    assert manifest["query"]["time"] == time
    assert len({r["event_id"] for r in found}) > 100


def test_two_ranges_of_ingest_time_have_every_event_once_however_late_it_came(olga: httpx.Client) -> None:
    whole = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-04T00:00:00Z", "time": "ingested"}
    middle = "2026-11-02T06:00:00Z"
    parts = rows(olga, **{**whole, "to": middle})[1] + rows(olga, **{**whole, "from": middle})[1]
    assert parts == rows(olga, **whole)[1]
    assert len(parts) == ROWS - ROWS // 5


@pytest.mark.parametrize("time", ["occurred", "ingested"])
@pytest.mark.parametrize(("to", "complete"), [("2026-11-02T12:00:00Z", True), ("2026-11-02T12:00:00.000001Z", False)])
def test_an_answer_is_never_silently_short(olga: httpx.Client, time: str, to: str, complete: bool) -> None:
    answer = olga.post("/v1/extracts", json={**DAY, "to": to, "time": time}).json()
    assert (answer["complete"], answer["complete_until"]) == (complete, "2026-11-02T12:00:00Z")
    found = wait(olga, answer["id"])
    assert (found["complete"], found["complete_until"]) == (complete, "2026-11-02T12:00:00Z")
    manifest = json.loads(fetch(olga, answer["id"], "manifest.json"))
    assert (manifest["complete"], manifest["complete_until"]) == (complete, "2026-11-02T12:00:00.000000Z")
    strict = olga.post("/v1/extracts", json={**DAY, "to": to, "time": time, "require_complete": True})
    assert strict.status_code == (202 if complete else 409)
    if not complete:
        assert strict.json()["complete_until"] == "2026-11-02T12:00:00.000000Z"
        assert "earlier `to`" in strict.json()["what_to_do"]
        assert int(strict.headers["Retry-After"]) > 0


def test_what_is_complete_is_fixed_when_the_extract_begins(space: Space) -> None:
    known = [NOON]
    with service(space, lambda: known[-1], working=False) as client:
        extract = ask(client)
        assert not client.get(f"/v1/extracts/{extract}").json()["complete"]
        known.append(START + timedelta(days=2))
    with service(space, lambda: known[-1]) as client:
        assert wait(client, extract)["complete"]
        known.append(NOON)
        assert client.get(f"/v1/extracts/{extract}").json()["complete"]


def test_an_instance_that_knows_less_does_not_take_back_what_was_promised(space: Space) -> None:
    with service(space, lambda: START + timedelta(days=2), working=False) as client:
        extract = ask(client, require_complete=True)
    with service(space, lambda: NOON) as client:
        found = wait(client, extract)
        assert (found["complete"], found["complete_until"]) == (True, "2026-11-04T00:00:00Z")


def test_while_kafka_does_not_say_it_requests_are_taken_but_no_strict_ones(space: Space) -> None:
    def silent() -> datetime:
        raise MarksError("Kafka does not answer", passing=True)

    with service(space, silent, working=False) as client:
        taken = client.post("/v1/extracts", json=DAY)
        assert (taken.status_code, taken.json()["complete"], taken.json()["complete_until"]) == (202, False, None)
        assert client.post("/v1/extracts", json={**DAY, "require_complete": True}).status_code == 503
        client.delete(taken.headers["Location"]).raise_for_status()


def test_an_extract_beyond_the_principals_rows_fails_and_says_what_to_do(space: Space, olga: httpx.Client) -> None:
    path = space.folder / "export-principals.yaml"
    write_principals(path, [{**PRINCIPALS[0], "limits": {"rows_per_extract": 100}}, *PRINCIPALS[1:]])
    try:
        found = wait(olga, ask(olga))
        assert found["state"] == "failed"
        assert "600 events, and the principal's limit is 100: ask for a shorter range" in found["error"]
        assert wait(olga, ask(olga, to="2026-11-02T01:40:00Z"))["counts"]["rows"] == 100
    finally:
        write_principals(path)


@pytest.mark.parametrize(("limits", "said"), [({"open_extracts": 1}, "unfinished"), ({"extracts_per_day": 2}, "24 hours")])
def test_requests_beyond_a_limit_are_refused_with_when_to_come_back(
    new_space: Callable[[], Space], limits: dict[str, int], said: str
) -> None:
    space = new_space()
    space.provision()
    write_principals(space.folder / "export-principals.yaml", [{**PRINCIPALS[0], "limits": limits}])
    with service(space, lambda: NOON, working=False) as client:
        for _ in range(min(limits.values())):
            assert client.post("/v1/extracts", json=DAY).status_code == 202
        refused = client.post("/v1/extracts", json=DAY)
        assert refused.status_code == 429
        assert said in refused.json()["error"]
        assert int(refused.headers["Retry-After"]) > 0
    types = [e["event_type"] for e in recorded(space)]
    assert (types.count("export.requested"), types.count("export.refused")) == (min(limits.values()), 1)

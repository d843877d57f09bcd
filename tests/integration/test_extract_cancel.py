"""A cancelled extract stops at once, leaves no file, and is told from one that had ended already."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest

from connectors.clickhouse.client import UnreachableError
from connectors.postgres.jobs import Job, LeaseLostError, NewJob
from pipeline import settings
from pipeline.export import audit, files
from pipeline.export.app import create_app, stores
from pipeline.export.janitor import Janitor
from pipeline.export.jobs import Stores, Worker
from pipeline.export.lease import Lease
from tests import export_service
from tests.export_service import PRINCIPALS, TOKENS, ask, recorded, wait, write_principals
from tests.space import Space
from tests.waiting import until

OLGA, ANTON, NORA = TOKENS
ROWS = 200_000


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    export_service.generate(made, ROWS)
    export_service.mark(made, dict.fromkeys(range(4), ROWS))
    write_principals(made.folder / "export-principals.yaml", [PRINCIPALS[0], PRINCIPALS[1]])
    return made


@contextmanager
def service(space: Space, *, working: bool = True) -> Iterator[tuple[httpx.Client, Stores]]:
    """The service in this process; its worker works or leaves the queue alone."""
    values = space.settings(settings.Export)
    connected = stores(values)
    worker = Worker(connected)
    if working:
        worker.start()
    try:
        with export_service.served(create_app(values, connected, worker)) as client:
            client.headers["Authorization"] = f"Bearer {TOKENS[OLGA]}"
            yield client, connected
    finally:
        if working:
            worker.stop()
        connected.trail.close()
        connected.clickhouse.close()


def shown(client: httpx.Client, extract: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/extracts/{extract}").raise_for_status().json()
    return found


def keys(connected: Stores, extract: str) -> list[str]:
    return list(connected.bucket.keys(f"extracts/{extract}/"))


def test_a_running_extract_stops_at_once_and_its_files_go(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_ROWS", 10_000)
    with service(space) as (client, connected):
        extract = ask(client, format="jsonl")
        following = ask(client, columns=["event_id"], to="2026-11-02T00:10:00Z")
        until(lambda: keys(connected, extract), 30)
        assert shown(client, extract)["state"] == "running"
        answer = client.delete(f"/v1/extracts/{extract}")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        assert until(lambda: shown(client, following)["state"] != "queued", 30) < 3  # a second where nothing else runs
        until(lambda: not keys(connected, extract), 30)
        assert wait(client, following)["state"] == "done"
        found = shown(client, extract)
        assert (found["state"], found["files"], found["files_state"]) == ("cancelled", [], "none")
        assert client.get(f"/v1/extracts/{extract}/files/manifest.json").json()["what_to_do"].startswith("It was cancelled")
        assert client.delete(f"/v1/extracts/{extract}").json()["state"] == "cancelled"
    events = [e["event_type"] for e in recorded(space) if e["target_id"] == extract]
    assert (events.count(audit.REQUESTED), events.count(audit.CANCELLED), events.count(audit.DELIVERED)) == (1, 1, 0)


def test_a_queued_extract_is_never_begun(space: Space) -> None:
    with service(space, working=False) as (client, connected):
        extract = ask(client)
        assert client.delete(f"/v1/extracts/{extract}").json()["state"] == "cancelled"
        assert connected.jobs.claim() is None
        assert connected.jobs.use(OLGA).open == 0


def test_what_has_ended_cannot_be_cancelled_and_the_answer_says_so(space: Space) -> None:
    with service(space) as (client, _):
        extract = ask(client, columns=["event_id"], to="2026-11-02T00:10:00Z")
        before = wait(client, extract)
        answer = client.delete(f"/v1/extracts/{extract}")
        assert (answer.status_code, answer.json()["error"]) == (409, "The extract is done already.")
        assert shown(client, extract) == before
        assert client.get(f"/v1/extracts/{extract}/files/manifest.json").status_code == 200
        assert client.delete("/v1/extracts/nothing").status_code == 404
        client.headers["Authorization"] = f"Bearer {TOKENS[ANTON]}"
        assert client.delete(f"/v1/extracts/{extract}").status_code == 404


def test_what_is_cancelled_at_the_very_end_has_not_failed(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    with service(space) as (client, connected):
        finish, done = connected.jobs.finish, threading.Event()

        def late(job: Job, *given: Any) -> None:
            connected.jobs.cancel(job.id)
            done.set()
            finish(job, *given)

        monkeypatch.setattr(connected.jobs, "finish", late)
        extract = ask(client, columns=["event_id"], to="2026-11-02T00:10:00Z")
        assert done.wait(30)
        until(lambda: not keys(connected, extract), 3)
        assert shown(client, extract)["state"] == "cancelled"
    events = [e["event_type"] for e in recorded(space) if e["target_id"] == extract]
    assert sorted(events) == [audit.DELIVERED, audit.REQUESTED]


def test_files_of_a_cancelled_extract_go_even_if_its_worker_is_dead(space: Space) -> None:
    with service(space, working=False) as (client, connected):
        extract = ask(client)
        job = connected.jobs.claim()
        assert job is not None
        path = space.folder / "left"
        path.write_bytes(b"left")
        connected.bucket.put(f"extracts/{extract}/1/part-00000.parquet", path, {})
        client.delete(f"/v1/extracts/{extract}").raise_for_status()
        assert Janitor(connected).tick() == 0  # its worker may still be at it, as far as anybody knows
        export_service.admin_sql(space, "UPDATE extract_jobs SET lease_until = now() - interval '1 s' WHERE state = 'cancelled'")
        assert Janitor(connected).tick() == 1
        assert keys(connected, extract) == []
        with pytest.raises(LeaseLostError):
            connected.jobs.finish(job, [], 0, 7)


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_long_query_ends_when_it_is_interrupted(space: Space, interrupted: bool) -> None:
    with export_service.clickhouse(space) as client:
        began = time.monotonic()
        timer = threading.Timer(0.3, client.interrupt if interrupted else lambda: None)
        timer.start()
        if interrupted:
            with pytest.raises(UnreachableError):
                client.rows("SELECT sleep(3)")
        else:
            client.rows("SELECT sleep(3)")
        timer.join()
        assert (time.monotonic() - began < 1.3) is interrupted


def test_a_lost_lease_interrupts_within_a_second(space: Space) -> None:
    connected = stores(space.settings(settings.Export))
    with closing(connected.clickhouse):
        made = connected.jobs.create(NewJob(uuid.uuid4(), "demo", NORA, {}, 1, None), 5, 5)
        assert made is not None
        job = connected.jobs.claim()
        assert job is not None
        assert job.id == made.id
        interrupted = threading.Event()
        with Lease(connected.jobs, job, threading.Event(), interrupted.set) as lease:
            lease.check()
            connected.jobs.cancel(job.id)
            assert interrupted.wait(1)
            with pytest.raises(LeaseLostError):
                lease.check()

"""A killed, frozen or stopped service loses no extract; memory does not grow with the number of events."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.extracts import ExtractBucket
from infra.stack import ports
from pipeline import settings
from tests import export_service
from tests.export_service import Running, ask, fetch_all, wait
from tests.space import Space
from tests.waiting import until

ROWS = 120_000
LEASE = 3.0
NARROW: dict[str, Any] = {"format": "jsonl", "columns": ["event_id", "occurred_at", "prompt", "tool_args", "kafka_offset"]}
GROWTH = 96 << 20


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    export_service.generate(made, ROWS)
    export_service.mark(made, dict.fromkeys(range(4), ROWS))
    export_service.write_principals(made.folder / "export-principals.yaml")
    return made


def start(space: Space, **more: Any) -> Running:
    return Running(space, space.part_env("export", **{"EXPORT_LEASE_SECONDS": LEASE, **more}))


def until_rows(client: httpx.Client, extract: str, rows: int) -> None:
    """Until so many rows are written; fails where the extract ends before."""
    deadline = time.monotonic() + 60
    while True:
        found = client.get(f"/v1/extracts/{extract}").raise_for_status().json()
        assert found["state"] in ("queued", "running"), found
        if found["progress"]["rows_done"] >= rows:
            assert 0 < found["progress"]["fraction"] < 1
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def keys(space: Space, extract: str) -> list[str]:
    values = space.settings(settings.Export)
    secret = values.s3_secret_access_key.get_secret_value()
    bucket = ExtractBucket(values.s3_endpoint, values.s3_region, values.s3_extract_bucket, values.s3_access_key_id, secret)
    return sorted(bucket.keys(f"extracts/{extract}/"))


def peak(running: Running) -> int:
    """Highest resident memory so far, in bytes."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10


def test_a_killed_service_finishes_after_restart_with_the_same_bytes(space: Space) -> None:
    with start(space) as running, running.client() as client:
        whole = ask(client, **NARROW)
        assert wait(client, whole)["counts"]["rows"] == ROWS
        expected = fetch_all(client, whole)[1]
        broken = ask(client, **NARROW)
        until_rows(client, broken, 1)
        running.kill()
    with start(space) as running, running.client() as client:
        done = wait(client, broken)
        assert done["state"] == "done"
        assert fetch_all(client, broken)[1] == expected
        assert running.stop() == 0
    assert all(key.startswith(f"extracts/{broken}/2/") for key in keys(space, broken))


def test_a_frozen_instance_that_comes_back_changes_nothing(space: Space) -> None:
    first = start(space)
    try:
        with first.client() as client:
            extract = ask(client, **NARROW)
            until_rows(client, extract, 1)
        first.process.send_signal(signal.SIGSTOP)
        with start(space, EXPORT_LISTEN=other_listen(space)) as second, second.client() as client:
            done = wait(client, extract)
            manifest, _ = fetch_all(client, extract)
            first.process.send_signal(signal.SIGCONT)
            until(lambda: "no longer ours" in first.log.read_text(), 30, first.log.read_text)
            assert client.get(f"/v1/extracts/{extract}").json() == done
            assert fetch_all(client, extract)[0] == manifest
    finally:
        first.process.send_signal(signal.SIGCONT)
        first.kill()


def other_listen(space: Space) -> str:
    return f"127.0.0.1:{ports.pick(1, space.stack.state.ports.values())[0]}"


def test_a_stopped_service_gives_its_extract_back_at_once(space: Space) -> None:
    with start(space, EXPORT_LEASE_SECONDS=600) as running, running.client() as client:
        extract = ask(client, **NARROW)
        until_rows(client, extract, 1)
        assert running.stop() == 0
    with start(space, EXPORT_LEASE_SECONDS=600) as running, running.client() as client:
        assert wait(client, extract)["counts"]["rows"] == ROWS


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_memory_does_not_grow_with_the_number_of_events(space: Space, form: str) -> None:
    with start(space) as running, running.client() as client:
        few = ask(client, format=form, to="2026-11-02T08:00:00Z")
        assert wait(client, few)["counts"]["rows"] == ROWS // 3
        before = peak(running)
        extract = ask(client, format=form)
        assert wait(client, extract)["counts"]["rows"] == ROWS
        assert peak(running) - before < GROWTH


def test_an_extract_that_cannot_succeed_fails_and_says_why(space: Space) -> None:
    with start(space, EXPORT_CLICKHOUSE_PASSWORD="wrong") as running, running.client() as client:
        extract = ask(client)
        found = wait(client, extract)
        assert found["state"] == "failed"
        assert "refused the name or password of user export" in found["error"]
        assert client.get(f"/v1/extracts/{extract}/files/manifest.json").status_code == 409
    failed = [e for e in export_service.recorded(space) if (e["event_type"], e["target_id"]) == ("export.failed", extract)]
    assert [e["outcome"] for e in failed] == ["error"]

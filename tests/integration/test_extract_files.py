"""Files live for their time and no longer; who downloads needs the right at that moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors import buckets
from connectors.extracts import ExtractBucket
from pipeline import migrate, settings
from pipeline.export.app import create_app
from pipeline.export.janitor import Janitor
from pipeline.export.jobs import Stores, Worker
from tests import export_service
from tests.export_service import PRINCIPALS, TOKENS, ask, fetch, recorded, wait, write_principals
from tests.space import Space

OLGA, ANTON, _ = TOKENS
ROWS = 400
END = "UPDATE extract_jobs SET expires_at = now() WHERE id = '{}'"


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    export_service.generate(made, ROWS)
    export_service.mark(made, dict.fromkeys(range(4), ROWS))
    write_principals(made.folder / "export-principals.yaml")
    return made


@pytest.fixture
def olga(space: Space, connected: Stores) -> Iterator[httpx.Client]:
    worker = Worker(connected)
    worker.start()
    with export_service.served(create_app(space.settings(settings.Export), connected, worker)) as client:
        client.headers["Authorization"] = f"Bearer {TOKENS[OLGA]}"
        yield client
    worker.stop()


def expire(space: Space, extract: str) -> None:
    uuid.UUID(extract)
    export_service.admin_sql(space, END.format(extract))


def done(client: httpx.Client) -> dict[str, Any]:
    found = wait(client, ask(client))
    assert found["state"] == "done"
    return found


def keys(connected: Stores, extract: str) -> list[str]:
    return list(connected.bucket.keys(f"extracts/{extract}/"))


def test_files_end_seven_days_after_the_extract_began_at_the_latest(olga: httpx.Client) -> None:
    found = done(olga)
    created, ends = (datetime.fromisoformat(found[k]) for k in ("created_at", "expires_at"))
    assert timedelta(days=7) <= ends - created < timedelta(days=7, seconds=30)
    assert ends <= datetime.fromisoformat(found["finished_at"]) + timedelta(days=7)
    assert found["files_state"] == "available"


def test_an_expired_file_is_gone_and_the_answer_says_what_to_do(space: Space, olga: httpx.Client, connected: Stores) -> None:
    extract = done(olga)["id"]
    other = done(olga)["id"]
    expire(space, extract)
    for deleted in (False, True):  # the time counts, not whether somebody has deleted the file already
        answer = olga.get(f"/v1/extracts/{extract}/files/part-00000.parquet")
        assert (answer.status_code, answer.json()["error"]) == (410, "The extract's files have expired.")
        assert "Ask for the extract again" in answer.json()["what_to_do"]
        assert bool(keys(connected, extract)) is not deleted
        assert Janitor(connected).tick() == (0 if deleted else 2)
    assert Janitor(connected).tick() == 0
    shown = olga.get(f"/v1/extracts/{extract}").json()
    assert (shown["state"], shown["files_state"], len(shown["files"])) == ("done", "expired", 1)
    assert len(fetch(olga, other, "part-00000.parquet")) > 0
    refused = [e for e in recorded(space) if (e["target_id"], e["event_type"]) == (extract, "export.refused")]
    assert len(refused) == 2
    assert olga.get(f"/v1/extracts/{extract}/files/nothing").status_code == 404


def test_a_file_that_the_store_has_ended_by_itself_is_gone_too(olga: httpx.Client, connected: Stores) -> None:
    extract = done(olga)["id"]
    connected.bucket.delete(f"extracts/{extract}/")
    assert olga.get(f"/v1/extracts/{extract}/files/manifest.json").status_code == 410


def test_what_no_job_knows_of_is_deleted_by_its_age(space: Space, olga: httpx.Client, connected: Stores) -> None:
    extract = done(olga)["id"]
    path = space.folder / "stray"
    path.write_bytes(b"stray")
    connected.bucket.put("extracts/of-a-frozen-instance/1/part-00000.csv", path, {})
    connected.bucket.put("other/stays", path, {})
    days = timedelta(days=7)
    Janitor(connected, lambda: datetime.now(UTC) + days - timedelta(minutes=5)).tick()
    assert keys(connected, "of-a-frozen-instance")
    assert keys(connected, extract)
    Janitor(connected, lambda: datetime.now(UTC) + days + timedelta(minutes=5)).tick()
    assert keys(connected, "of-a-frozen-instance") == []
    assert list(connected.bucket.keys("other/")) == ["other/stays"]


def test_each_download_needs_the_right_of_its_moment(space: Space, olga: httpx.Client) -> None:
    extract = done(olga)["id"]
    path, name = space.folder / "export-principals.yaml", f"/v1/extracts/{extract}/files/part-00000.parquet"
    try:
        for change, status in (
            ({"tenants": ["acme"]}, 404),
            ({"rights": ["read"]}, 403),
            ({"tenants": []}, 404),
            ({}, 200),
        ):
            write_principals(path, [{**PRINCIPALS[0], **change}, *PRINCIPALS[1:]])
            assert olga.get(name).status_code == status
        write_principals(path, PRINCIPALS[1:])
        assert olga.get(name).status_code == 401
        write_principals(path, [{**PRINCIPALS[1], "tenants": ["acme", "demo"]}])
        assert olga.get(name, headers={"Authorization": f"Bearer {TOKENS[ANTON]}"}).status_code == 200
    finally:
        write_principals(path)


def test_the_store_itself_ends_files_as_a_second_line(space: Space) -> None:
    values = space.settings(settings.Migrate)
    s3 = buckets.admin_client(
        values.s3_endpoint, values.s3_region, values.s3_access_key_id, values.s3_secret_access_key.get_secret_value()
    )
    rules = s3.get_bucket_lifecycle_configuration(Bucket=values.s3_extract_bucket)["Rules"]
    assert [(r["Filter"]["Prefix"], r["Expiration"]["Days"], r["Status"]) for r in rules] == [("extracts/", 7, "Enabled")]
    assert not any("files end" in line for line in migrate.archive(values))
    assert buckets.extract_bucket(s3, values.s3_extract_bucket, 3) == [
        f"bucket {values.s3_extract_bucket}: files end after 3 days"
    ]
    buckets.extract_bucket(s3, values.s3_extract_bucket, 7)


def test_a_large_file_is_stored_in_parts_and_not_at_all_when_it_is_not_wanted(space: Space, connected: Stores) -> None:
    path = space.folder / "large"
    path.write_bytes(bytes(range(256)) * (20 << 12))
    assert isinstance(connected.bucket, ExtractBucket)
    connected.bucket.put_checked("large/whole", path, {}, lambda: None)
    body = connected.bucket.stream("large/whole")
    assert body is not None
    assert b"".join(body.pieces) == path.read_bytes()
    calls: list[int] = []

    def unwanted() -> None:
        calls.append(1)
        if len(calls) > 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        connected.bucket.put_checked("large/never", path, {}, unwanted)
    assert list(connected.bucket.keys("large/")) == ["large/whole"]

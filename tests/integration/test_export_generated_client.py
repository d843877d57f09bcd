"""A client that openapi-python-client makes of the service's own description, used against the running service."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.stack.server import base_environment
from tests import export_service, reading
from tests.export_service import TOKENS, Running, clickhouse
from tests.space import Space

ROWS, DEEP = 900, 700
OLGA = "olga@example.com"
RANGE = {"from_": datetime(2026, 11, 2, tzinfo=UTC), "to": datetime(2026, 11, 3, tzinfo=UTC)}
# The generator knows no media types of files: it is told that they are bytes.
FILES = ("application/vnd.apache.parquet", "application/x-ndjson", "text/csv")
CONFIG = {"content_type_overrides": dict.fromkeys((*FILES, "text/csv; charset=utf-8"), "application/octet-stream")}


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    reading.store(made, [reading.row(n) for n in range(ROWS)])
    reading.store(made, [reading.row(n, "acme") for n in range(ROWS)])
    reading.mark(made, ROWS)
    export_service.write_principals(made.folder / "export-principals.yaml")
    return made


@pytest.fixture(scope="module")
def package(service: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of the generated package, which can be imported."""
    folder = tmp_path_factory.mktemp("generated")
    described, config, name = folder / "openapi.json", folder / "config.json", "generated_export_client"
    described.write_bytes(httpx.get(service.url + "/openapi.json").raise_for_status().content)
    config.write_text(json.dumps(CONFIG | {"post_hooks": []}))
    command = [
        str(Path(sys.executable).with_name("openapi-python-client")),
        "generate",
        "--path",
        str(described),
        "--meta",
        "none",
    ]
    command += ["--config", str(config), "--output-path", str(folder / name), "--fail-on-warning"]
    run = subprocess.run(command, cwd=folder, env=base_environment(), capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    sys.path.insert(0, str(folder))
    yield name
    sys.path.remove(str(folder))


class Generated:
    """The generated functions, called as this principal."""

    def __init__(self, package: str, url: str, token: str) -> None:
        self._package = package
        self.models = importlib.import_module(f"{package}.models")
        client = importlib.import_module(f"{package}.client")
        self._client = client.AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)

    def close(self) -> None:
        self._client.get_httpx_client().close()

    def __call__(self, operation: str, *path: str, **fields: Any) -> Any:
        """The parsed answer of the operation ``tag_name``."""
        module = importlib.import_module(f"{self._package}.api.{operation.partition('_')[0]}.{operation}")
        return module.sync(*path, client=self._client, **fields)

    def until(self, extract: str, state: str) -> Any:
        """The extract once it is in this state."""
        deadline = time.monotonic() + 90
        while (found := self("extracts_show", extract)).state != state:
            assert time.monotonic() < deadline, found
            assert found.state in ("queued", "running"), found
            time.sleep(0.05)
        return found


@pytest.fixture
def olga(package: str, service: Running) -> Iterator[Generated]:
    made = Generated(package, service.url, TOKENS[OLGA])
    yield made
    made.close()


def test_it_knows_who_asks(olga: Generated, package: str, service: Running) -> None:
    me = olga("access_me")
    assert (me.name, me.tenants, me.rights, me.limits.requests_per_minute) == (OLGA, ["demo"], ["read", "extract"], 300)
    stranger = Generated(package, service.url, "unknown")
    said = stranger("access_me")
    stranger.close()
    assert isinstance(said, olga.models.Problem)
    assert "missing or unknown" in said.error


def sql(space: Space, query: str) -> list[list[Any]]:
    with clickhouse(space) as client:
        return client.rows(query.format(events=f"{space.name}.events"))


def test_types_and_counts_are_those_of_sql(olga: Generated, space: Space) -> None:
    types = olga("reading_event_types", tenant="demo", **RANGE)
    found = {t.event_type: t.events for t in types.event_types}
    wanted = sql(space, "SELECT event_type, count() FROM {events} WHERE tenant_id = 'demo' GROUP BY event_type")
    assert found == {name: int(n) for name, n in wanted}
    counts = olga("reading_counts", tenant="demo", filter_=["outcome:denied"], **RANGE)
    ((denied,),) = sql(space, "SELECT count() FROM {events} WHERE tenant_id = 'demo' AND outcome = 'denied'")
    assert counts.total == int(denied) == sum(s.total for s in counts.series) > 0
    assert counts.complete_until.tzinfo is not None


def test_pages_to_the_end_are_what_sql_has(olga: Generated, space: Space) -> None:
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = olga("reading_events", tenant="demo", columns="event_id", limit=DEEP // 3, **RANGE, **more)
        found += [e["event_id"] for e in page.events]
        if page.next_cursor is None:
            break
        more = {"cursor": page.next_cursor}
    wanted = sql(space, "SELECT event_id FROM {events} WHERE tenant_id = 'demo' ORDER BY occurred_at, event_id")
    assert found == [row[0] for row in wanted]
    one = olga("reading_event", found[-1], tenant="demo")
    assert one.event["event_id"] == found[-1]
    assert isinstance(olga("reading_event", found[-1], tenant="acme"), olga.models.Problem)


def request(olga: Generated, **more: Any) -> Any:
    return olga.models.ExtractsCreateExtractRequest(tenant="demo", **RANGE, **more)


def test_an_extract_from_the_request_to_its_files(olga: Generated) -> None:
    columns = ["event_id", "outcome"]
    asked = olga(
        "extracts_create", body=request(olga, columns=columns, format_=olga.models.ExtractsCreateExtractRequestFormat.JSONL)
    )
    done = olga.until(asked.id, "done")
    manifest = json.loads(olga("extracts_download", done.id, "manifest.json").payload.read())
    assert (manifest["counts"]["rows"], done.counts["rows"], done.progress.fraction) == (ROWS, ROWS, 1.0)
    (file,) = done.files
    body = olga("extracts_download", done.id, file.name).payload.read()
    assert (hashlib.sha256(body).hexdigest(), len(body)) == (file.sha256, file.bytes_)
    assert [list(json.loads(line)) for line in body.splitlines()] == [columns] * ROWS
    assert isinstance(olga("extracts_cancel", done.id), olga.models.Problem)
    assert done.id in {e.id for e in olga("extracts_newest", tenant="demo").extracts}


def test_a_definition_is_saved_used_cancelled_and_deleted(olga: Generated) -> None:
    filters = olga.models.DefinitionsCreateDefinitionRequestFilters.from_dict({"outcome": ["denied"]})
    body = olga.models.DefinitionsCreateDefinitionRequest(name="Denials", tenant="demo", filters=filters)
    saved = olga("definitions_create", body=body)
    assert olga("definitions_show", saved.id).query["filters"] == {"outcome": ["denied"]}
    assert saved.id in {d.id for d in olga("definitions_newest").definitions}
    made = olga("definitions_make", saved.id, body=olga.models.DefinitionsMakeRangeRequest(**RANGE))
    assert made.definition == saved.id
    ended = olga("extracts_cancel", made.id)
    done_before = isinstance(ended, olga.models.Problem)  # the worker may have been quicker
    assert olga.until(made.id, "done" if done_before else "cancelled").definition == saved.id
    assert olga("definitions_delete", saved.id) is None
    assert isinstance(olga("definitions_show", saved.id), olga.models.Problem)

"""What /openapi.json promises, tried by Schemathesis against the running service: nothing else may be answered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.stack.server import base_environment
from tests import export_service, reading
from tests.export_service import PRINCIPALS, TOKENS, Running
from tests.space import Space

ROWS = 200
OLGA = "olga@example.com"
UNLIMITED = {"requests_per_minute": 1_000_000, "open_extracts": 10_000, "extracts_per_day": 1_000_000}
# Left out: positive_data_acceptance. No description can say which tenants are the caller's, that `from` is before `to`, nor which
# columns there are; those refusals are documented statuses, which status_code_conformance checks.
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method"),
    *("allow_header_conformance", "use_after_free", "ensure_resource_availability", "ignored_auth"),
)


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    reading.store(made, [reading.row(n) for n in range(ROWS)])
    reading.mark(made, ROWS)
    export_service.write_principals(made.folder / "export-principals.yaml", [{**PRINCIPALS[0], "limits": UNLIMITED}])
    return made


@pytest.fixture(scope="module")
def document(service: Running) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(service.url + "/openapi.json").raise_for_status().json()
    return found


def tried(service: Running, document: dict[str, Any], folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Schemathesis's run, always the same: its examples come from a fixed seed."""
    described = folder / "openapi.json"
    described.write_text(json.dumps(document))
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(described), "--url", service.url, "--seed", "4"]
    command += ["--header", f"Authorization: Bearer {TOKENS[OLGA]}", "--checks", ",".join(CHECKS), "--no-color"]
    command += ["--max-examples", "3", "--generation-database", "none", "--continue-on-failure", "--no-shrink", *more]
    return subprocess.run(command, cwd=folder, env=base_environment(), text=True, capture_output=True, timeout=240, check=False)


def test_every_operation_asks_for_the_token(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    operations = {f"{m} {p}": o for p, of in document["paths"].items() for m, o in of.items()}
    assert {name for name, o in operations.items() if o.get("security") != [{"token": []}]} == {"get /healthz"}


def test_nothing_is_answered_that_is_not_described(service: Running, document: dict[str, Any], tmp_path: Path) -> None:
    run = tried(service, document, tmp_path, "--suppress-health-check", "all")
    print(run.stdout[-3000:])
    assert run.returncode == 0, "\n".join(line[:300] for line in run.stdout.splitlines())[-12_000:] + run.stderr[-2000:]
    assert service.process.poll() is None


@pytest.mark.parametrize("hidden", ["422", "200"])
def test_an_answer_that_is_not_described_is_found(
    service: Running, document: dict[str, Any], tmp_path: Path, hidden: str
) -> None:
    """Negative control: the same run over a description that conceals one answer of one operation."""
    changed = json.loads(json.dumps(document))
    del changed["paths"]["/v1/event-types"]["get"]["responses"][hidden]
    run = tried(service, changed, tmp_path, "--include-path", "/v1/event-types", "--phases", "examples,coverage")
    assert run.returncode == 1, run.stdout[-3000:]
    assert "Undocumented status code" in run.stdout

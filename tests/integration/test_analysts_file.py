"""analysts.yaml makes users of tenants at the start of the local ClickHouse; what one uses up is counted for that user alone."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest

from connectors.clickhouse import migrations
from connectors.clickhouse.client import AccessError, ClickHouseError, Client
from infra.stack import Stack
from infra.stack.server import StackError
from infra.stack.servers import analysts

DIGEST = hashlib.sha256(b"globex secret").hexdigest()
SECRETS = {"clickhouse_analyst_demo": "one", "clickhouse_analyst_acme": "two"}


def test_an_added_analyst_sees_the_tenant_and_has_a_quota_of_its_own(tmp_path: Path) -> None:
    analysts.load(tmp_path, {f"clickhouse_analyst_{t}": "never used" for t in analysts.DEMO})
    with (tmp_path / analysts.FILE).open("a", encoding="utf-8") as file:
        file.write(f"- {{user: analyst_globex, tenant: globex, password_sha256: {DIGEST}}}\n")
    with Stack(tmp_path, names=("clickhouse",)) as stack:
        secrets = stack.state.secrets
        with _client(stack, "admin", secrets["clickhouse_admin"]) as admin:
            migrations.apply(admin, "audit")
        with _client(stack, "sink", secrets["clickhouse_sink"]) as sink:
            sink.command(
                "INSERT INTO audit.events (tenant_id, event_type) VALUES ('globex', 'tool.denied'), ('demo', 'tool.denied')"
            )
        with _client(stack, "analyst_globex", "guessed") as other, pytest.raises(AccessError):
            other.rows("SELECT 1")
        with _client(stack, "analyst_globex", "globex secret") as analyst:
            assert analyst.rows("SELECT tenant_id FROM audit.tool_calls") == [["globex"]]
            _use_up(analyst)
        with _client(stack, "analyst", secrets["clickhouse_analyst"]) as another:
            assert another.rows("SELECT 1") == [[1]]


def _client(stack: Stack, user: str, password: str) -> contextlib.closing[Client]:
    return contextlib.closing(Client(stack.env["AUDITWIRE_CLICKHOUSE_URL"], user, password))


def _use_up(analyst: Client) -> None:
    """As many rows of answers as an hour may have, and more."""
    rows = analysts.LIMITS["max_result_rows"]
    with pytest.raises(ClickHouseError) as caught:
        for _ in range(3 * analysts.QUOTAS[3600]["result_rows"] // rows):  # an hour may end on the way
            analyst.command(f"SELECT number FROM numbers({rows}) FORMAT RowBinary")
    assert caught.value.name == "QUOTA_EXCEEDED"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{user: x}", "must be a list"),
        ("- analyst_x", "entry 1: it must have user, tenant and password_sha256"),
        ("- {user: analyst_x, tenant: x}", "entry 1: it must have user, tenant and password_sha256"),
        (f"- {{user: ops, tenant: x, password_sha256: {DIGEST}}}", "user must match"),
        (f'- {{user: analyst_x, tenant: "x\' OR 1", password_sha256: {DIGEST}}}', "tenant must match"),
        ("- {user: analyst_x, tenant: x, password_sha256: plain}", "password_sha256 must match"),
        (f"- {{user: analyst_x, tenant: x, password_sha256: {DIGEST}}}\n" * 2, "analyst_x is there twice"),
        ("- {", "is not YAML"),
    ],
)
def test_an_entry_that_cannot_be_right_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / analysts.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(StackError, match=says) as caught:
        analysts.load(tmp_path, SECRETS)
    assert DIGEST not in str(caught.value)


def test_the_file_is_written_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = analysts.load(tmp_path, SECRETS)
    assert [(a.user, a.tenant) for a in first] == [("analyst_demo", "demo"), ("analyst_acme", "acme")]
    assert (tmp_path / analysts.FILE).stat().st_mode & 0o777 == 0o600
    assert analysts.load(tmp_path, {}) == first

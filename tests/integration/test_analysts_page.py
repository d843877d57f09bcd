"""docs/analysts.md and docs/archive.md do what they say: their commands run, their SQL parses, their figures are right."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import clickhouse_driver
import pytest

from infra.stack import env
from infra.stack.servers import analysts
from infra.stack.stack import CHECKOUT
from tests import analyst_world, archive_bucket
from tests.archive_rows import plan_of
from tests.space import Space


def _blocks(page: str, language: str) -> list[str]:
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def checkout(new_analysed_space: Callable[[], Space], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Space]:
    """A folder that looks like a checkout after `make up`, with the known events in the table and in the archive."""
    from connectors import manifest, parquet

    space, folder = new_analysed_space(), tmp_path_factory.mktemp("checkout")
    rows = analyst_world.insert(space, analyst_world.batch(analyst_world.world()))
    archive_bucket.create(space)
    parquet.write(folder / "object", [parquet.columns_of(rows, 0)], {})
    key = manifest.object_key(plan_of(rows, partition=0), "standard", int(rows.timestamps[0]))
    archive_bucket.bucket(space).put(key, folder / "object", {})
    for name in (".venv", "docs"):
        (folder / name).symlink_to(CHECKOUT / name)
    (folder / ".auditwire").mkdir()
    (folder / ".auditwire/state.json").symlink_to(space.stack.directory / "state.json")
    exports = env.looker_in(space.stack.state, space.env)
    lines = "".join(f"export {name}='{value}'\n" for name, value in exports.items())
    (folder / ".auditwire/env").write_text(lines, encoding="utf-8")
    return folder, space


def _run(checkout: tuple[Path, Space], script: str) -> str:
    folder, space = checkout
    script = script.replace("database=audit", f"database={space.name}")
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DB::Exception" not in done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("number", "says"),
    [(0, "acme"), (0, "tool.invoked"), (1, "team-platform"), (2, "tenant_id\tcount()\ndemo\t")],
)
def test_the_commands_of_the_page_run(checkout: tuple[Path, Space], number: int, says: str) -> None:
    said = _run(checkout, _blocks("analysts.md", "sh")[number])
    assert says in said
    assert number == 0 or "acme" not in said


def test_the_commands_of_the_query_list_run(checkout: tuple[Path, Space]) -> None:
    ask, calls = _blocks("queries/README.md", "bash")
    assert len(calls.splitlines()) == 15
    said = _run(checkout, f". .auditwire/env\n{ask}\n{calls}")
    assert "read_secret" in said and "Code: " not in said


@pytest.mark.parametrize("number", [0, 1])
def test_the_commands_of_the_archive_page_run(checkout: tuple[Path, Space], number: int) -> None:
    said = _run(checkout, f". .auditwire/env\n{_blocks('archive.md', 'sh')[number]}")
    assert "demo" in said and "approval.requested" in said


def test_the_sql_for_a_server_of_ones_own_is_the_local_profile_and_parses(checkout: tuple[Path, Space]) -> None:
    once, each = _blocks("analysts.md", "sql")
    assert once.strip() == analysts.server_sql()
    for statement in f"{once}\n{each}".split(";\n"):
        if statement.strip():
            with analyst_world.analyst(checkout[1]) as client:
                assert client.rows("SELECT formatQuery({q:String})", {"q": statement})


def test_the_limits_of_the_page_are_the_profiles() -> None:
    text = (CHECKOUT / "docs/analysts.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(max_\w+)` \| (\d+) \|", text, flags=re.MULTILINE)
    assert {name: int(value) for name, value in told} == analysts.LIMITS
    minute, hour = analysts.QUOTAS[60], analysts.QUOTAS[3600]
    assert f"{minute['queries']} queries a minute" in text
    assert f"{hour['read_rows'] // 10**9} billion rows read" in text
    assert f"{hour['result_rows'] // 10**6} million rows of answers and {hour['execution_time']} seconds" in text


def test_the_python_driver_works_with_the_read_only_profile(checkout: tuple[Path, Space]) -> None:
    _, space = checkout
    secret = json.loads((space.stack.directory / "state.json").read_text())["secrets"]["clickhouse_analyst_demo"]
    port = space.stack.state.ports["clickhouse_tcp"]
    client = clickhouse_driver.Client("127.0.0.1", port=port, user="analyst_demo", password=secret, database=space.name)
    assert client.execute("SELECT DISTINCT tenant_id FROM sessions") == [("demo",)]
    client.disconnect()

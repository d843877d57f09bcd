"""The README's programs run as they stand, against a real broker, and store what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import auditwire

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
STORED = "stored at Position(topic="
SAYS = ["", STORED, "Counts(recorded=1, stored=1, failed=0, dropped=0, spooled=0, pending=0)", "", STORED, "", "", STORED]
CONFTEST, TESTS = PROGRAMS[len(SAYS) :]


def run(folder: Path, program: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = folder / "first.py"
    path.write_text(program, encoding="utf-8")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AUDITWIRE_")}
    return subprocess.run(
        [sys.executable, path], env={**inherited, **variables}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(("program", "says"), list(zip(PROGRAMS, SAYS, strict=False)), ids=range(len(SAYS)))
def test_programs_run(env: dict[str, str], tmp_path: Path, program: str, says: str) -> None:
    spool = {"AUDITWIRE_SPOOL_DIR": str(tmp_path / "spool"), "AUDITWIRE_SPOOL_KEY": "0f" * 32}
    done = run(tmp_path, program, {k: v for k, v in env.items() if k in documented()} | spool)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert done.stderr == ""


GUIDE = (ROOT.parents[1] / "docs" / "getting-started-agents.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("program", re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
def test_programs_of_the_guide_run_without_servers(tmp_path: Path, program: str) -> None:
    done = run(tmp_path, program, {"AUDITWIRE_TRANSPORT": "print"})
    assert done.returncode == 0, done.stderr
    assert "tool.invoked" in done.stderr and "not refunded" not in done.stdout


def test_the_first_program_has_three_lines_and_runs_without_servers(tmp_path: Path) -> None:
    assert len([line for line in PROGRAMS[0].splitlines() if line]) == 3
    done = run(tmp_path, PROGRAMS[0], {"AUDITWIRE_TRANSPORT": "print"})
    assert (done.returncode, done.stdout) == (0, "")
    notice, event = done.stderr.splitlines()
    assert "STORED NOWHERE" in notice
    assert re.fullmatch(
        r'[\d:.]{15} demo/shop-agent #0 tool.invoked success event_id="[0-9a-f-]{36}" tool_name="search_orders"', event
    )


def test_the_example_of_a_test_passes_and_can_fail(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    for name, text in (
        ("test_good.py", TESTS),
        ("test_bad.py", TESTS.replace('none("tool.invoked"', 'none("approval.requested"')),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed, 5 passed" in done.stdout, done.stdout
    assert "1 events are {'event_type': 'approval.requested'}, expected none. Recorded:" in done.stdout


def documented() -> set[str]:
    return set(re.findall(r"`(AUDITWIRE_[A-Z_]+)`", README))


def test_every_variable_that_is_read_is_documented_and_the_other_way_round() -> None:
    source = (ROOT / "src/auditwire/_settings.py").read_text(encoding="utf-8")
    assert set(re.findall(r"AUDITWIRE_[A-Z_]+[A-Z]", source)) == documented()


def test_public_names() -> None:
    assert {n for n in vars(auditwire) if not n.startswith("_") and n not in ("testing", "pytest_plugin", "redaction")} == set(
        auditwire.__all__
    )
    for name in auditwire.__all__:
        assert name in ("SCHEMA", "Mode") or getattr(auditwire, name).__doc__, name


def test_the_distribution_is_typed_and_needs_kafkas_client_only() -> None:
    assert (ROOT / "src/auditwire/py.typed").exists()
    assert 'dependencies = ["confluent-kafka>=2.6"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")

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
SAYS = ["stored at Position(topic=", "Counts(recorded=1, stored=1, failed=0)", "", "", "stored at Position(topic=", ""]


def test_there_is_an_expectation_for_each_program() -> None:
    assert len(PROGRAMS) == len(SAYS)


@pytest.mark.parametrize(("program", "says"), list(zip(PROGRAMS, SAYS, strict=False)), ids=range(len(PROGRAMS)))
def test_programs_run(env: dict[str, str], tmp_path: Path, program: str, says: str) -> None:
    path = tmp_path / "first.py"
    path.write_text(program, encoding="utf-8")
    variables = {k: v for k, v in env.items() if k in documented()}
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AUDITWIRE_")}
    done = subprocess.run(
        [sys.executable, path], env={**inherited, **variables}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert done.stderr == ""


def documented() -> set[str]:
    return set(re.findall(r"`(AUDITWIRE_[A-Z_]+)`", README))


def test_every_variable_that_is_read_is_documented_and_the_other_way_round() -> None:
    source = (ROOT / "src/auditwire/_settings.py").read_text(encoding="utf-8")
    assert set(re.findall(r"AUDITWIRE_[A-Z_]+[A-Z]", source)) == documented()


def test_public_names() -> None:
    assert {n for n in vars(auditwire) if not n.startswith("_") and n != "testing"} == set(auditwire.__all__)
    for name in auditwire.__all__:
        assert name == "SCHEMA" or getattr(auditwire, name).__doc__, name


def test_the_distribution_is_typed_and_needs_kafkas_client_only() -> None:
    assert (ROOT / "src/auditwire/py.typed").exists()
    assert 'dependencies = ["confluent-kafka>=2.6"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")

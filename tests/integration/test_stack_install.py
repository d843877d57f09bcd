"""`make install` says what this machine lacks, installs nothing twice, and nothing without a hash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra import install
from infra.stack.stack import CHECKOUT

CHECK = "import runpy, sys; m = runpy.run_path('infra/install.py'); {}; m['check']()"


def check(change: str, path: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CHECK.format(change)],
        cwd=CHECKOUT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert "Maven (mvn) is missing" in check("pass", str(tmp_path))
    assert "needs Python 3.11" in check("sys.version_info = (3, 10, 4)", str(tmp_path))
    assert "apt install python3-venv" in check("sys.modules['ensurepip'] = None", str(tmp_path))


def test_uv_comes_with_its_hashes() -> None:
    entry = install.pinned("uv").splitlines()
    assert entry[0].startswith("uv==")
    assert len(entry) > 1
    assert all(line.strip().startswith("--hash=sha256:") for line in entry[1:])

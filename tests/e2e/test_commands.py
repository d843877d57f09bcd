"""The commands of the README, run as a newcomer would: make up, look around, make status, make down; make demo."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from infra.stack.stack import CHECKOUT
from tests.waiting import until

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def make(target: str, state: Path, seconds: float = 240) -> subprocess.CompletedProcess[str]:
    env = {n: v for n, v in os.environ.items() if not n.startswith("AUDITWIRE_")} | {"AUDITWIRE_STATE_DIR": str(state)}
    return subprocess.run(
        ["make", "-s", target],
        cwd=CHECKOUT,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def running_in(state: Path) -> list[int]:
    """Processes whose command line or environment names the state directory."""
    processes = psutil.process_iter(["pid", "cmdline"])
    return [int(p.info["pid"]) for p in processes if any(str(state) in word for word in p.info["cmdline"] or ())]


@pytest.mark.timeout(400)
def test_up_look_around_status_down(tmp_path: Path) -> None:
    state = tmp_path / "state"
    up = make("up", state)
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        status = make("status", state)
        assert status.returncode == 0, status.stdout
        names = {line.split()[0] for line in status.stdout.splitlines()}
        assert {"ingest", "processor", "clickhouse-sink", "archive-sink", "export", "kafka", "clickhouse"} <= names
        assert (state / "env").stat().st_mode & 0o777 == 0o600
        fed = make("feed", state)
        assert fed.returncode == 0 and "Fed " in fed.stdout, fed.stdout + fed.stderr
        shown = _readme_query(state)
        assert shown.returncode == 0 and "event_type" in shown.stdout, shown.stdout + shown.stderr
    finally:
        down = make("down", state)
    assert down.returncode == 0, down.stdout + down.stderr
    assert make("status", state).returncode != 0
    fed = make("feed", state)
    assert fed.returncode != 0 and "`make up` first" in fed.stdout, fed.stdout + fed.stderr
    _none_left(state)


def _readme_query(state: Path) -> subprocess.CompletedProcess[str]:
    """The shell snippet of the README, once what was fed is there."""
    snippet = re.search(r"```sh\n(\. \.auditwire/env.*?)```", README, re.DOTALL)
    assert snippet, "the README has no snippet for looking around"
    wait = f"""
. {state}/env
until curl -s "$AUDITWIRE_CLICKHOUSE_URL" -H "X-ClickHouse-User: $AUDITWIRE_CLICKHOUSE_USER" \
  -H "X-ClickHouse-Key: $AUDITWIRE_CLICKHOUSE_PASSWORD" --data-binary "SELECT count() > 0 FROM audit.events" | grep -q 1
do :; done
"""
    text = wait + snippet[1].replace(". .auditwire/env", f". {state}/env")
    return subprocess.run(["bash", "-ec", text], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.timeout(400)
def test_demo(tmp_path: Path) -> None:
    done = make("demo", tmp_path / "state")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    for words in ("What an analyst sees", "What compliance gets", "Parquet", "each once"):
        assert words in done.stdout
    assert (tmp_path / "state" / "demo" / "extract" / "manifest.json").exists()
    _none_left(tmp_path / "state")


def _none_left(state: Path) -> None:
    until(lambda: not running_in(state), 20, lambda: f"processes are left: {running_in(state)}")

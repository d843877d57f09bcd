"""The supervisor starts again what dies, and however it ends itself, it leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.stack import StackError, own, report
from infra.stack.__main__ import busy
from infra.stack.stack import CHECKOUT
from infra.stack.supervisor import Row
from pipeline import settings
from tests.waiting import until


class Supervised:
    """A supervisor in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said = directory.with_suffix(".out")
        script = CHECKOUT / "tests/integration/supervised.py"
        with self.said.open("wb") as out:
            command = [sys.executable, str(script), str(directory)]
            environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
        until(lambda: self.is_up() or self.process.poll() is not None, 40)
        assert self.process.poll() is None, self.said.read_text()

    def is_up(self) -> bool:
        found = report.read(self.directory)
        return bool(found and found.up and found.pid == self.process.pid)

    def row(self, name: str) -> Row:
        found = report.read(self.directory)
        assert found
        return next(r for r in found.rows if r.name == name)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    one = Supervised(tmp_path / "state")
    yield one
    if one.process.poll() is None:
        one.process.terminate()
    one.process.wait()


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(supervised: Supervised, number: signal.Signals) -> None:
    family = supervised.family()
    assert len(family) > 5  # the part, PostgreSQL and its workers
    supervised.process.send_signal(number)
    code = supervised.process.wait(30)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 128 + number)
    until(lambda: all(gone(p) for p in family), 10)
    assert not busy(supervised.directory)


def test_it_starts_again_after_kill(supervised: Supervised) -> None:
    supervised.process.kill()
    supervised.process.wait()
    again = Supervised(supervised.directory)
    again.process.terminate()
    assert again.process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.parametrize("name", ["postgres", "export"])
def test_what_dies_is_started_again(supervised: Supervised, name: str) -> None:
    old = supervised.row(name).pid
    assert old
    os.kill(old, signal.SIGKILL)
    until(lambda: supervised.row(name).pid not in (None, old) and supervised.row(name).state == "running", 40)
    assert supervised.row(name).restarts == 1
    said = supervised.said.read_text()
    assert f"{name} ended with exit code -9" in said
    assert ("the part speaks" if name == "export" else "database system is ready") in said


def test_a_part_gets_its_own_settings_and_nothing_else(supervised: Supervised) -> None:
    environment = psutil.Process(supervised.row("export").pid).environ()
    mine = {n: v for n, v in environment.items() if n.startswith(("AUDITWIRE_", "AWS_"))}
    assert set(mine) <= set(settings.names_of(settings.Export))
    assert supervised.row("export").endpoint == f"http://{settings.load(settings.Export, mine).listen}"


def test_files_for_people_are_private_and_complete(supervised: Supervised) -> None:
    for name in ("env", "operator.env"):
        path = supervised.directory / name
        assert path.stat().st_mode & 0o077 == 0
        shown = subprocess.run(
            ["bash", "-ec", f"set -u; . {path}; env"],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": os.environ["PATH"]},
        ).stdout
        found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        if name == "env":
            assert found["AUDITWIRE_CLICKHOUSE_USER"] == "analyst"
            assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} < found.keys()
            assert len([n for n in found if n.startswith("AUDITWIRE_")]) == 17
        else:
            for tool in settings.ALL.keys() - settings.PARTS.keys():
                settings.load(settings.ALL[tool], found)


def test_some_servers_of_ones_own_are_refused() -> None:
    all_set = dict.fromkeys(own.OWN, "x")
    assert own.uses_own_servers(all_set)
    assert not own.uses_own_servers({})
    with pytest.raises(StackError, match="AUDITWIRE_KAFKA_BOOTSTRAP set, but not AUDITWIRE_SCHEMA_REGISTRY_URL"):
        own.uses_own_servers({"AUDITWIRE_KAFKA_BOOTSTRAP": "x"})
    with pytest.raises(StackError, match="AUDITWIRE_KAFKA_BOTSTRAP"):
        own.uses_own_servers({"AUDITWIRE_KAFKA_BOTSTRAP": "x"})


def test_settings_of_the_user() -> None:
    local = {"AUDITWIRE_KAFKA_BOOTSTRAP": "here", "AUDITWIRE_INGEST_LISTEN": "127.0.0.1:1", "AUDITWIRE_S3_ENDPOINT": "here"}
    mine = {"AUDITWIRE_INGEST_LISTEN": "127.0.0.1:8080", "AUDITWIRE_PROCESSOR_LINGER_MS": "5", "HOME": "/"}
    assert own.settings_for(mine, local, False) == {**local, **{n: v for n, v in mine.items() if n != "HOME"}}
    theirs = {"AUDITWIRE_KAFKA_BOOTSTRAP": "there"}
    assert own.settings_for(theirs, local, True) == {**theirs, "AUDITWIRE_INGEST_LISTEN": "127.0.0.1:1"}


def test_status_and_down_without_a_stack(tmp_path: Path) -> None:
    for command, code in (("status", 1), ("down", 0)):
        argv = [sys.executable, "-m", "infra.stack", "--dir", str(tmp_path / "none"), command]
        done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert (done.returncode, "nothing runs" in done.stdout) == (code, True), done.stderr

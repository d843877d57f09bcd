"""The programs that tests need are found, installed, or asked for; packages come from a folder here, not from the network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra import tools
from infra.stack.stack import CHECKOUT


def program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_tool_is_taken_from_path_in_order_or_as_named(tmp_path: Path) -> None:
    chromium, promtool = tools.TOOLS
    env = {"PATH": str(tmp_path)}
    assert tools.find(chromium, env) is None
    chrome = program(tmp_path, "google-chrome")
    assert tools.find(chromium, env) == str(chrome)
    assert tools.find(chromium, env | {"CHROMIUM": str(program(tmp_path, "mine"))}) == str(tmp_path / "mine")
    assert tools.find(promtool, env) is None
    with pytest.raises(tools.MissingError, match="PROMTOOL names /nowhere"):
        tools.find(promtool, env | {"PROMTOOL": "/nowhere"})


def test_what_is_missing_is_installed_once_and_without_questions(tmp_path: Path) -> None:
    env, ran = {"PATH": str(tmp_path)}, list[Sequence[str]]()
    program(tmp_path, "chromium")

    def install(argv: Sequence[str]) -> int:
        ran.append(argv)
        if argv[-1] == "prometheus":
            program(tmp_path, "promtool")
        return 0

    assert tools.ensure(install, may_install=True, env=env) == []
    assert [argv[argv.index("-o") + 2] for argv in ran] == ["update", "install"]
    assert list(ran[1][-4:]) == ["install", "-y", "--no-install-recommends", "prometheus"]
    assert tools.ensure(install, may_install=True, env=env) == []
    assert len(ran) == 2


def test_what_cannot_be_installed_is_named_with_what_to_do(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path)}
    assert tools.ensure(lambda _: 1, may_install=True, env=env) == list(tools.TOOLS)
    assert tools.ensure(lambda _: pytest.fail("nobody may install"), may_install=False, env=env) == list(tools.TOOLS)
    assert "apt install chromium prometheus" in tools.advice(tools.TOOLS)
    env = {**os.environ, "CHROMIUM": "/nowhere"}
    ended = subprocess.run([sys.executable, "infra/tools.py"], cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "CHROMIUM names /nowhere" in ended.stderr


def test_no_service_is_started_while_packages_are_installed(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with tools.nothing_started(policy):
        assert subprocess.run([policy, "prometheus", "start"], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text("the owner's")
    with tools.nothing_started(policy):
        pass
    assert policy.read_text() == "the owner's"

"""`make tools`: the programs of this machine that only tests use, a Chromium and promtool. Standard library only.

What is on PATH is taken; `CHROMIUM` and `PROMTOOL` name others. What is missing is installed by apt-get where that is possible.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tool:
    """A program: the variable that names it, the names it goes by, and Debian's package."""

    variable: str
    names: tuple[str, ...]
    package: str


TOOLS = (
    Tool("CHROMIUM", ("chromium", "chromium-browser", "google-chrome"), "chromium"),
    Tool("PROMTOOL", ("promtool",), "prometheus"),
)


class MissingError(Exception):
    """A tool is not there; the text says what to install or set."""


def find(tool: Tool, env: Mapping[str, str] = os.environ) -> str | None:
    """Path of the program, or None. Raises MissingError where its variable names something that is no program."""
    if named := env.get(tool.variable):
        if (path := shutil.which(named, path=env.get("PATH"))) is None:
            raise MissingError(f"{tool.variable} names {named}, which is no program: correct it, or unset it to search PATH.")
        return path
    return next((path for name in tool.names if (path := shutil.which(name, path=env.get("PATH")))), None)


def chromium() -> str:
    """Path of the browser. Raises MissingError."""
    return _needed(TOOLS[0])


def promtool() -> str:
    """Path of promtool. Raises MissingError."""
    return _needed(TOOLS[1])


def _needed(tool: Tool) -> str:
    if (path := find(tool)) is None:
        raise MissingError(advice([tool]))
    return path


def advice(missing: Sequence[Tool]) -> str:
    """What to do by hand."""
    packages, variables = " ".join(t.package for t in missing), " and ".join(t.variable for t in missing)
    return f"The tests need {packages}. Install it (Debian: apt install {packages}) or give its path in {variables}."


def ensure(run: Callable[[Sequence[str]], int], *, may_install: bool, env: Mapping[str, str] = os.environ) -> list[Tool]:
    """Install what is missing through ``run`` (an argument list, returns the exit code); returns what is missing still."""
    missing = [tool for tool in TOOLS if find(tool, env) is None]
    if missing and may_install:
        sys.stdout.write(f"installing {' and '.join(t.package for t in missing)} for the tests\n")
        sys.stdout.flush()
        for argv in (["update"], ["install", "-y", "--no-install-recommends", *(t.package for t in missing)]):
            if run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *argv]):
                break
        missing = [tool for tool in missing if find(tool, env) is None]
    return missing


def quietly(argv: Sequence[str]) -> int:
    """Run without questions; what it said is shown only where it failed."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
    return done.returncode


@contextmanager
def nothing_started(policy: Path = Path("/usr/sbin/policy-rc.d")) -> Iterator[None]:
    """While this lasts, packages that are installed do not start their services: Debian's scripts ask this file first."""
    if policy.exists():  # the machine's owner has decided already
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def main() -> None:
    """Ends with a text that says what to install where something is missing."""
    may_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    try:
        if all(find(tool) for tool in TOOLS):
            return
        with nothing_started() if may_install else nullcontext():
            missing = ensure(quietly, may_install=may_install)
    except MissingError as exc:
        sys.exit(str(exc))
    if missing:
        sys.exit(advice(missing))


if __name__ == "__main__":
    main()

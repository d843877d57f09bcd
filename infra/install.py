"""`make install`: the environment in .venv, from nothing but Python. Runs on whatever `python3` is; standard library only."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "auditwire-installed"
VERSION = ".".join(map(str, sys.version_info[:3]))
INPUTS = ("requirements.txt", "pyproject.toml", "connectors/sdk/pyproject.toml", "infra/install.py")


def check() -> None:
    """End with a text that says what to install when something this machine must have is missing."""
    if sys.version_info < (3, 11):  # noqa: UP036 this file also runs on an older one, to say so
        sys.exit(
            f"Auditwire needs Python 3.11 or newer, and {sys.executable} is {VERSION}. Name another: make PYTHON=python3.11 ..."
        )
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        sys.exit(
            f"{sys.executable} cannot make virtual environments: install its venv package (Debian: apt install python3-venv)"
        )
    if shutil.which("mvn") is None:
        sys.exit("Maven (mvn) is missing; it fetches Kafka and the schema registry. Install it (Debian: apt install maven)")


def wanted() -> str:
    """Python's version and a digest: one that differs from the stamp's means install again."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return f"{VERSION} {digest.hexdigest()}"


def stamp() -> str:
    """What was wanted when the last installation ended well; empty when it did not."""
    return STAMP.read_text(encoding="utf-8") if STAMP.exists() else ""


def pinned(package: str) -> str:
    """The entry of ``package`` in requirements.txt: its version and its hashes."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"{package}=="))
    last = next(i for i in range(first, len(lines)) if not lines[i].endswith("\\"))
    return "\n".join(lines[first : last + 1]) + "\n"


def run(*argv: object) -> None:
    """Run a program; its failure ends this one with a text that names it."""
    command = [str(a) for a in argv]
    environment = {**os.environ, "VIRTUAL_ENV": str(VENV), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    code = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        sys.exit(f"install: `{' '.join(command)}` ended with exit code {code}; what it said is above")


def install() -> None:
    """pip installs one package, uv; uv installs the rest. Every file is checked against its hash."""
    whole = stamp().startswith(f"{VERSION} ")  # otherwise another Python's, or half of one
    STAMP.unlink(missing_ok=True)
    if not whole:
        run(sys.executable, "-m", "venv", "--clear", VENV)
    only_uv = ROOT / ".cache" / "uv-requirement.txt"
    only_uv.write_text(pinned("uv"), encoding="utf-8")
    run(VENV / "bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", only_uv)
    uv = (VENV / "bin/uv", "pip", "install", "--quiet", "--python", VENV / "bin/python")
    run(*uv, "--require-hashes", "-r", "requirements.txt")
    run(*uv, "--no-deps", "--no-build-isolation", "-e", "connectors/sdk", "-e", ".")
    STAMP.write_text(wanted(), encoding="utf-8")


def main() -> None:
    """Does nothing when everything is installed already."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / "install.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp() != wanted():
            check()
            sys.stdout.write("installing into .venv (1.7 GB, most of it the servers)\n")
            sys.stdout.flush()
            install()
        run(VENV / "bin/python", "-m", "infra.stack", "install")


if __name__ == "__main__":
    main()

"""What every server of the stack is to the class Stack."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.stack import child, install
from infra.stack.state import State

TEMPLATES = Path(__file__).with_name("templates")
HOST = "127.0.0.1"


class StackError(Exception):
    """The stack cannot do what was asked; the text says why and what to do."""


@dataclass(frozen=True)
class Place:
    """Where a stack lives and how it runs."""

    directory: Path
    cache: Path
    state: State
    fast_jvm: bool
    namespaces: tuple[str, ...]
    analysed: tuple[str, ...]
    advertised: dict[str, int] = field(default_factory=dict)
    """Server → port of a proxy in front of it that it is to name to clients (tests)."""


class Server(ABC):
    """One server: how to prepare, start, ask and stop it. ``needs`` names servers that must answer before it starts."""

    name: str
    needs: tuple[str, ...] = ()
    stop_signal: int = signal.SIGTERM

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ports = place.state.ports
        self.secrets = place.state.secrets
        self.data = place.directory / self.name

    @abstractmethod
    def prepare(self) -> None:
        """Write configuration, and at the first start the empty data directory. Called before each start."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments: no secret among them, everybody can read those."""

    def environment(self) -> dict[str, str]:
        """Environment variables of its own."""
        return {}

    @property
    def userns(self) -> bool:
        """Whether it must run in a user namespace of its own."""
        return False

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers a real request now; may raise anything while it does not."""

    def settle(self) -> None:  # noqa: B027 most servers need nothing
        """Called once it is ready: what can only be set up by asking the server."""

    def ended(self) -> None:  # noqa: B027 most servers leave nothing
        """Called once it has ended: remove what it leaves outside its data directory."""

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """Where clients find it."""

    def run(self, argv: Sequence[object], *, userns: bool = False) -> None:
        """Run a helper program to its end. Raises StackError with the end of what it said on stderr."""
        done = subprocess.run(
            child.wrapped(argv, userns=userns),
            env=base_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            umask=0o077,
            check=False,
        )
        if done.returncode:
            raise StackError(f"{argv[0]} failed while {self.name} was prepared: {done.stderr[-1500:]}")

    def java(self, heap_mb: int) -> list[str]:
        """The JVM with flags that keep it small; class archives of earlier starts make it quick."""
        quick = ["-XX:TieredStopAtLevel=1"] if self.place.fast_jvm else []
        archive = self.place.cache / f"{self.name}.jsa"
        shared = ["-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={archive}"]
        # Vert.x and native libraries put files there under fixed names: in /tmp another user's would be in the way.
        temporary = self.place.directory / "tmp"
        temporary.mkdir(exist_ok=True, mode=0o700)
        shared += [f"-Djava.io.tmpdir={temporary}", "-XX:-UsePerfData"]
        logs = [
            "-Xlog:disable",
            "-Xlog:all=error:stderr",
            "-XX:+IgnoreUnrecognizedVMOptions",
            "--sun-misc-unsafe-memory-access=allow",
        ]
        return [str(install.jre() / "bin/java"), f"-Xmx{heap_mb}m", "-Xms64m", "-XX:+UseSerialGC", *quick, *shared, *logs]


def base_environment() -> dict[str, str]:
    """What every child gets of our own environment: nothing that could carry a credential."""
    keep = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE")
    return {k: os.environ[k] for k in keep if k in os.environ}


def fill(template: str, values: dict[str, object]) -> str:
    """Text of a file in ``templates/`` with each ``{{name}}`` replaced."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", str(value))
    if "{{" in text:
        raise StackError(f"templates/{template}: no value for {text[text.index('{{') :].split('}}')[0]}}}}}")
    return text


def http_status(url: str) -> int:
    """Status of a GET; raises OSError when nobody answers within a second."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code

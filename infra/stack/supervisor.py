"""Runs servers and parts together, and starts again what dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.stack import Stack, child, parts, state
from infra.stack.server import StackError, base_environment
from infra.stack.stack import tail
from pipeline import settings

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0  # seconds before a start again; doubled while it does not stay up
STAYED_UP = 30.0


@dataclass
class Row:
    """One process as `make status` shows it."""

    name: str
    pid: int | None
    state: str
    endpoint: str
    restarts: int = 0


@dataclass(frozen=True)
class Status:
    """What a supervisor says of itself; ``up``: everything has answered once."""

    pid: int
    up: bool
    rows: list[Row]


class Supervisor:
    """``with Supervisor(stack, env) as s:`` servers, `auditwired migrate`, every part; all answer when the body begins.

    ``stack`` may have no servers (``names=()``): then ``env`` points at servers elsewhere. ``say`` gets a line for people at
    each step and whenever something dies, with the end of its log. ``migrate`` and ``commands`` replace the programs.
    """

    def __init__(
        self,
        stack: Stack,
        env: Mapping[str, str],
        say: Callable[[str], None] = print,
        *,
        migrate: Sequence[str] = (sys.executable, "-m", "pipeline", "migrate"),
        commands: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.stack, self.env, self._say, self._migrate = stack, dict(env), say, migrate
        self._servers = stack.names
        commands = commands if commands is not None else {p: [sys.executable, "-m", "pipeline", p] for p in parts.PARTS}
        for name, argv in commands.items():
            stack.add(parts.Part(stack.place, name, parts.environment_of(name, self.env, stack.place), argv))
        self._rows = {n: Row(n, None, "stopped", stack.servers[n].endpoint) for n in stack.names}
        self._up, self._ending = False, threading.Event()
        self._threads: list[threading.Thread] = []
        self._write_lock = threading.Lock()

    def start(self) -> None:
        """Returns when everything answers. Raises StackError (with the end of the log of what failed) or InstallError."""
        self.stack.claim()
        self._write()
        if self._servers:
            self._say(f"starting {', '.join(self._servers)}")
            self._start(self._servers)
        self._say("auditwired migrate: topics, users' rights, schemas, tables, buckets")
        self._provision()
        names = tuple(n for n in self.stack.names if n not in self._servers)
        self._say(f"starting {', '.join(names)}")
        self._start(names)
        self._threads = [threading.Thread(target=self._keep, args=(n,), name=f"keep-{n}", daemon=True) for n in self.stack.names]
        for thread in self._threads:
            thread.start()

    def announce(self) -> None:
        """Say in the status file that everything answers; called once people's files are written, too."""
        self._up = True
        self._write()

    def _start(self, names: Sequence[str]) -> None:
        if names:
            self.stack.start(*names)
        for name in names:
            self._set(name, "running")

    def _provision(self) -> None:
        env = {**base_environment(), **parts.only(settings.Migrate, self.env)}
        log = self.stack.log("migrate")
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with log.open("wb") as out:
            done = subprocess.run(
                child.wrapped(self._migrate), env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False
            )
        if done.returncode:
            raise StackError(f"`auditwired migrate` ended with exit code {done.returncode}. {tail(log)}")

    def _keep(self, name: str) -> None:
        """Start ``name`` again whenever it ends, after a pause that grows while it does not stay up."""
        pause, since = FIRST_PAUSE, time.monotonic()
        while not self._ending.wait(0.1):
            code = self.stack.poll(name)
            if code is None:
                continue
            pause = FIRST_PAUSE if time.monotonic() - since > STAYED_UP else min(pause * 2, LONGEST_PAUSE)
            self._say(f"{name} ended with exit code {code}, starts again in {pause:.2f} s. {tail(self.stack.log(name))}")
            self._set(name, "restarting", restarts=self._rows[name].restarts + 1)
            if self._ending.wait(pause):
                return
            since = time.monotonic()
            self._again(name)

    def _again(self, name: str) -> None:
        try:
            self.stack.launch(name)
            self._set(name, "starting")
            self.stack.wait(name, cancelled=self._ending)
        except Exception as exc:
            self._say(str(exc))
            if self.stack.poll(name) is None:
                self.stack.kill(name)
        else:
            self._set(name, "running")
            self._say(f"{name} answers again (pid {self.stack.pid(name)})")

    def pid(self, name: str) -> int | None:
        """Process id now, None while it is down."""
        return self.stack.pid(name)

    def answers(self, name: str) -> bool:
        """True when the process answers a real request now."""
        return self.stack.answers(name)

    def rows(self) -> list[Row]:
        """Every process as it is now."""
        return list(self._rows.values())

    def _set(self, name: str, word: str, restarts: int | None = None) -> None:
        row = self._rows[name]
        row.pid, row.state = self.stack.pid(name), word
        row.restarts = row.restarts if restarts is None else restarts
        self._write()

    def _write(self) -> None:
        with self._write_lock:
            now = Status(os.getpid(), self._up, self.rows())
            state.private(status_file(self.stack.directory), json.dumps(asdict(now)))

    def stop(self) -> None:
        """End everything cleanly: parts first, what others need last."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        status_file(self.stack.directory).unlink(missing_ok=True)
        self.stack.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def status_file(directory: Path) -> Path:
    """Where a running supervisor says what it runs."""
    return directory / "status.json"

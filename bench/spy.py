"""What one process spends, seen from outside: CPU of its threads from /proc, samples of its stacks by py-spy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from bench.profile_areas import Thread

Used = dict[int, tuple[str, float]]


class SpyError(Exception):
    """py-spy is missing or refused; the text says what to do."""


@dataclass(frozen=True)
class Spy:
    """The profiler; it may look at what `ptrace` allows: as root every process."""

    program: str

    @classmethod
    def found(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """PY_SPY, or what is on PATH. Raises SpyError."""
        program = environ.get("PY_SPY") or shutil.which("py-spy", path=environ.get("PATH"))
        if not program:
            raise SpyError(
                "py-spy is not on PATH: `uv tool install py-spy` or `pipx install py-spy`, or name the program in PY_SPY"
            )
        return cls(program)

    def names(self, pid: int) -> dict[int, str]:
        """Thread id → name, of the threads that Python knows."""
        said = json.loads(self._said("dump", "--json", "--pid", str(pid)))
        return {one["os_thread_id"]: one["thread_name"] or "Python thread without a name" for one in said}

    def record(self, pid: int, seconds: float, hertz: int, out: Path, meanwhile: Callable[[float], object]) -> str:
        """Stacks of threads that run, native frames included, with how often each was seen. Raises SpyError.

        A look stops the process for some milliseconds: the looks may come to fewer a second than ``hertz``.
        """
        argv = [self.program, "record", "--native", "--format", "raw", "--rate", str(hertz), "--output", str(out)]
        log = out.with_suffix(".log")
        with log.open("wb") as file:
            process = subprocess.Popen([*argv, "--pid", str(pid)], stdout=file, stderr=file)
            meanwhile(seconds)
            process.send_signal(signal.SIGINT)  # with a duration it would take so many looks, however long that is
            process.wait()
        if process.returncode:
            raise _refused("record", process.returncode, log.read_text(encoding="utf-8", errors="replace"))
        return out.read_text(encoding="utf-8", errors="replace")

    def _said(self, *argv: str) -> str:
        done = subprocess.run([self.program, *argv], capture_output=True, text=True, check=False)
        if done.returncode:
            raise _refused(argv[0], done.returncode, done.stderr)
        return done.stdout


def _refused(what: str, code: int, said: str) -> SpyError:
    how = "Where it was not permitted: run this as root, or set kernel.yama.ptrace_scope to 0."
    return SpyError(f"py-spy {what} ended with exit code {code}: {said.strip()[-500:]} {how}")


def used(pid: int) -> Used:
    """Thread id → its name as the kernel knows it, and user and system CPU seconds so far."""
    found = {}
    for thread in psutil.Process(pid).threads():
        with suppress(OSError):  # it has ended meanwhile
            comm = Path(f"/proc/{pid}/task/{thread.id}/comm").read_text(encoding="utf-8", errors="replace").strip()
            found[thread.id] = (comm, thread.user_time + thread.system_time)
    return found


def between(before: Used, after: Used, names: Mapping[int, str]) -> list[Thread]:
    """What each thread that is still there has used meanwhile."""
    return [Thread(comm, cpu - before.get(tid, (comm, 0.0))[1], names.get(tid)) for tid, (comm, cpu) in after.items()]

"""Faults on purpose: every process killed with SIGKILL several times, some frozen past their session timeout and let go again."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class Target(Protocol):
    """What the nemesis needs of the supervisor."""

    def pid(self, name: str) -> int | None:
        """Process id now, None while it is down."""
        ...

    def answers(self, name: str) -> bool:
        """True once the process answers a real request."""
        ...


@dataclass
class Nemesis:
    """Works through a shuffled list of faults, one at a time, each followed by a full recovery of its victim."""

    target: Target
    names: list[str]
    frozen: list[str]
    kills: int
    freeze_seconds: float
    seed: int
    gap: float = 2.0
    done: list[str] = field(default_factory=list)
    recovery: dict[str, list[float]] = field(default_factory=dict)

    def run(self, stop: Callable[[], bool]) -> None:
        """All faults; returns early when ``stop()`` says so. Raises TimeoutError when a victim does not come back in 120 s."""
        dice = random.Random(self.seed)
        faults = [(name, "kill") for name in self.names for _ in range(self.kills)] + [(name, "freeze") for name in self.frozen]
        dice.shuffle(faults)
        for name, fault in faults:
            if stop():
                return
            pid = self.target.pid(name)
            if pid is None:
                raise TimeoutError(f"{name} is down before its turn")
            start = time.monotonic()
            if fault == "kill":
                os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.freeze_seconds)
                os.kill(pid, signal.SIGCONT)
            self._recovered(name, pid if fault == "kill" else None, start)
            self.done.append(f"{fault} {name}")
            sys.stderr.write(
                f"  fault {len(self.done)}/{len(faults)}: {fault} {name}, answers again after {time.monotonic() - start:.1f} s\n"
            )
            time.sleep(self.gap * dice.uniform(0.5, 1.5))

    def _recovered(self, name: str, old: int | None, start: float) -> None:
        deadline = start + self.freeze_seconds + 120
        while self.target.pid(name) in (None, old) or not self.target.answers(name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} does not answer 120 s after its fault")
            time.sleep(0.05)
        self.recovery.setdefault(name, []).append(time.monotonic() - start)

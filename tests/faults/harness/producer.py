"""The process that produces, seen from the harness: `tests.faults.harness.load` and its claims."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pipeline import settings


class NotSettled(Exception):  # noqa: N818
    """Something did not happen in time; the text says what."""


@dataclass
class Load:
    """The process that produces; its claims stay when it is killed."""

    env: Mapping[str, str]
    folder: Path
    rate: float
    serial: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.serial += 1
        argv = [sys.executable, "-m", "tests.faults.harness.load", "--seed", str(self.serial), "--rate", str(self.rate)]
        argv += ["--claims", str(self.folder / f"claims-{self.serial}.txt")]
        log = (self.folder / f"load-{self.serial}.log").open("wb")
        self.process = subprocess.Popen(
            argv, env={**_foreign(), **self.env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        log.close()
        self.tell("go")

    def tell(self, command: str, seconds: float = 400) -> dict[str, int]:
        """A command of `tests.faults.harness.load`, and its answer."""
        process = cast(subprocess.Popen[str], self.process)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(command + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], seconds)[0]:
            raise NotSettled(f"the load does not answer {command!r} after {seconds:.0f} s")
        if not (line := process.stdout.readline()):
            raise NotSettled("the load has ended: look at its log")
        return cast(dict[str, int], json.loads(line))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def _foreign() -> dict[str, str]:
    """Our environment without settings of Auditwire."""
    return {name: value for name, value in os.environ.items() if not name.startswith(settings.PREFIX)}

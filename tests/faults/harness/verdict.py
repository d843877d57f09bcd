"""What a run came to: claims of the producers against what each place holds, and what `auditwired fsck` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from bench.oracle import claims, compare, held, identities
from bench.places import archive, clickhouse, settled, topic
from infra.stack.stack import CHECKOUT
from pipeline import settings
from tests.faults.harness.world import World


@dataclass
class Verdict:
    """Numbers of events; ``findings``: places that differ, and what fsck names. Everything but the first three must be empty."""

    attempted: int = 0
    acknowledged: int = 0
    stored: int = 0
    lost: int = 0
    invented: int = 0
    twice: int = 0
    findings: list[str] = field(default_factory=list)
    fsck: int = 0
    seconds: float = 0.0
    fsck_seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not (self.lost or self.invented or self.twice or self.findings or self.fsck)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def verdict(world: World) -> Verdict:
    """Compare everything, the load being paused and settled."""
    began, values = time.monotonic(), settings.load(settings.Operator, world.direct)
    said = claims(world.folder.glob("claims-*.txt"))
    stored = list(identities(clickhouse(values)))
    have = set(stored)
    made = Verdict(len(said.attempted), len(said.acknowledged), len(stored))
    made.lost, made.invented = len(said.acknowledged - have), len(have - said.attempted)
    made.twice = len(stored) - len(have)
    ways = {"clean topic": topic, "ClickHouse": clickhouse, "archive": archive}
    places = [held(name, settled(read(values))) for name, read in ways.items()]
    made.findings += [str(d) for a, b in combinations(places, 2) if (d := compare(a, b)) and (d.only_left or d.only_right)]
    compared = time.monotonic()
    made.fsck, found = fsck(world)
    made.findings += found
    made.seconds, made.fsck_seconds = round(time.monotonic() - began, 1), round(time.monotonic() - compared, 1)
    return made


def stored(world: World) -> tuple[int, int]:
    """Events in ClickHouse and in the archive."""
    values = settings.load(settings.Operator, world.direct)
    return len(list(identities(clickhouse(values)))), len(list(identities(archive(values))))


def tool(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A tool of operators, `auditwired …`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)}
    argv = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(
        argv, cwd=CHECKOUT, env={**clean, **world.direct}, capture_output=True, text=True, timeout=1200, check=False
    )


def fsck(world: World) -> tuple[int, list[str]]:
    """Exit code of `auditwired fsck`, and what it names."""
    done = tool(world, "fsck", "--json")
    if done.returncode not in (0, 1):
        return done.returncode, [done.stderr[-500:]]
    report = json.loads(done.stdout)
    return done.returncode, [f"fsck: {f['kind']} {f['place']} {f.get('text', '')}"[:300] for f in report["findings"][:10]]

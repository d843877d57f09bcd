"""Load for the end-to-end benchmark: one process that records events through the SDK, or posts GitLab events to the receiver.

Writes one line per event to a file: `attempted` before it is handed over, `acknowledged` once its receipt (or the 2xx) is there.
    python -m bench.load sdk --tenant T --count N --seed S --out FILE [--rate EVENTS_PER_SECOND]
    python -m bench.load receiver --count N --seed S --out FILE [--rate …]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx

from auditwire import AuditClient, AuditEvent, AuditwireError, Receipt
from bench import gitlab
from infra.demo.platform import sessions

UNDER_WAY = 1_000  # requests of the receiver's load that may be waited for


class Pace:
    """Holds the caller to ``rate`` events per second (0: no limit)."""

    def __init__(self, rate: float) -> None:
        self.rate, self._start, self._count = rate, time.monotonic(), 0

    def step(self, count: int = 1) -> None:
        self._count += count
        if self.rate:
            ahead = self._start + self._count / self.rate - time.monotonic()
            if ahead > 0.01:
                time.sleep(ahead)


def start_load(
    way: str, tenant: str, count: int, seed: int, rate: float, seen: Mapping[str, str], out: Path
) -> subprocess.Popen[str]:
    """A process of this program; the last line of its standard output is what `main` says. ``seen``: settings of lookers-in."""
    argv = [sys.executable, "-m", "bench.load", way, "--tenant", tenant, "--count", str(count), "--seed", str(seed)]
    argv += ["--rate", str(rate), "--out", str(out)]
    return subprocess.Popen(argv, env={**os.environ, **seen}, stdout=subprocess.PIPE, text=True)


def platform_events(tenant: str, seed: int) -> Iterator[AuditEvent]:
    """An endless agent platform."""
    start = datetime.now(UTC)
    return itertools.chain.from_iterable(sessions(tenant, 1000, seed * 1_000_003 + round_, start) for round_ in itertools.count())


def sdk(tenant: str, count: int, seed: int, rate: float, out: Path) -> int:
    """Record ``count`` events; returns how many were not acknowledged."""
    pace, open_ones, failed = Pace(rate), deque[Receipt](), 0
    with (
        out.open("w", encoding="utf-8") as file,
        AuditClient.from_env(service=f"bench-{seed}", tenant=tenant, max_block=60.0) as client,
    ):

        def settle(receipt: Receipt) -> int:
            try:
                receipt.wait(300)
            except AuditwireError:
                return 1
            file.write(f"acknowledged {tenant} {receipt.event_id}\n")
            return 0

        for event in itertools.islice(platform_events(tenant, seed), count):
            receipt = client.record(event)
            file.write(f"attempted {tenant} {receipt.event_id}\n")
            open_ones.append(receipt)
            while open_ones[0].done():
                failed += settle(open_ones.popleft())
                if not open_ones:
                    break
            pace.step()
        failed += sum(map(settle, open_ones))
    return failed


def receiver(count: int, seed: int, rate: float, out: Path, batch: int = 20) -> int:
    """Post ``count`` GitLab events in arrays of ``batch``, each until it is a 2xx; returns how many never were."""
    url, token = os.environ["AUDITWIRE_INGEST_URL"] + "/v1/gitlab", os.environ["AUDITWIRE_INGEST_TOKEN"]
    pace, failed = Pace(rate), 0
    headers = {"X-Gitlab-Event-Streaming-Token": token, "Content-Type": "application/x-www-form-urlencoded"}

    def post(body: list[dict[str, object]]) -> bool:
        content, wait, deadline = json.dumps(body).encode(), 0.1, time.monotonic() + 600
        while time.monotonic() < deadline:
            try:
                if client.post(url, content=content, headers=headers).is_success:
                    return True
            except httpx.HTTPError:
                pass
            time.sleep(wait)
            wait = min(wait * 2, 2.0)
        return False

    with out.open("w", encoding="utf-8") as file, httpx.Client(timeout=30) as client, ThreadPoolExecutor(8) as pool:
        tasks = deque[tuple[list[dict[str, object]], Future[bool]]]()

        def settle() -> int:
            body, task = tasks.popleft()
            if not task.result():
                return len(body)
            file.writelines(f"acknowledged demo {gitlab.event_id(e)}\n" for e in body)
            return 0

        for at in range(0, count, batch):
            body = [gitlab.event(seed, i) for i in range(at, min(at + batch, count))]
            file.writelines(f"attempted demo {gitlab.event_id(e)}\n" for e in body)
            tasks.append((body, pool.submit(post, body)))
            pace.step(len(body))
            while tasks and (tasks[0][1].done() or len(tasks) > UNDER_WAY):
                failed += settle()
        while tasks:
            failed += settle()
    return failed


def main() -> int:
    """Exit code 0 when everything was acknowledged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=["sdk", "receiver"])
    parser.add_argument("--tenant", default="demo")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    started = time.time()
    if args.way == "sdk":
        failed = sdk(args.tenant, args.count, args.seed, args.rate, args.out)
    else:
        failed = receiver(args.count, args.seed, args.rate, args.out)
    sys.stdout.write(
        json.dumps({"way": args.way, "count": args.count, "failed": failed, "started": started, "ended": time.time()}) + "\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

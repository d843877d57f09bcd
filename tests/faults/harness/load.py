"""A steady load by SDK and receiver: ``python -m tests.faults.harness.load --seed S --rate N --claims FILE``.

`attempted TENANT ID` is written before an event is handed over, `acknowledged TENANT ID` once its receipt or its 2xx is there.
Commands on standard input, each answered by a line of JSON: ``pause`` (answered when every outcome is known), ``go``,
``again N URL`` (the last N requests a second time, to that receiver), ``end``.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import sys
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

import httpx

from auditwire import AuditClient, AuditwireError, DeliveryError, Receipt
from auditwire._modes import Mode
from bench import gitlab
from bench.load import Pace, platform_events

SETTLE_SECONDS = 300.0
BATCH = 10
MODES: tuple[tuple[Mode, float], ...] = (("best_effort", 0.5), ("spooled", 0.2), ("blocking", 0.1))
RECEIVED = 0.2


class Load:
    """The three modes of the SDK and the receiver, each with a thread of its own; ``claims`` gets the lines."""

    def __init__(self, seed: int, rate: float, claims: IO[str]) -> None:
        self._seed, self._rate, self._claims = seed, rate, claims
        self._guard, self._turn, self._goes, self._active = threading.Lock(), threading.Condition(), False, 0
        self.counts = {"attempted": 0, "acknowledged": 0, "failed": 0, "refused": 0}
        self._receipts: queue.Queue[Receipt] = queue.Queue()
        self._posted: deque[bytes] = deque(maxlen=200)
        self._url, self._token = os.environ["AUDITWIRE_INGEST_URL"], os.environ["AUDITWIRE_INGEST_TOKEN"]
        self._client = AuditClient.from_env(service="faults", tenant="faults", deadline=60.0, heartbeat=5.0)
        self._ways = [*(partial(self._sdk, *way) for way in MODES), self._receiver]
        for work in (*self._ways, self._settle):
            threading.Thread(target=self._or_end, args=(work,), daemon=True).start()

    def _or_end(self, work: Callable[[], None]) -> None:
        """A thread that fails takes the process with it, so that nobody waits for it."""
        try:
            work()
        finally:
            traceback.print_exc()
            os._exit(1)

    def go(self) -> None:
        with self._turn:
            self._goes = True
            self._turn.notify_all()

    def pause(self) -> None:
        """Returns when nothing is handed over any more and every outcome is known."""
        with self._turn:
            self._goes = False
            self._turn.wait_for(lambda: not self._active)
        self._receipts.join()
        with suppress(DeliveryError):  # of events that were not acknowledged
            self._client.flush(SETTLE_SECONDS)

    def again(self, count: int, url: str) -> int:
        """Deliver the last requests once more; how many were taken."""
        with httpx.Client(timeout=30) as client:
            return sum(self._post(client, body, url) for body in list(self._posted)[-count:])

    def _said(self, what: str, tenant: str, identity: str) -> None:
        with self._guard:
            self._claims.write(f"{what} {tenant} {identity}\n")
            self.counts[what] += 1

    def _sdk(self, mode: Mode, share: float) -> None:
        """Events of one mode. What is spooled is acknowledged when `record` returns, the rest when its receipt is there."""
        number, pace = MODES.index((mode, share)), Pace(0)
        for event in platform_events("faults", self._seed * len(MODES) + number):
            pace = self._waited(pace, self._rate * share)
            event.event_id = str(uuid.uuid4())
            self._said("attempted", "faults", event.event_id)
            try:
                receipt = self._client.record(event, mode)
            except AuditwireError:
                self.counts["refused"] += 1
                time.sleep(0.05)
            else:
                if mode == "best_effort":
                    self._receipts.put(receipt)
                else:
                    self._said("acknowledged", "faults", receipt.event_id)
            pace.step()

    def _settle(self) -> None:
        while True:
            receipt = self._receipts.get()
            try:
                receipt.wait(SETTLE_SECONDS)
            except AuditwireError:
                self.counts["failed"] += 1
            else:
                self._said("acknowledged", "faults", receipt.event_id)
            self._receipts.task_done()

    def _receiver(self) -> None:
        """GitLab events, each request until it is answered with 2xx."""
        number, mark, pace = 0, random.Random(self._seed).randrange(10**9), Pace(0)
        with httpx.Client(timeout=30) as client:
            while True:
                pace = self._waited(pace, self._rate * RECEIVED)
                batch = [gitlab.event(mark, number + n) for n in range(BATCH)]
                number += BATCH
                for event in batch:
                    self._said("attempted", "demo", gitlab.event_id(event))
                body, wait = json.dumps(batch).encode(), 0.1
                while not self._post(client, body, self._url):
                    time.sleep(wait)
                    wait = min(wait * 2, 1.0)
                for event in batch:
                    self._said("acknowledged", "demo", gitlab.event_id(event))
                self._posted.append(body)
                pace.step(BATCH)

    def _waited(self, pace: Pace, rate: float) -> Pace:
        """The pace to go on with; a new one after a pause, so that nothing is made up for."""
        with self._turn:
            if self._goes and pace.rate:
                return pace
            self._active -= pace.rate > 0
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._goes)
            self._active += 1
        return Pace(rate)

    def _post(self, client: httpx.Client, body: bytes, url: str) -> bool:
        headers = {"X-Gitlab-Event-Streaming-Token": self._token, "Content-Type": "application/x-www-form-urlencoded"}
        try:
            return client.post(f"{url}/v1/gitlab", content=body, headers=headers).is_success
        except httpx.HTTPError:
            return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--claims", type=Path, required=True)
    args = parser.parse_args()
    with args.claims.open("w", encoding="ascii", buffering=1) as claims:
        load = Load(args.seed, args.rate, claims)
        for line in sys.stdin:
            command, *rest = line.split()
            answer: dict[str, int] = {}
            if command == "go":
                load.go()
            elif command == "again":
                answer = {"taken": load.again(int(rest[0]), rest[1])}
            else:
                load.pause()
            sys.stdout.write(json.dumps({**load.counts, **answer}) + "\n")
            sys.stdout.flush()
            if command == "end":
                break
    os._exit(0)  # the client has nothing left to send


if __name__ == "__main__":
    main()

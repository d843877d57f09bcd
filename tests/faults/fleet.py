"""Several processors that die, stop and come back until all input is processed; and the oracle that compares the output."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.processing import Worker, clean_ids, committed, ledger
from tests.space import Space

STOPPED_SECONDS = 9.0  # beyond the session timeout of six


@dataclass
class Fleet:
    """``plans``: each worker that is started takes the next one (TEST_DIE); when they are used up, workers live."""

    space: Space
    size: int = 2
    plans: Sequence[str] = ()
    env: Mapping[str, object] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    deaths: int = 0
    stops: int = 0

    def __post_init__(self) -> None:
        self._plans = iter(self.plans)
        self._serial = itertools.count()
        self._stopped: dict[int, float] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *exc: object) -> None:
        for worker in self.workers.values():
            worker.process.send_signal(signal.SIGCONT)
            worker.kill()

    def run(self, until: Sequence[int], seconds: float = 150) -> None:
        """Until each partition's committed offset is at least ``until``; raises AssertionError at the deadline.

        Workers still run then, and those that were stopped have been woken and heard that they own nothing any more.
        """
        end = time.monotonic() + seconds
        while any(have < want for have, want in zip(committed(self.space), until, strict=True)):
            self._tend()
            if time.monotonic() > end:
                raise AssertionError(f"committed {committed(self.space)} of {list(until)} in {seconds} s: {self.logs()[-3000:]}")
            time.sleep(0.2)
        for worker in [w for w in self.workers.values() if is_stopped(w)]:
            self._wake(worker)

    def _wake(self, worker: Worker) -> None:
        """The moment in which a zombie could do harm: until its log says that its session ended or a new one began."""
        self.stops += 1
        known = len(worker.text())
        worker.process.send_signal(signal.SIGCONT)
        end = time.monotonic() + 10
        while time.monotonic() < end and not any(w in worker.text()[known:] for w in ("session ended", "identities after")):
            time.sleep(0.1)

    def _tend(self) -> None:
        for slot in range(self.size):
            worker = self.workers.get(slot)
            if worker is not None and worker.process.poll() is not None:
                self.deaths += 1
                worker = None
            if worker is None:
                env = {"TEST_DIE": next(self._plans, ""), "PROCESSOR_BATCH_EVENTS": 50, "PROCESSOR_LINGER_MS": 1, **self.env}
                self.workers[slot] = Worker(self.space, f"{next(self._serial)}", ["-m", "tests.faults.worker"], **env)
            elif is_stopped(worker):
                since = self._stopped.setdefault(worker.process.pid, time.monotonic())
                if time.monotonic() - since > STOPPED_SECONDS:
                    del self._stopped[worker.process.pid]
                    self.stops += 1
                    worker.process.send_signal(signal.SIGCONT)

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.space.folder.glob("processor-*.log")))


def is_stopped(worker: Worker) -> bool:
    """Whether the process is stopped by a signal."""
    try:
        return Path(f"/proc/{worker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def violations(space: Space, expected: Mapping[int, Sequence[str]]) -> list[str]:
    """What is wrong: each output partition must be the same list as its input, and the ledger must tile the input."""
    wrong = []
    for partition, ids in expected.items():
        have, want = clean_ids(space, partition), list(ids)
        if have != want:
            missing, double = len(set(want) - set(have)), len(have) - len(set(have))
            wrong.append(f"events[{partition}]: {len(have)} for {len(want)}, {missing} missing, {double} double")
        position = 0
        for entry in ledger(space, partition):
            if entry["start_offset"] != position:
                wrong.append(f"ledger[{partition}]: {entry['start_offset']} after {position}")
            if entry["read"] != entry["clean"] + entry["quarantined"] + entry["duplicates"]:
                wrong.append(f"ledger[{partition}]: counts of {entry['start_offset']} do not add up")
            if entry["duplicates"]:
                wrong.append(f"ledger[{partition}]: {entry['duplicates']} called duplicates, but the input has none")
            position = entry["end_offset"]
    return wrong

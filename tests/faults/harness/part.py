"""A part that does itself harm when told to: ``python -m tests.faults.harness.part PART ORDERS [OFF…]``.

``ORDERS`` is a file that does not exist as a rule. A line in it is obeyed once, where it fits, by whoever takes the file away:

    kill POINT | stop POINT   SIGKILL or SIGSTOP at the named point
    fail produced             the transaction fails after its records were judged
    lie N                     Faust "loses", doubles or delays the next N chunks
    fill SECONDS              the archive's temporary folder is full for so long

``OFF`` names mechanisms that are switched off (`tests.faults.harness.controls`).
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from connectors import kafka_lanes
from connectors.clickhouse import store
from connectors.kafka_chunks import Chunk
from pipeline import log, settings
from pipeline.processor import Processor
from pipeline.sink import archive, clickhouse
from tests.points import SIGNALS, strike


class Orders:
    """The file with what to do next. One look at the file system a point: only this program pays for it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, *fitting: str) -> list[str] | None:
        """The words of the order if it begins with one of ``fitting``; it is gone then."""
        try:
            words = self._path.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return None
        if " ".join(words) not in fitting and words[0] not in fitting:
            return None
        try:
            self._path.rename(self._path.with_suffix(".taken"))
        except FileNotFoundError:  # the other instance was quicker
            return None
        return words

    def point(self, name: str) -> None:
        """The hook of the part's named points."""
        words = self.take(f"kill {name}", f"stop {name}", f"fail {name}")
        if words is None:
            return
        if words[0] == "fail":
            raise KafkaException(RuntimeError("the broker is gone"))
        strike(SIGNALS[words[0]])


class Liar:
    """What a buggy Faust could do to chunks: lose them, double them, deliver them much later."""

    def __init__(self, orders: Orders) -> None:
        self._orders, self._left, self._held = orders, 0, list[Chunk]()
        self._dice = random.Random(os.getpid())

    def __call__(self, chunk: Chunk) -> None:
        if words := self._orders.take("lie"):
            self._left = int(words[1])
        if not self._left:
            chunk.lane.offer(chunk)
            while self._held:
                late = self._held.pop()
                late.lane.offer(late)
            return
        self._left -= 1
        lie = self._dice.choice(("lost", "doubled", "late"))
        if lie == "doubled":
            chunk.lane.offer(chunk)
            chunk.lane.offer(chunk)
        elif lie == "late":
            self._held.append(chunk)


def fill(orders: Orders, folder: Path) -> None:
    """Fills the disk under a folder when ordered to, and gives the room back later."""
    filler = folder / "filler"
    while True:
        time.sleep(0.1)
        words = orders.take("fill")
        if words is None:
            continue
        with suppress(OSError), filler.open("wb", buffering=0) as out:
            while True:
                out.write(bytes(1 << 12))
        time.sleep(float(words[1]))
        filler.unlink()


def processor(orders: Orders, off: Sequence[str]) -> int:
    values = settings.load(settings.Processor)
    safety = kafka_lanes.Safety(**dict.fromkeys(off, False))
    made = Processor(values, safety=safety, points=orders.point, deliver=Liar(orders), lost_after=2.0)
    return made.run()


def clickhouse_sink(orders: Orders, off: Sequence[str]) -> int:
    safety = store.Safety(**dict.fromkeys(off, False))
    return clickhouse.run(settings.load(settings.ClickHouseSink), safety, orders.point)


def archive_sink(orders: Orders, off: Sequence[str]) -> int:
    values = settings.load(settings.ArchiveSink)
    threading.Thread(target=fill, args=(orders, values.spill_dir), daemon=True).start()
    return archive.run(values, create_only="create_only" not in off, points=orders.point)


PARTS: dict[str, Callable[[Orders, Sequence[str]], Any]] = {
    "processor": processor,
    "clickhouse-sink": clickhouse_sink,
    "archive-sink": archive_sink,
}


if __name__ == "__main__":
    log.setup("console", sys.argv[1])
    sys.exit(PARTS[sys.argv[1]](Orders(Path(sys.argv[2])), sys.argv[3:]))

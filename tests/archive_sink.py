"""For tests of the archive sink: the sink as a process, and the oracle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from connectors import avro, parquet
from connectors.kafka import cluster_of
from connectors.kafka_offsets import GroupOffsets, OffsetsError
from pipeline import settings
from tests import archive_bucket
from tests.archive_rows import columns
from tests.sinks import ROOT, SESSION_TIMEOUT_MS, CleanTopic, Difference, Key
from tests.space import Space
from tests.waiting import until

CLASSES = ("standard", "short", "")


@dataclass
class ClassedTopic(CleanTopic):
    """A clean topic whose events are of several retention classes."""

    def write(self, count: int, partitions: tuple[int, ...] = (0, 1), commit: bool = True, at_ms: int = 0) -> None:
        """One transaction of ``count`` events; ``at_ms`` only counts where the topic keeps the producer's time."""
        self._seed += 1
        self._producer.begin_transaction()
        for i, body in enumerate(avro.encode(columns(count, self._seed, CLASSES))):
            self._producer.produce(self.name, self._frame + body, partition=partitions[i % len(partitions)], timestamp=at_ms)
        self._producer.flush(60)
        self._end(commit, partitions)


@dataclass
class ArchiveProcess:
    """The archive sink as a process; ``faults`` as `tests.archive_worker` reads them."""

    space: Space
    faults: tuple[str, ...] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)

    def start(self) -> ArchiveProcess:
        mark = time.monotonic_ns()
        values = {
            "ARCHIVE_SINK_SESSION_TIMEOUT_MS": SESSION_TIMEOUT_MS,
            "ARCHIVE_SINK_FLUSH_SECONDS": 0.5,
            "ARCHIVE_SINK_SPILL_DIR": self.space.folder / f"spill-{mark}",
        }
        self.env = self.space.part_env("archive-sink", **{**values, **self.overrides})
        self.log = Path(self.space.folder / f"archive-{mark}.log")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)}
        argv = [sys.executable, "-m", *(("tests.archive_worker", *self.faults) if self.faults else ("pipeline", "archive-sink"))]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(argv, cwd=ROOT, env={**clean, **self.env}, stdout=out, stderr=out)
        return self

    def __enter__(self) -> ArchiveProcess:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait, return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def died(self) -> bool:
        return self.process.poll() is not None

    def stopped(self) -> bool:
        """The kernel says that it is frozen by a signal."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def archived(space: Space) -> Counter[Key]:
    """What the archive holds: position and the digest **recomputed** from the columns → number of rows."""
    bucket, path = archive_bucket.bucket(space, "operator"), space.folder / "oracle.parquet"
    found: Counter[Key] = Counter()
    for key in bucket.keys("events/"):
        bucket.download(key, path)
        for batch in parquet.read(path):
            digests = avro.digests(avro.encode(parquet.events_of(batch)))
            assert np.array_equal(digests, np.asarray(batch.column("event_digest")))
            places = (np.asarray(batch.column(name)).tolist() for name in ("kafka_partition", "kafka_offset"))
            found.update(zip(*places, digests.tolist(), strict=True))
    return found


def compare(topic: CleanTopic) -> Difference:
    """Topic against archive."""
    wanted, found = topic.records(), archived(topic.space)
    return Difference(wanted - set(found), set(found) - wanted, {k for k, n in found.items() if n > 1})


def settled(topic: CleanTopic, *sinks: ArchiveProcess, seconds: float = 90.0) -> None:
    """Wait until the sink's group has committed everything in the topic."""
    wanted: dict[int, int] = {}
    for partition, offset, _ in topic.records():
        wanted[partition] = max(wanted.get(partition, 0), offset + 1)

    def done() -> bool:
        have = topic.committed(f"{topic.space.name}-archive-sink")
        return all(have.get(p, -1) >= end for p, end in wanted.items())

    until(done, seconds, lambda: "\n".join(s.text()[-3000:] for s in sinks))


def set_offset(topic: CleanTopic, partition: int, offset: int) -> None:
    """By hand, for the archive sink's group, as soon as the session of a sink that was killed has ended; its plan is gone."""
    group = f"{topic.space.name}-archive-sink"
    with closing(GroupOffsets(cluster_of(dict(topic.space.settings(settings.Migrate))), group, topic.name)) as offsets:

        def done() -> bool:
            with suppress(OffsetsError):  # refused while the group has a member
                offsets.commit(partition, offset)
            found = offsets.read()[partition]
            return (found.offset, found.text) == (offset, "")

        until(done, 60)


def intact(topic: CleanTopic) -> None:
    """Every event of the topic once, and no object with a second version."""
    difference = compare(topic)
    assert not difference, difference
    assert archive_bucket.doubles(archive_bucket.bucket(topic.space, "operator")) == []

"""A processor with faults built in, for the tests of this folder: ``python -m tests.faults.worker``, told by TEST_ variables.

TEST_PARTITION: work on that raw partition alone, without Faust and group, from where it stands to its end.
TEST_DIE="point:occurrence:signal" sends the signal to itself there; TEST_SAFETY switches mechanisms off ("shared_id,…");
TEST_MISCHIEF is the share of chunks that Faust "loses", doubles or delays, drawn with TEST_SEED. TEST_STALLED: seconds without
progress after which it calls itself unwell.
TEST_UNFOLLOWED: the reference data stay as they were first read.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Callable

from confluent_kafka import KafkaException

from connectors.kafka import Cluster, cluster_of
from connectors.kafka_chunks import Chunk
from connectors.kafka_lanes import Safety
from connectors.kafka_read import PartitionReader
from pipeline import log, settings
from pipeline.processor import Processor
from tests.points import strike

BATCH = 100


def dying_at(plan: str) -> Callable[[str], None]:
    """A hook that sends a signal to this process at the n-th pass of a point."""
    if not plan:
        return lambda point: None
    where, nth, signal = plan.split(":")
    passes: Counter[str] = Counter()

    def hook(point: str) -> None:
        passes[point] += 1
        if point == where and passes[point] == int(nth):
            sys.stderr.write(f"dying at {point}\n")
            sys.stderr.flush()
            strike(int(signal))

    return hook


def mischievous(share: float, seed: str) -> Callable[[Chunk], None]:
    """What a buggy Faust could do to chunks: lose them, double them, deliver them much later."""
    dice, held = random.Random(seed), list[Chunk]()

    def deliver(chunk: Chunk) -> None:
        luck = dice.random() / share if share else 1.0
        if luck < 0.3:
            sys.stderr.write("mischief: lost\n")
            return
        if luck < 0.6:
            sys.stderr.write("mischief: doubled\n")
            chunk.lane.offer(chunk)
        elif luck < 1.0:
            sys.stderr.write("mischief: late\n")
            held.append(chunk)
            return
        chunk.lane.offer(chunk)
        if held and dice.random() < 0.2:
            late = held.pop()
            late.lane.offer(late)

    return deliver


def main() -> int:
    values = settings.load(settings.Processor)
    log.setup(values.log_format)
    off = {name: False for name in os.environ.get("TEST_SAFETY", "").split(",") if name}
    share = float(os.environ.get("TEST_MISCHIEF", "0"))
    seed = os.environ.get("TEST_SEED", "0")
    processor = Processor(
        values,
        safety=Safety(**off),
        points=dying_at(os.environ.get("TEST_DIE", "")),
        deliver=mischievous(share, seed),
        lost_after=2.0 if share else 10.0,
        follow_reference="TEST_UNFOLLOWED" not in os.environ,
        stalled_after=float(os.environ.get("TEST_STALLED", "120")),
    )
    if "TEST_PARTITION" in os.environ:
        return alone(processor, cluster_of(dict(values)), values.namespace, int(os.environ["TEST_PARTITION"]))
    return processor.run()


def alone(processor: Processor, cluster: Cluster, namespace: str, partition: int) -> int:
    """Batches of BATCH records through one `PartitionWork`; any error: open again, as a lane does."""
    processor.prepare()
    work, topic, position, failures = processor.work(partition), f"{namespace}.raw", None, 0
    with PartitionReader(cluster, f"{namespace}-processor") as reader:
        records = list(reader.read(topic, partition, *reader.watermarks(topic, partition)))
    while position is None or position < len(records):
        try:
            position = work.open() if position is None else position
            while position < len(records):
                end = min(position + BATCH, len(records))
                work.commit(work.handle(records[position:end], position, end, False))
                position = end
        except KafkaException as exc:
            sys.stderr.write(f"session ended: {exc}\n")
            position, failures = None, failures + 1
            if failures > 3:
                return 1
    work.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""CPU and memory of the archive sink, and of `auditwired fsck` over the result.

    python -m bench.archive_sink [--events 200000] [--flush-mb 24] [--fsck]

Starts a stack of its own, preloads the clean topic (with its ledger), and runs the sink as a process until everything is
committed; ranges close at ``--flush-mb`` of Avro. ``--fsck`` also fills ClickHouse and compares all three places.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path

import psutil

from tests import space
from tests.archive_sink import ArchiveProcess
from tests.fsck_world import AccountedTopic, fsck
from tests.processing import PARTITIONS, bodies, rows
from tests.sinks import SinkProcess
from tests.waiting import until

TEXT = "The agent read the merge request, ran the linter twice and left a comment about the unused import in module {}. "


def preload(topic: AccountedTopic, count: int) -> float:
    """Fill the clean topic; returns the mean size of a body in bytes."""
    events = rows(
        2000,
        producer_id=lambda n: f"pod-{n % 8}",
        producer_epoch=1,
        message=lambda n: TEXT.format(n) * 4,
        tool_args=lambda n: json.dumps({"path": f"src/module_{n}.py", "line": n % 400}),
        agent_id="reviewer",
        session_id=lambda n: f"session-{n % 50}",
        tool_name="lint",
        processed_retention_class="standard",
    )
    total = 0
    for start in range(0, count, 2000):
        numbered = [{**e, "event_id": f"{start + n:08x}-0000-4000-8000-000000000000"} for n, e in enumerate(events)]
        values = bodies(numbered)
        total += sum(map(len, values))
        topic.write_bodies({p: values[p::PARTITIONS] for p in range(PARTITIONS)})
    return total / count


def peak_mb(pid: int) -> int:
    """Most memory that the process ever had resident."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) >> 10


def measure(one: space.Space, topic: AccountedTopic, flush_mb: int) -> str:
    ends = _ends(topic)
    limits = {"ARCHIVE_SINK_FLUSH_BYTES": flush_mb << 20, "ARCHIVE_SINK_FLUSH_SECONDS": 5}
    with ArchiveProcess(one, overrides=limits) as sink:
        process = psutil.Process(sink.process.pid)
        until(lambda: "assigned" in sink.text(), otherwise=sink.text)
        cpu, idle, began = sum(process.cpu_times()[:2]), peak_mb(process.pid), time.monotonic()
        until(lambda: _done(topic, "archive", ends), 600, sink.text)
        used, seconds = sum(process.cpu_times()[:2]) - cpu, time.monotonic() - began
        peak = peak_mb(process.pid)
        sink.end(signal.SIGTERM)
    events = sum(ends.values())
    return f"{used / events * 1e6:.1f} CPU s/M, {events / seconds:,.0f} positions/s, {idle} MB idle, {peak} MB peak"


def _ends(topic: AccountedTopic) -> dict[int, int]:
    ends: dict[int, int] = {}
    for partition, offset, _ in topic.records():
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    return ends


def _done(topic: AccountedTopic, sink: str, ends: dict[int, int]) -> bool:
    have = topic.committed(f"{topic.space.name}-{sink}-sink")
    return all(have.get(p, -1) >= end for p, end in ends.items())


def compare(one: space.Space, topic: AccountedTopic) -> str:
    with SinkProcess(one, overrides={"CLICKHOUSE_SINK_FLUSH_MS": 500}) as sink:
        until(lambda: _done(topic, "clickhouse", _ends(topic)), 600, sink.text)
    before, began = os.times(), time.monotonic()
    code, out, err = fsck(one)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return f"fsck: {time.monotonic() - began:.1f} s, {cpu:.1f} CPU s, exit code {code}: {(out or err).splitlines()[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--flush-mb", type=int, default=24)
    parser.add_argument("--fsck", action="store_true")
    args = parser.parse_args()
    with space.alone(fast_jvm=True) as one:
        topic = AccountedTopic(one)
        size = preload(topic, args.events)
        print(f"{args.events} events of {size:.0f} B: {measure(one, topic, args.flush_mb)}", flush=True)
        if args.fsck:
            print(compare(one, topic), flush=True)


if __name__ == "__main__":
    main()

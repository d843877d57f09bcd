"""CPU of the processor: preloaded raw events through one process, client CPU seconds per million events.

    python -m bench.processor [--events 200000] [--runs 3]

Starts a stack of its own, preloads a fresh namespace for each run, and measures the processor's process from its first to its
last transaction (user and system time of all its threads; brokers are other processes). Prints each run and the median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from infra.stack import Stack
from tests import space
from tests.processing import PARTITIONS, Worker, bodies, committed, event_frame, produce, rows
from tests.waiting import until

TEXT = "The agent read the merge request, ran the linter twice and left a comment about the unused import in module {}. "


def preload(one: space.Space, count: int) -> float:
    """Fill the raw topic; returns the mean size of a value in bytes."""
    events = rows(
        2000,
        producer_id=lambda n: f"pod-{n % 8}",
        producer_epoch=1,
        message=lambda n: TEXT.format(n) * 4,
        tool_args=lambda n: json.dumps({"path": f"src/module_{n}.py", "line": n % 400}),
        agent_id="reviewer",
        agent_name="Code reviewer",
        session_id=lambda n: f"session-{n % 50}",
        tool_name="lint",
    )
    head, total = event_frame(one), 0
    for start in range(0, count, 2000):
        numbered = [
            {**event, "event_id": f"{start + n:08x}-0000-4000-8000-000000000000", "sequence": (start + n) // 8}
            for n, event in enumerate(events)
        ]
        values = [head + body for body in bodies(numbered)]
        total += sum(map(len, values))
        produce(one, [(n % PARTITIONS, value) for n, value in enumerate(values)])
    return total / count


def measure(one: space.Space, count: int) -> tuple[float, float, int]:
    """CPU seconds per million events, events per second, resident MB at the end."""

    def done() -> int:
        return sum(max(0, offset) for offset in committed(one))

    worker = Worker(one, "bench")
    try:
        process = psutil.Process(worker.process.pid)
        until(lambda: done() > 0)
        before, cpu, began = done(), sum(process.cpu_times()[:2]), time.monotonic()
        until(lambda: done() >= count, 600)
        events, seconds = count - before, time.monotonic() - began
        return (sum(process.cpu_times()[:2]) - cpu) / events * 1e6, events / seconds, process.memory_info().rss >> 20
    finally:
        worker.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), namespaces=space.POOL, fast_jvm=True) as stack:
        figures = []
        for run in range(args.runs):
            one = space.claim(stack, Path(folder) / "spaces")
            one.provision()
            size = preload(one, args.events)
            cpu, rate, rss = measure(one, args.events)
            figures.append(cpu)
            print(f"run {run + 1}: {size:.0f} B an event, {cpu:.1f} CPU s/M, {rate:,.0f} events/s, {rss} MB", flush=True)
        print(f"median {statistics.median(figures):.1f} CPU s per million events")


if __name__ == "__main__":
    main()

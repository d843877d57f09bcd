"""Cold start: seconds from starting a part's process to its first healthy answer, and the CPU seconds it took for that.

    python -m bench.cold_start [--runs 3]

Starts a stack of its own. "Healthy" is the part's own word (200 from /healthz): it has what it needs and does its work; a sink
or the processor without partitions is healthy too, so that joining the group may come a little later.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.clickhouse_sink import cpu
from bench.ingest import answers
from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT, tail
from pipeline import settings
from tests import space

Start = dict[str, list[float]]


def once(one: space.Space, part: str) -> tuple[float, float, float]:
    """Seconds, CPU seconds and resident megabytes until the part is well; it is ended then. Raises SystemExit where it is not."""
    env, log = {**base_environment(), **one.part_env(part)}, one.folder / f"cold-{part}.log"
    with log.open("wb") as out:
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "pipeline", part], cwd=CHECKOUT, env=env, stdout=out, stderr=out)
    try:
        while not answers(env["AUDITWIRE_ADMIN_LISTEN"]):
            if process.poll() is not None or time.monotonic() - began > 60:
                raise SystemExit(f"{part} does not start. {tail(log)}")
            time.sleep(0.02)
        seconds, seen = time.monotonic() - began, psutil.Process(process.pid)
        return seconds, cpu(seen), seen.memory_info().rss / 1e6
    finally:
        end(process, part, log)


def end(process: subprocess.Popen[bytes], part: str, log: Path) -> None:
    """SIGTERM; where that does not end it, the stacks of its threads are shown: a bug, but not what is measured."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        process.wait()
        sys.stderr.write(f"{part} did not end within 30 s of SIGTERM. {tail(log, 100)}\n")


def measure(one: space.Space, runs: int) -> dict[str, Start]:
    """By part: ``seconds``, ``cpu``, ``mb`` of each run."""
    found: dict[str, Start] = {part: {"seconds": [], "cpu": [], "mb": []} for part in settings.PARTS}
    for _ in range(runs):
        for part, seen in found.items():
            for name, value in zip(seen, once(one, part), strict=True):
                seen[name].append(round(value, 2))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with space.alone() as one:
        for part, seen in measure(one, args.runs).items():
            middle = {name: statistics.median(values) for name, values in seen.items()}
            print(
                f"{part:<22}{middle['seconds']:6.2f} s {middle['cpu']:6.2f} CPU s {middle['mb']:6.0f} MB  {seen['seconds']}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Requests a second and CPU of the receiver, with GitLab's events of 2 KB: one a request, and 100.

    python -m bench.ingest [--runs 3]

Starts a stack and a receiver of its own. The receiver is held to one core and this client, raw keep-alive connections over
loopback, to another one, where there are two.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import orjson
import uvloop

from bench import gitlab
from bench.figures import Meter, Row, servers_of
from bench.peer_world import Figure
from bench.watch import percentile
from infra.stack.server import base_environment, http_status
from infra.stack.stack import CHECKOUT
from tests import space
from tests.waiting import until

SIZE = 2000
SHAPES = {"receiver, one event a request": (8_000, 1, 64), "receiver, 100 events a request": (300, 100, 8)}
Times = dict[str, float]


@contextmanager
def receiver(one: space.Space) -> Iterator[int]:
    """A receiver on core 0, this process on core 1 meanwhile; gives its process id."""
    cores, log = os.sched_getaffinity(0), one.folder / "ingest.log"
    env = {**base_environment(), **one.part_env("ingest")}
    split = len(cores) > 1
    os.sched_setaffinity(0, {min(cores)} if split else cores)
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "pipeline", "ingest"], cwd=CHECKOUT, env=env, stdout=out, stderr=out)
    os.sched_setaffinity(0, {max(cores)} if split else cores)
    try:
        until(lambda: answers(env["AUDITWIRE_ADMIN_LISTEN"]), 60, log.read_text)
        yield process.pid
    finally:
        os.sched_setaffinity(0, cores)
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def answers(listen: str) -> bool:
    """Whether a part says of itself that it is well."""
    try:
        return http_status(f"http://{listen}/healthz") == 200
    except OSError:
        return False


def requests(one: space.Space, count: int, events: int) -> list[bytes]:
    """Whole HTTP requests that nobody sent before; with more than one event each, the body is an array."""
    token, seed, made = one.stack.state.secrets["ingest_token"], time.time_ns(), []
    head = (
        f"POST /v1/gitlab HTTP/1.1\r\nHost: {one.env['AUDITWIRE_INGEST_LISTEN']}\r\nX-Gitlab-Event-Streaming-Token: {token}\r\n"
    )
    head += "Content-Type: application/x-www-form-urlencoded\r\n"
    for number in range(count):
        batch = [gitlab.event(seed, number * events + i, SIZE) for i in range(events)]
        body = orjson.dumps(batch[0] if events == 1 else batch)
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


async def connection(host: str, port: int, todo: list[bytes], latencies: list[float]) -> None:
    """One keep-alive connection: next request when the answer is there. Any answer but 202 ends the run."""
    reader, writer = await asyncio.open_connection(host, port)
    while todo:
        request = todo.pop()
        start = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        latencies.append(time.perf_counter() - start)
        if not head.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"the receiver answered {head.splitlines()[0].decode()}: {body.decode()}")
    writer.close()


async def answered(address: str, todo: list[bytes], connections: int) -> list[float]:
    """Seconds that each request took."""
    where, latencies = urlsplit(f"//{address}"), list[float]()
    host, port = where.hostname or "127.0.0.1", where.port or 80
    await asyncio.gather(*(connection(host, port, todo, latencies) for _ in range(connections)))
    return latencies


def measure(one: space.Space, pid: int, shape: tuple[int, int, int]) -> tuple[Figure, Times]:
    """Figures of the receiver's process, and milliseconds that a request takes."""
    count, events, connections = shape
    todo = requests(one, count, events)
    meter = Meter(servers_of(one.env), pid)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took = runner.run(answered(one.env["AUDITWIRE_INGEST_LISTEN"], todo, connections))
    figure = meter.figure(count * events)
    return figure, {name: percentile(took, share) * 1e3 for name, share in (("p50", 0.5), ("p99", 0.99))}


def rows(one: space.Space, runs: int) -> list[tuple[Row, Times]]:
    """A row for each shape of request, with the median times of a request."""
    found: dict[str, list[tuple[Figure, Times]]] = {name: [] for name in SHAPES}
    with receiver(one) as pid:
        measure(one, pid, (1_000, 1, 64))  # caches and connections
        for _ in range(runs):
            for name, shape in SHAPES.items():
                found[name].append(measure(one, pid, shape))
    return [
        (
            Row.of("step", name, len(orjson.dumps(gitlab.event(1, 1, SIZE))), None, [figure for figure, _ in seen]),
            {which: round(sorted(times[which] for _, times in seen)[len(seen) // 2], 1) for which in ("p50", "p99")},
        )
        for name, seen in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with space.alone() as one:
        for row, times in rows(one, args.runs):
            print(f"{row.name}: {row.rate} events/s, {row.cpu} CPU s/M, p50 {times['p50']} ms, p99 {times['p99']} ms", flush=True)


if __name__ == "__main__":
    main()

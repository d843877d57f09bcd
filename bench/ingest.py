"""Requests per second and CPU of a running receiver: `python -m bench.ingest --pid <receiver>` (AUDITWIRE_INGEST_URL, _TOKEN).

Raw keep-alive connections over loopback, so that the client costs little beside the server it shares the machine with.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
import psutil

from bench import gitlab


@dataclass(frozen=True)
class Result:
    """Of one run; times in seconds, latencies in milliseconds."""

    requests: int
    events: int
    seconds: float
    server_cpu: float
    p50: float
    p99: float

    def line(self, name: str) -> str:
        rate = f"{self.requests / self.seconds:8.0f} requests/s {self.events / self.seconds:8.0f} events/s"
        cpu = f"{self.server_cpu / self.events * 1e6:6.1f} CPU s per million events, {self.server_cpu / self.seconds:.2f} cores"
        return f"{name:28} {rate}  {cpu}  p50 {self.p50:.1f} ms  p99 {self.p99:.1f} ms"


def requests(url: str, token: str, count: int, events: int, seed: int) -> list[bytes]:
    """Whole HTTP requests; with more than one event each, the body is an array."""
    parts = urlsplit(url)
    head = f"POST /v1/gitlab HTTP/1.1\r\nHost: {parts.netloc}\r\nX-Gitlab-Event-Streaming-Token: {token}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n"
    made = []
    for number in range(count):
        batch = [gitlab.event(seed, number * events + i) for i in range(events)]
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


async def measure(url: str, token: str, pid: int, *, count: int, events: int, connections: int, seed: int) -> Result:
    todo = requests(url, token, count, events, seed)
    parts, latencies, process = urlsplit(url), list[float](), psutil.Process(pid)
    cpu, start = sum(process.cpu_times()[:2]), time.perf_counter()
    work = [connection(parts.hostname or "127.0.0.1", parts.port or 80, todo, latencies) for _ in range(connections)]
    await asyncio.gather(*work)
    seconds, used = time.perf_counter() - start, sum(process.cpu_times()[:2]) - cpu
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * q)] * 1000 for q in (0.5, 0.99))
    return Result(count, count * events, seconds, used, p50, p99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pid", type=int, required=True, help="process of the receiver")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()
    url, token, seed = os.environ["AUDITWIRE_INGEST_URL"], os.environ["AUDITWIRE_INGEST_TOKEN"], time.time_ns()

    def run(name: str, count: int, events: int, connections: int) -> None:
        work = measure(url, token, args.pid, count=count, events=events, connections=connections, seed=seed)
        print(asyncio.run(work).line(name), flush=True)

    run("warm-up", 2_000, 1, args.connections)
    run("one event a request", args.requests, 1, args.connections)
    run("100 events a request", args.requests // 100, 100, 8)


if __name__ == "__main__":
    main()

"""A large extract: speed, memory, progress, and the same bytes again though killed twice. `python -m bench.export`.

Starts a stack of its own, makes the events inside ClickHouse, and runs the service as a process. Prints a line of JSON for each
measurement and fails where a promise is broken.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from bench.figures import Meter, Row, servers_of
from bench.peer_world import Figure
from infra.stack import Stack
from tests import export_service, space
from tests.export_service import PRINCIPALS, Running, ask, write_principals
from tests.space import Space

MOST_MB = 400
PIECE = 250_000
MONTH = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
KILLS = (0.1, 0.2)
# Rows of 0.6 to 1 KB that compress as agents' events do: few names, many ids, texts out of a small vocabulary.
WORDS = (
    "['please','review','the','contract','draft','and','list','open','questions','for','customer','billing','refund','order',"
    "'ticket','escalate','summary','policy','approve','deny','search','index','invoice','shipment','delay','account']"
)
EVENTS = """
    INSERT INTO NAMESPACE.events (event_id, tenant_id, event_type, occurred_at, observed_at, source, actor_type, actor_id,
        human_principal_id, agent_id, agent_name, agent_version, session_id, trace_id, producer_id, producer_epoch, sequence,
        tool_name, tool_server, tool_call_id, tool_args, tool_result, prompt, outcome, duration_ms, input_tokens, tools_offered,
        attributes, processed_ingested_at, processed_retention_class, processed_version, kafka_topic_id, kafka_partition,
        kafka_offset, kafka_timestamp, event_digest)
    WITH number + {first:UInt64} AS n, sipHash64(n) AS h, WORDS AS words,
        arrayStringConcat(arrayMap(i -> words[1 + sipHash64(n, i) % length(words)], range(12 + h % 30)), ' ') AS text
    SELECT toString(generateUUIDv4(n)), 'demo', ['tool.invoked', 'llm.requested', 'agent.step', 'tool.denied'][1 + h % 4],
        toDateTime64('2026-11-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(n * 2592000, {of:UInt64}) * 1000000
            + h % 1000000) AS at, at, 'agents', 'agent', concat('user-', toString(h % 1000)),
        concat('user', toString(h % 1000), '@example.com'), concat('agent-', toString(h % 50)), 'billing-assistant', '2.4.1',
        concat('session-', hex(sipHash64(intDiv(n, 100)))), lower(hex(sipHash128(intDiv(n, 10)))),
        concat('host-', toString(h % 40)), 1, intDiv(n, 40), ['search', 'send_mail', 'read_file'][1 + h % 3], 'mcp.example.com',
        concat('call_', lower(hex(h))), concat('{"query": "', substring(text, 1, 60), '", "id": "', hex(h), '"}'),
        concat('{"rows": ', toString(h % 500), ', "etag": "', hex(sipHash128(n)), '"}'), text,
        ['success', 'success', 'success', 'denied'][1 + h % 4], h % 90000 / 10, h % 5000, ['search', 'send_mail', 'read_file'],
        [('team', 'billing'), ('request', lower(hex(sipHash128(n, 1))))], at + toIntervalSecond(1), 'standard', '1',
        {topic_id:String}, n % 4, intDiv(n, 4), at + toIntervalSecond(2), h
    FROM numbers({rows:UInt64})
"""


def generate(made: Space, rows: int) -> None:
    """So many events of one month, made inside ClickHouse piece by piece, its memory bounded."""
    topic = export_service.topic_id(made)
    sql = EVENTS.replace("NAMESPACE", made.name).replace("WORDS", WORDS)
    with export_service.clickhouse(made) as client:
        for first in range(0, rows, PIECE):
            values: dict[str, str | int] = {"first": first, "rows": min(PIECE, rows - first), "of": rows, "topic_id": topic}
            client.command(sql, values, max_threads=1, max_memory_usage=1_500_000_000, max_execution_time=600)
    export_service.mark(made, dict.fromkeys(range(4), rows))


def peak(process: int) -> int:
    """Highest resident memory of a process so far, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 if found else 0


class Watched:
    """An extract as its client sees it, over services that come and go; ``seen`` are the fractions of progress."""

    def __init__(self, made: Space) -> None:
        self.space, self.peak, self.seen = made, 0, list[float]()
        self.running = export_service.start(made)

    def state(self, extract: str) -> dict[str, Any]:
        self.peak = max(self.peak, peak(self.running.process.pid))
        with self.running.client() as client:
            found: dict[str, Any] = client.get(f"/v1/extracts/{extract}").raise_for_status().json()
        return found

    def until(self, extract: str, fraction: float) -> dict[str, Any]:
        """Look again and again until so much is done, or it has ended."""
        while True:
            found = self.state(extract)
            self.seen.append(found["progress"]["fraction"])
            if found["state"] in ("failed", "cancelled"):
                raise SystemExit(f"the extract has {found['state']}: {found['error']}")
            if found["state"] == "done" or (found["state"] == "running" and self.seen[-1] >= fraction > 0):
                return found
            time.sleep(0.25)

    def kill(self) -> None:
        self.running.kill()
        self.running = Running(self.space, self.running.env)

    def digests(self, extract: str, expected: list[dict[str, Any]]) -> list[tuple[str, str]]:
        """Name and SHA-256 of every file as it comes over the wire; each must be what the service said."""
        found = []
        with self.running.client() as client:
            for file in expected:
                found.append((file["name"], digest(client, f"/v1/extracts/{extract}/files/{file['name']}")))
                if found[-1][1] != file["sha256"]:
                    raise SystemExit(f"{file['name']} has another SHA-256 than the service says")
        self.peak = max(self.peak, peak(self.running.process.pid))
        return found

    def close(self) -> None:
        self.running.stop()


def digest(client: httpx.Client, path: str) -> str:
    """SHA-256 of a download."""
    sha = hashlib.sha256()
    with client.stream("GET", path) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            sha.update(piece)
    return sha.hexdigest()


def measure(
    made: Space, rows: int, form: str, kills: tuple[float, ...] = (), **request: Any
) -> tuple[list[tuple[str, str]], Figure]:
    """One extract by services of its own, each kill followed by a new one; the files' digests, what the last service spent."""
    watched = Watched(made)
    try:
        with watched.running.client() as client:
            idle, began = peak(watched.running.process.pid), time.monotonic()
            meter = Meter(servers_of(made.env), watched.running.process.pid)
            extract = ask(client, format=form, **{**MONTH, **request})
        for fraction in kills:
            watched.until(extract, fraction)
            watched.kill()
            meter = Meter(servers_of(made.env), watched.running.process.pid)
        found = watched.until(extract, 2)
        seconds, figure = time.monotonic() - began, meter.figure(rows)
        digests = watched.digests(extract, found["files"])
    finally:
        watched.close()
    report = {
        "format": form,
        "rows": found["counts"]["rows"],
        "killed": len(kills),
        "seconds": round(seconds, 1),
        "rows_per_second": round(found["counts"]["rows"] / seconds),
        "bytes_per_row": round(found["counts"]["bytes"] / max(1, found["counts"]["rows"])),
        "files": found["counts"]["files"],
        "progress_values_seen": len(set(watched.seen)),
        "idle_mb": round(idle / 1e6),
        "peak_mb": round(watched.peak / 1e6),
    }
    say(report)
    if found["counts"]["rows"] != rows:
        raise SystemExit(f"the extract has {found['counts']['rows']} of {rows} events")
    return digests, replace(figure, peak_mb=watched.peak / 1e6)


def row(made: Space, rows: int) -> Row:
    """An extract of so many events to Parquet: the service's process and the servers."""
    write_principals(made.folder / "export-principals.yaml", PRINCIPALS[:1])
    generate(made, rows)
    _, figure = measure(made, rows, "parquet")
    return Row.of(
        "process", "export service: extract to Parquet", int(stored(made)["uncompressed_bytes_per_row"]), None, [figure]
    )


def say(report: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def count(made: Space, until: str) -> int:
    """Events before a moment, as the database says."""
    with export_service.clickhouse(made) as client:
        sql = f"SELECT count() FROM {made.name}.events WHERE occurred_at < {{until:DateTime64(6, 'UTC')}}"
        return int(client.rows(sql, {"until": until})[0][0])


def run(folder: Path, rows: int) -> None:
    """Everything on a stack below the folder."""
    with Stack(folder / "stack", namespaces=space.POOL[:1]) as stack:
        made = space.claim(stack, folder / "spaces")
        made.provision()
        made.env["AUDITWIRE_EXPORT_LEASE_SECONDS"] = "5"
        write_principals(made.folder / "export-principals.yaml", PRINCIPALS[:1])
        began = time.monotonic()
        generate(made, rows)
        say({"generated": rows, "seconds": round(time.monotonic() - began, 1), **stored(made)})
        first, figure = measure(made, rows, "parquet")
        again, _ = measure(made, rows, "parquet", KILLS)
        if figure.peak_mb > MOST_MB:
            raise SystemExit(f"the service needed {figure.peak_mb:.0f} MB, more than {MOST_MB} MB")
        if first != again:
            raise SystemExit("the repeated extract differs from the first")
        say({"identical": True, "files": len(first), "sha256_of_all": hashlib.sha256(json.dumps(first).encode()).hexdigest()})
        for form in ("jsonl", "csv"):
            measure(made, count(made, "2026-11-04 00:00:00"), form, to="2026-11-04T00:00:00Z")


def stored(made: Space) -> dict[str, int]:
    """Bytes of an event as ClickHouse has it, without compression."""
    with export_service.clickhouse(made) as client:
        sql = "SELECT sum(data_uncompressed_bytes) / sum(rows) FROM system.parts WHERE active AND database = {name:String}"
        return {"uncompressed_bytes_per_row": round(client.rows(sql + " AND table = 'events'", {"name": made.name})[0][0])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="auditwire-bench-") as folder:
        run(Path(folder), args.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""fsck takes an answer of ClickHouse to its end before it looks elsewhere: the server gives up one whose reader pauses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pytest

from connectors.clickhouse.client import Client
from connectors.clickhouse.store import stored_schema
from pipeline.fsck import sources
from tests.archive_rows import columns

PLACE: dict[str, str | int] = {"topic_id": "t", "partition": 0}


def answer(rows: int, batches: int) -> bytes:
    """An ArrowStream of so many batches as ClickHouse would send it, far more than the sockets between hold."""
    events, schema = columns(rows), stored_schema()
    added = [
        pa.array(["t"] * rows),
        pa.array(np.zeros(rows, np.uint16)),
        pa.array(np.arange(rows, dtype=np.int64)),
        pa.array(np.zeros(rows, np.int64)).cast(pa.timestamp("ms")),
        pa.array(np.zeros(rows, np.uint64)),
    ]
    batch = pa.RecordBatch.from_arrays([*events.columns, *added], schema=schema)
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, schema) as writer:
        for _ in range(batches):
            writer.write_batch(batch)
    return bytes(out.getvalue().to_pybytes())


@pytest.fixture
def server() -> Iterator[tuple[str, threading.Event]]:
    """An address, and an event that is set when an answer has been taken whole."""
    taken, body = threading.Event(), answer(2_000, 20)
    assert len(body) > 16 << 20

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            taken.set()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", taken
        http.shutdown()
        thread.join()


def test_an_answer_is_taken_whole_before_its_first_piece_is_looked_at(server: tuple[str, threading.Event]) -> None:
    url, taken = server
    with closing(Client(url, "u", "p")) as client:
        pieces = sources.clickhouse(client, "audit", PLACE, 0, 100)
        below, found = next(pieces)
        assert taken.wait(30), "the server still waits for its reader"
        assert (below, len(found)) == (100, 40_000)
        pieces.close()

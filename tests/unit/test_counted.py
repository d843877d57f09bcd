"""Many ask at once whether ClickHouse holds what the ledger says: the server is asked for all of them together."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectors.clickhouse.client import ClickHouseError, Client
from connectors.kafka_marks import Marks
from pipeline.export.counted import Counted
from pipeline.export.watermark import Complete
from tests.waiting import until

ASKERS = 4
COMPLETE = Complete(datetime(2026, 1, 1, tzinfo=UTC), Marks("t", {0: 10}), {0: 10})


@contextmanager
def clickhouse(code: int, asked: list[str], may: threading.Event) -> Iterator[Counted]:
    """A server that holds each question until it ``may``, and then says that there is nothing, or an error's ``code``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            may.wait(60)
            body = b"Code: 159. (TIMEOUT_EXCEEDED)" if code else b'{"data": []}'
            self.send_response(500 if code else 200)
            self.send_header("X-ClickHouse-Exception-Code", str(code))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = Client(f"http://127.0.0.1:{server.server_port}", "u", "p")
        yield Counted("audit", client)
        client.close()
        server.shutdown()
        thread.join()


def asking() -> int:
    """How many threads are inside `Counted.problem`, and know since when."""
    found = 0
    for top in sys._current_frames().values():
        frame = top
        while frame.f_back is not None and frame.f_code is not Counted.problem.__code__:
            frame = frame.f_back
        found += frame.f_code is Counted.problem.__code__ and "asked" in frame.f_locals
    return found


def together(ask: Callable[[], str | None], may: threading.Event) -> list[Future[str | None]]:
    with ThreadPoolExecutor(ASKERS) as pool:
        answers = [pool.submit(ask) for _ in range(ASKERS)]
        until(lambda: asking() == ASKERS)
        may.set()
    return answers


def test_an_answer_is_everybodys_who_waited_for_it() -> None:
    asked, may = list[str](), threading.Event()
    with clickhouse(0, asked, may) as counted:
        counted.keep = 0.0
        answers = together(lambda: counted.problem(COMPLETE, "t", {0: 5}), may)
        assert [answer.result() for answer in answers] == [None] * ASKERS
        assert len(asked) == 3, "one for each side, and what was deleted"
        counted.problem(COMPLETE, "t", {0: 5})
        assert len(asked) == 6, "who comes later asks anew"


def test_a_question_that_fails_fails_for_everybody_who_waited_and_is_asked_anew_by_the_next() -> None:
    asked, may = list[str](), threading.Event()
    with clickhouse(159, asked, may) as counted:
        answers = together(lambda: counted.problem(COMPLETE, "t", {0: 5}), may)
        for answer in answers:
            with pytest.raises(ClickHouseError, match="TIMEOUT_EXCEEDED"):
                answer.result()
        assert len(asked) == 1
        with pytest.raises(ClickHouseError):
            counted.problem(COMPLETE, "t", {0: 5})
        assert len(asked) == 2

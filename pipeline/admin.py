"""`/healthz` and `/metrics` of a part, served from a daemon thread so that a busy main loop does not hide them."""

from __future__ import annotations

import contextlib
import json
import platform
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline import metrics


def serve(
    part: str, listen: str, healthy: Callable[[], str | None], note: Callable[[], str] = lambda: ""
) -> ThreadingHTTPServer | None:
    """Serve on ``listen`` (host:port; empty: nothing is served, None is returned) until the process ends.

    ``healthy`` is called for each request from another thread and returns None, or in one sentence what is wrong (then 503); one
    that raises counts as wrong. ``note`` says what is worth knowing of a part that is well.
    CPU, memory and start time of the process come with prometheus-client.
    """
    metrics.BUILD.labels(part, version("auditwire-service"), platform.python_version()).set(1)
    metrics.begin(part)
    if not listen:
        return None
    host, _, port = listen.rpartition(":")

    class Handler(BaseHTTPRequestHandler):
        timeout = 30  # a client that says nothing must not keep its thread for ever

        def do_GET(self) -> None:
            if self.path == "/healthz":
                wrong = _looked(part, healthy)
                body = json.dumps({"part": part, "healthy": wrong is None, "reason": wrong or note()}).encode()
                self._answer(503 if wrong else 200, "application/json", body)
            elif self.path == "/metrics":
                _looked(part, healthy)
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._answer(404, "text/plain", b"try /healthz or /metrics\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # who asked did not wait for the answer
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    return server


def _looked(part: str, healthy: Callable[[], str | None]) -> str | None:
    try:
        wrong = healthy()
    except Exception as exc:
        wrong = f"the health check itself failed ({type(exc).__name__}): report it as a bug"
    metrics.UP.labels(part).set(0 if wrong else 1)
    return wrong

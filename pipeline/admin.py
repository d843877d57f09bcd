"""`/healthz` and `/metrics` of a part, served from a daemon thread so that a busy main loop does not hide them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline import metrics


def serve(part: str, listen: str, healthy: Callable[[], str | None]) -> ThreadingHTTPServer | None:
    """Serve on ``listen`` (host:port; empty: nothing is served, None is returned) until the process ends.

    ``healthy`` is called for each request from another thread and returns None, or in one sentence what is wrong (then 503).
    """
    if not listen:
        return None
    host, _, port = listen.rpartition(":")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wrong = healthy()
            metrics.UP.labels(part).set(0 if wrong else 1)
            if self.path == "/healthz":
                body = json.dumps({"part": part, "healthy": wrong is None, "reason": wrong or ""}).encode()
                self._answer(503 if wrong else 200, "application/json", body)
            elif self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._answer(404, "text/plain", b"try /healthz or /metrics\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    return server

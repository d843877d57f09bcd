"""Run as a script by test_stack_supervisor: PostgreSQL and one stand-in part under the real supervisor, in ``argv[1]``."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.stack import Stack
from infra.stack.__main__ import end_by_exit, say, serve
from infra.stack.supervisor import Supervisor

PART = """
import http.server, json, os, sys
host, _, port = os.environ["AUDITWIRE_ADMIN_LISTEN"].partition(":")
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(os.environ)).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
print("the part speaks", flush=True)
http.server.HTTPServer((host, int(port)), Answer).serve_forever()
"""

if __name__ == "__main__":
    end_by_exit()
    stack = Stack(Path(sys.argv[1]), names=["postgres"])
    commands = {"export": [sys.executable, "-c", PART]}
    sys.exit(serve(Supervisor(stack, stack.env, say, migrate=["true"], commands=commands)))

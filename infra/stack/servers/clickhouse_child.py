"""The ClickHouse process. Run as a script: ``clickhouse_child.py DATA HTTP_PORT`` with the password of `ops` in the environment.

chdb is an embedded ClickHouse: a query opens the listeners and then sleeps for ever; SIGTERM cancels that query, which is
the clean way down.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import urllib.request

PASSWORD = "CLICKHOUSE_OPS_PASSWORD"  # noqa: S105
SLEEP = (
    "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP;"
    "/*keepalive*/ SELECT sleep(3) FROM system.numbers SETTINGS max_block_size = 1,"
    " function_sleep_max_microseconds_per_block = 30000000 FORMAT Null"
)
SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main(data: str, port: str) -> None:
    """Never returns; exit code 0 after SIGTERM or SIGINT."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    from chdb import _chdb

    ended = threading.Event()

    def serve() -> None:
        try:
            _chdb.query(SLEEP, "TabSeparated", path=data)
        except BaseException as exc:
            sys.stderr.write(f"{exc}\n")
        ended.set()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=serve, daemon=True).start()
    signal.sigwait(SIGNALS)
    if ended.is_set():
        os._exit(1)
    headers = {"X-ClickHouse-User": "ops", "X-ClickHouse-Key": os.environ[PASSWORD]}
    kill = b"KILL QUERY WHERE query LIKE '/*keepalive*/%'"
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/", kill, headers), timeout=8).read()
    os._exit(0 if ended.wait(10) else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])

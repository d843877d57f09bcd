"""A stack that lives as long as another process: ``python -m infra.stack.holder DIRECTORY PID ANALYSED NAMESPACE…``.

What the tests share. Several test workers use one stack, none of them owns it, and however the run ends, nothing is left.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from pathlib import Path

from infra.stack import Stack, state
from infra.stack.install import InstallError
from infra.stack.server import StackError

READY = "ready"


def hold(directory: Path, pid: int, analysed: int, namespaces: list[str]) -> int:
    """Run the servers until process ``pid`` ends, then stop them and remove their data; logs stay.

    ``analysed``: so many of the namespaces, the last ones, may be read by tenants' analysts.
    """
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return 0
    try:
        with Stack(directory, namespaces=namespaces, analysed=namespaces[-analysed:], fast_jvm=True) as stack:
            state.private(directory / READY, str(os.getpid()))
            while not select.select([watched], [], [], 0.5)[0] and not signal.sigtimedwait(signals, 0):
                for name in stack.names:
                    if (code := stack.poll(name)) is not None:
                        raise StackError(f"{name} ended with {code}, see {stack.log(name)}")
    except (StackError, InstallError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    finally:
        (directory / READY).unlink(missing_ok=True)
        for entry in directory.iterdir():
            if entry.is_dir() and entry.name != "log":
                shutil.rmtree(entry, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(hold(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))

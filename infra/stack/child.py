"""Starts a program so that it cannot outlive its parent. Run as a script: ``child.py PARENT_PID USERNS PROGRAM ARGUMENT…``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def wrapped(argv: Sequence[object], *, userns: bool = False) -> list[str]:
    """``argv`` behind this script: SIGKILL reaches it when the thread that starts it ends, however it ends.

    ``userns``: for a program that refuses uid 0 (PostgreSQL), inside a user namespace in which it is an ordinary user.
    """
    return [sys.executable, "-IS", __file__, str(os.getpid()), str(int(userns)), *map(str, argv)]


def _leave_root(libc: ctypes.CDLL) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER):
        raise SystemExit("unshare(CLONE_NEWUSER) was refused and PostgreSQL does not run as root: run as an ordinary user")
    Path("/proc/self/uid_map").write_text(f"1000 {uid} 1", encoding="ascii")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"1000 {gid} 1", encoding="ascii")


def main(parent: int, userns: bool, argv: list[str]) -> None:
    """Never returns: becomes the program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if userns:
        _leave_root(libc)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL):
        raise SystemExit("prctl(PR_SET_PDEATHSIG) was refused: the local stack needs Linux")
    if os.getppid() != parent:  # it died before the line above could tell the kernel
        raise SystemExit("the parent is gone")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())  # a supervisor waits for blocked signals
    os.execvp(argv[0], argv)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "1", sys.argv[3:])

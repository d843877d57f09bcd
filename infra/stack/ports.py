"""Free TCP ports on the loopback interface, reserved so that no other stack takes one while its server is down."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Collection
from pathlib import Path

_reserved: dict[int, int] = {}  # port → descriptor of its lock file, open as long as this process lives

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1 at ``port`` now."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def reserve(port: int) -> bool:
    """Keep ``port`` for this process until it ends; False when another process of this machine's stacks has it."""
    if port not in _reserved:
        folder = Path(tempfile.gettempdir()) / f"auditwire-ports-{os.geteuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        _reserved[port] = lock
    return True


def usable(port: int) -> bool:
    """Whether a server of this process may listen there: reserved for us, and nobody listens yet."""
    return is_free(port) and reserve(port)


def pick(count: int, taken: Collection[int] = ()) -> list[int]:
    """``count`` usable ports below the ephemeral range, where no outgoing connection takes one between picking and listening."""
    low = int(RANGE.read_text(encoding="ascii").split()[0])
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(max(1024, low - 12_000), low)
        if port not in taken and port not in _reserved and usable(port):
            found.add(port)
    return list(found)

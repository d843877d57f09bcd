"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from pathlib import Path

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


def pick(count: int, taken: Collection[int] = ()) -> list[int]:
    """``count`` free ports below the ephemeral range, where no outgoing connection takes one between picking and listening."""
    low = int(RANGE.read_text(encoding="ascii").split()[0])
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(max(1024, low - 12_000), low)
        if port not in taken and is_free(port):
            found.add(port)
    return list(found)

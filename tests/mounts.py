"""Whether this machine lets a process mount what only itself and its children see: for tests with a disk that is full."""

from __future__ import annotations

import functools
import subprocess


@functools.cache
def possible() -> bool:
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False

"""What the allocators of a long-running part are told before it starts: Arrow's, the C library's and Python's collector."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow's own keeps free memory for each of many threads

M_ARENA_MAX = -8  # mallopt(3)
YOUNG = 200_000


def few_heaps() -> None:
    """Two for all threads: glibc makes 8 a core, and each keeps what its largest batch took (docs/benchmarks.md)."""
    with suppress(OSError, AttributeError):  # another C library has no such thing
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def collect_rarely() -> None:
    """For the processor, once everything is imported: what is there by then is never looked through again, the rest seldom.

    Its batches are ten thousand records without cycles; looked through every 700 objects, they took 7 % of its time. Parts whose
    garbage has cycles around large buffers (HTTP answers) must not wait so long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)

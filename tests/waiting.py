"""Waits for what happens by itself: asks again and again, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], seconds: float = 60, otherwise: Callable[[], str] | str = "") -> float:
    """Seconds until it held; fails the test at the deadline with the text that ``otherwise`` is or gives."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds:g} s: {otherwise if isinstance(otherwise, str) else otherwise()}")
        time.sleep(0.05)
    return time.monotonic() - began

"""What both rebuilds are asked for, and what they refuse with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class RebuildError(Exception):
    """It cannot be rebuilt, or not now; the text says what to do. What was rebuilt before stays."""


@dataclass(frozen=True)
class Task:
    """Positions ``since <= offset < until`` (None: as far as it goes), ``step`` at once. ``tell`` hears of progress, ``points``
    the name of each step that is done or about to be (fault tests). ``accounted``: what ClickHouse gives is held against the
    ledger before it is archived; off in tests only.
    """

    since: int
    until: int | None
    step: int
    tell: Callable[[str], None]
    points: Callable[[str], None] = lambda _: None
    accounted: bool = True

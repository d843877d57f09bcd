"""Numbers of things as people read them."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """``1 event``, ``1,200 events``; ``many`` where it is not ``one`` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"

"""Cursors of the lists: the place of the last entry shown, so that what is made meanwhile moves nothing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Protocol

from fastapi import Query

_CURSOR = r"^[0-9]{1,16}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_EXAMPLE = "1796112000000000.0190c0de-7a31-4b52-9c1d-3f2a6b7e8d90"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Limit = Annotated[int, Query(ge=1, le=100, description="Most entries of the answer.", examples=[50])]
Cursor = Annotated[str | None, Query(pattern=_CURSOR, description="`next_cursor` of the page before.", examples=[_EXAMPLE])]
Place = tuple[datetime, uuid.UUID]


class Entry(Protocol):
    """What is listed."""

    @property
    def id(self) -> uuid.UUID: ...
    @property
    def created_at(self) -> datetime: ...


def read(cursor: str | None) -> Place | None:
    """The place that a cursor names."""
    if cursor is None:
        return None
    at, _, name = cursor.partition(".")
    return _EPOCH + timedelta(microseconds=int(at)), uuid.UUID(name)


def after(entries: Sequence[Entry], limit: int) -> str | None:
    """The cursor behind a page of ``limit`` entries; None where it was the last."""
    if len(entries) <= limit:
        return None
    last = entries[limit - 1]
    return f"{(last.created_at - _EPOCH) // timedelta(microseconds=1)}.{last.id}"

"""Cursors of the lists: the place of the last entry shown, so that what is made meanwhile moves nothing."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Query

from pipeline.export.errors import invalid

_CURSOR = "MjAyNi0xMi0wMVQwODowMDowMCswMDowMC8wMTkwYzBkZS03YTMxLTRiNTItOWMxZC0zZjJhNmI3ZThkOTA="
Limit = Annotated[int, Query(ge=1, le=100, description="Most entries of the answer.", examples=[50])]
Cursor = Annotated[str | None, Query(max_length=256, description="`next_cursor` of the page before.", examples=[_CURSOR])]
Place = tuple[datetime, uuid.UUID]


class Entry(Protocol):
    """What is listed."""

    @property
    def id(self) -> uuid.UUID: ...
    @property
    def created_at(self) -> datetime: ...


def read(cursor: str | None) -> Place | None:
    """The place that a cursor names. Raises RefusedError (422)."""
    if not cursor:
        return None
    try:
        at, _, name = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").partition("/")
        place = datetime.fromisoformat(at), uuid.UUID(name)
    except (ValueError, binascii.Error):
        place = None
    if place is None or place[0].tzinfo is None:
        raise invalid("cursor: is none of this service's.", "Give `next_cursor` of the page before as it is, or none.")
    return place


def after(entries: Sequence[Entry], limit: int) -> str | None:
    """The cursor behind a page of ``limit`` entries; None where it was the last."""
    if len(entries) <= limit:
        return None
    last = entries[limit - 1]
    return base64.urlsafe_b64encode(f"{last.created_at.isoformat()}/{last.id}".encode()).decode()

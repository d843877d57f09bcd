"""Routes of the reading API. Each answer is recorded before it is given, and says up to when it is complete."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import ValidationError

from pipeline import metrics
from pipeline.export import audit, columns, queries, reading
from pipeline.export.access import Made, Reader, Service, no_tenant, problems, strict_query, who
from pipeline.export.auth import Principal
from pipeline.export.cursors import Cursor, Cursors
from pipeline.export.errors import RefusedError
from pipeline.export.models import ExtractRequest
from pipeline.export.read_models import Counts, EventPage, EventTypes, OneEvent, PageRequest, Range, Selection
from pipeline.export.watermark import Complete

router = APIRouter(tags=["reading"])
_RANGE, _SELECTION = ("tenant", "from", "to"), ("tenant", "from", "to", "time", "filter")
_PAGE = (*_SELECTION, "columns", "order", "limit", "cursor")


@router.get(
    "/v1/events",
    response_model=EventPage,
    responses=problems(403, 409),
    dependencies=[Depends(strict_query(*_PAGE))],
    summary="Read events page by page",
)
def events(request: Request, made: Made, asker: Reader, asked: Annotated[PageRequest, Query()]) -> Response:
    """One tenant's events of `[from, to)` in order of time. `next_cursor` leads to the next page until it is null."""
    query = _query(asker, asked, None if asked.columns is None else asked.columns.split(","))
    question = {**query.public(), "order": asked.order}
    complete, after, cursors = made.stores.complete(), None, Cursors(made.cursor_key)
    if asked.cursor is not None:
        opened = cursors.opened(asked.cursor, asker.name, question, complete.marks.topic_id)
        complete, after = opened.complete, opened.key
    pages = reading.Pages(_reading(made, query, complete), made.stores.clickhouse, asked.order == "desc")
    with _timed("events"):
        page = pages.page(after, asked.limit)
    following = None if page.end is None else cursors.sealed(Cursor(page.end, complete), asker.name, question)
    found = {"events": str(len(page.events)), "order": asked.order, "page": "first" if after is None else "next"}
    _record(request, made, asker, query, found)
    metrics.EXPORT_READ_EVENTS.inc(len(page.events))
    return _answer({"next_cursor": following, **_covered(query, complete)}, events=page.events)


@router.get(
    "/v1/events/{event_id}",
    response_model=OneEvent,
    responses=problems(403, 404),
    dependencies=[Depends(strict_query("tenant"))],
    summary="Read one event",
)
def event(
    request: Request,
    made: Made,
    asker: Reader,
    event_id: Annotated[
        str,
        Path(
            pattern="^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$",
            description="Its UUID.",
            examples=["0190c0de-7a31-4b52-9c1d-3f2a6b7e8d90"],
        ),
    ],
    tenant: Annotated[str, Query(min_length=1, max_length=256, description="Whose event it is.", examples=["demo"])],
) -> Response:
    """The event of one tenant with this id, and whatever claims the same id with other content."""
    if not asker.may_read(tenant):
        raise no_tenant(tenant)
    complete, names = made.stores.complete(), list(columns.known())
    whole = (queries.micros(queries.EARLIEST), queries.micros(queries.LATEST))
    query = queries.Query(tenant, *whole, {"event_id": [event_id.lower()]}, names, "jsonl")
    with _timed("event"):
        found = reading.one(_reading(made, query, complete), made.stores.clickhouse)
    if not found:
        hint = "Check the id and the tenant. What came in after `complete_until` of the other answers may not be stored yet."
        raise RefusedError(404, "not_found", "There is no such event.", hint, tenant=tenant)
    recorded = who(request, asker) | {"activity": "read", "target_type": "event", "target_id": event_id.lower()}
    made.stores.trail.record(audit.READ, tenant, **recorded, attributes={"events": str(len(found))})
    metrics.EXPORT_READ_EVENTS.inc(len(found))
    return _answer({"complete_until": _iso(complete.until), "complete": True}, event=found[0], conflicts=found[1:])


@router.get(
    "/v1/event-types",
    response_model=EventTypes,
    responses=problems(403),
    dependencies=[Depends(strict_query(*_RANGE))],
    summary="Which types of events are there?",
)
def event_types(request: Request, made: Made, asker: Reader, asked: Annotated[Range, Query()]) -> Response:
    """Types of one tenant's events that happened in `[from, to)`, with their number and their first and last time."""
    query = _query(asker, Selection.model_construct(tenant=asked.tenant, from_=asked.from_, to=asked.to), ["event_type"])
    complete = made.stores.complete()
    with _timed("event-types"):
        found, left_out = reading.types(_reading(made, query, complete), made.stores.clickhouse)
    for kind in found:
        kind |= {name: queries.iso(kind[name]) for name in ("first", "last")}
    _record(request, made, asker, query, {"event_types": str(len(found))})
    return _answer({"event_types": found, "left_out": left_out, **_covered(query, complete)})


@router.get(
    "/v1/counts",
    response_model=Counts,
    responses=problems(403),
    dependencies=[Depends(strict_query(*_SELECTION))],
    summary="Count events over time",
)
def counts(request: Request, made: Made, asker: Reader, asked: Annotated[Selection, Query()]) -> Response:
    """Numbers of one tenant's events of `[from, to)` by type and outcome, in at most 120 steps."""
    query, complete = _query(asker, asked, ["event_type", "outcome"]), made.stores.complete()
    with _timed("counts"):
        found = reading.counts(_reading(made, query, complete), made.stores.clickhouse)
    _record(request, made, asker, query, {"events": str(found["total"])})
    return _answer({**found, **_covered(query, complete)})


def _query(asker: Principal, asked: Selection, names: list[str] | None) -> queries.Query:
    """Raises RefusedError: 403 for a tenant of others, 422 for what cannot be asked."""
    if not asker.may_read(asked.tenant):
        raise no_tenant(asked.tenant)
    filters = queries.filters_of(asked.filter, asked.tenant)
    try:
        request = ExtractRequest.model_validate(
            {
                "tenant": asked.tenant,
                "from": asked.from_,
                "to": asked.to,
                "time": asked.time,
                "filters": filters,
                "columns": names,
            }
        )
    except ValidationError as exc:
        raise queries.refusal(exc, ExtractRequest) from None
    return queries.Query.of(request)


def _reading(made: Service, query: queries.Query, complete: Complete) -> queries.Reading:
    return queries.Reading(made.stores.namespace, query, complete.marks)


def _covered(query: queries.Query, complete: Complete) -> dict[str, Any]:
    return {"complete_until": _iso(complete.until), "complete": query.end_time <= complete.until}


def _record(request: Request, made: Service, asker: Principal, query: queries.Query, found: Mapping[str, str]) -> None:
    """Raises UnavailableError: what is not recorded is not answered."""
    asked = {name: value for name, value in audit.of_query(query.public()).items() if name != "format"}
    fields = who(request, asker) | {"activity": "read", "target_type": "events"}
    route = {"route": str(getattr(request.scope.get("route"), "path", "")), "time": query.time}
    made.stores.trail.record(audit.SEARCHED, query.tenant, **fields, attributes={**asked, **route, **found})


@contextmanager
def _timed(route: str) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        metrics.EXPORT_READ_SECONDS.labels(route).observe(time.monotonic() - begun)


def _answer(fields: Mapping[str, Any], **events: bytes | list[bytes]) -> Response:
    """A JSON object of fields and of events that are JSON already."""
    parts = [f'"{name}":'.encode() + _joined(made) for name, made in events.items()]
    parts += [f'"{name}":'.encode() + json.dumps(value, ensure_ascii=False).encode() for name, value in fields.items()]
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    return Response(b"{" + b",".join(parts) + b"}", headers=headers, media_type="application/json")


def _joined(made: bytes | list[bytes]) -> bytes:
    return made if isinstance(made, bytes) else b"[" + b",".join(made) + b"]"


def _iso(moment: datetime) -> str:
    return queries.iso(queries.micros(moment.astimezone(UTC)))

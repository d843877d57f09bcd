"""`GET /v1/events/{event_id}/explain`: why an event is as it is, and until when it stays."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from pipeline.explain.asked import explanation
from pipeline.export import audit, columns, queries
from pipeline.export.access import Made, Reader, no_tenant, problems, strict_query, who
from pipeline.export.read_models import Explained, ExplainRequest
from pipeline.export.reading import bounded

router = APIRouter(tags=["reading"])


@router.get(
    "/v1/events/{event_id}/explain",
    response_model=Explained,
    responses=problems(403),
    dependencies=[Depends(strict_query("tenant", "month"))],
    summary="Why is this event as it is, and until when does it stay?",
)
def explain(
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
    asked: Annotated[ExplainRequest, Query()],
) -> Explained:
    """Which rules decided its class and how much of it is kept, until when it stays; of one that is gone what may have deleted
    it.
    """
    tenant = asked.tenant
    if not asker.may_read(tenant):
        raise no_tenant(tenant)
    complete, own = made.stores.complete(), event_id.lower()
    whole = (queries.micros(queries.EARLIEST), queries.micros(queries.LATEST))
    query = queries.Query(tenant, *whole, {"event_id": [own]}, list(columns.known()), "jsonl")
    reading = queries.Reading(made.stores.namespace, query, complete.marks)
    with bounded(tenant):
        found = explanation(
            made.stores.clickhouse,
            made.stores.namespace,
            made.stores.rules,
            own,
            reading.where(*whole),
            source=reading.view,
            month=asked.month,
        )
    recorded = who(request, asker) | {"activity": "read", "target_type": "event", "target_id": own}
    told = {"events": str(len(found["explanations"])), "route": "explain"}
    made.stores.trail.record(audit.READ, tenant, **recorded, attributes=told)
    return Explained.model_validate(found)

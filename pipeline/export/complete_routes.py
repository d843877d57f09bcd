"""``GET /v1/completeness``: up to when nothing of a tenant's is missing, and what is. Recorded before it is answered."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from connectors.clickhouse.client import ClickHouseError
from pipeline import completeness_shown
from pipeline.completeness import Completeness
from pipeline.export import audit, queries, reading
from pipeline.export.access import Made, Reader, no_tenant, problems, strict_query, who
from pipeline.export.errors import UnavailableError
from pipeline.export.jobs import Stores
from pipeline.export.watermark import Complete

log = logging.getLogger(__name__)
router = APIRouter(tags=["reading"])
_EXAMPLE: JsonDict = {
    "tenant": "demo",
    "state": "incomplete",
    "complete_until": "2026-11-02T09:15:00.123456Z",
    "pipeline_complete_until": "2026-11-02T09:20:00.000000Z",
    "ledger_complete_until": None,
    "counts": {"closed": 4, "dead": 0, "live": 1, "silent": 0, "unknown": 0},
    "producers": [
        {
            "producer_id": "assistant/host-7/6f1f7b8a0c554c43/blocking",
            "producer_epoch": 1793610000000000,
            "standing": "live",
            "complete_until": "2026-11-02T09:15:00.123456Z",
            "gaps": [
                {
                    "kind": "missing",
                    "first": 2,
                    "last": 2,
                    "after": "2026-11-02T09:15:00.123456Z",
                    "before": "2026-11-02T09:15:04.000000Z",
                }
            ],
            "stored": [[0, 1], [3, 4]],
            "quarantined": [],
            "duplicates": [],
            "conflicts": [],
            "heartbeat": {
                "sequence": 4,
                "observed_at": "2026-11-02T09:19:30.000000Z",
                "received_at": "2026-11-02T09:19:30.010000Z",
                "interval_seconds": 60.0,
                "dropped": 0,
            },
            "statement": None,
        }
    ],
    "producers_left_out": 0,
    "gaps": 1,
    "gaps_left_out": 0,
    "losses": [],
    "problems": [],
    "receivers": completeness_shown.RECEIVERS,
}


class TenantCompleteness(BaseModel):
    """What is known of a tenant's producers."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    tenant: str
    state: Literal["complete", "incomplete", "unknown"] = Field(
        description="`incomplete`: something is missing, or a producer is silent. `unknown`: a producer never said how far it is."
    )
    complete_until: datetime = Field(
        description="Nothing that was received or, by its producer's clock, observed before it is missing (UTC)."
    )
    pipeline_complete_until: datetime = Field(description="Everything that was received before it is stored (UTC).")
    ledger_complete_until: datetime | None = Field(description="Up to when the ledger is stored, where it is behind; else null.")
    counts: dict[str, int] = Field(description="Producers by standing: closed, dead, live, silent, unknown.")
    producers: list[dict[str, Any]] = Field(description="Those with gaps first; ranges of numbers have their ends in them.")
    producers_left_out: int = Field(description="Producers beyond the first 1,000.")
    gaps: int = Field(description="Gaps of all producers.")
    gaps_left_out: int = Field(description="Gaps that are not listed.")
    losses: list[dict[str, Any]] = Field(description="Raw records, anybody's, that Kafka deleted before they were read.")
    problems: list[str] = Field(description="Why the rest cannot be relied on, with what to do; then nothing is complete.")
    receivers: str = Field(description="What this says nothing about.")


@router.get(
    "/v1/completeness",
    response_model=TenantCompleteness,
    responses=problems(403, 503),
    dependencies=[Depends(strict_query("tenant"))],
    summary="Is anything missing?",
)
def completeness(
    request: Request,
    response: Response,
    made: Made,
    asker: Reader,
    tenant: Annotated[str, Query(min_length=1, max_length=256, description="Whose events.", examples=["demo"])],
) -> dict[str, Any]:
    """Up to when nothing of one tenant's is missing, and which numbers of which producers are, or may be."""
    if not asker.may_read(tenant):
        raise no_tenant(tenant)
    with reading.bounded(tenant):
        complete, found = asked(made.stores, tenant)
    answer = completeness_shown.answer(tenant, queries.micros(complete.until), found)
    fields = who(request, asker) | {"activity": "read", "target_type": "completeness"}
    made.stores.trail.record(audit.SEARCHED, tenant, **fields, attributes={"route": "/v1/completeness", "state": found.state})
    response.headers["Cache-Control"] = "private, no-store"
    return answer


def asked(stores: Stores, tenant: str) -> tuple[Complete, Completeness]:
    """Raises UnavailableError (503) where ClickHouse refuses or gives up: the caller has no range to narrow."""
    try:
        return stores.producers(tenant)
    except ClickHouseError as exc:
        log.error("completeness: %s", exc)  # noqa: TRY400  the text says it all
        raise UnavailableError(
            f"Whether anything is missing could not be found out: ClickHouse answered {exc.code} {exc.name}".strip() + ".",
            "Ask again later. Where it stays so, an operator looks at ClickHouse's load and runs `auditwired completeness`.",
        ) from exc

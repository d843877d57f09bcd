"""A checked query → a queued extract: limits, the audit event, the job; the same for requests and for schedules."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.clickhouse.client import ClickHouseError
from connectors.kafka_marks import MarksError
from connectors.postgres.jobs import Job, LimitError, NewJob, Use
from pipeline.export import audit
from pipeline.export.auth import Principal
from pipeline.export.errors import RefusedError
from pipeline.export.extract import is_complete, iso
from pipeline.export.jobs import Stores, known
from pipeline.export.limits import Limits
from pipeline.export.queries import Query

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where an extract comes from: the definition and the begin of its scheduled period, or none of them."""

    definition: uuid.UUID | None = None
    period_start: datetime | None = None

    def attributes(self) -> dict[str, str]:
        named = {"definition": self.definition and str(self.definition), "period_start": iso(self.period_start)}
        return {name: value for name, value in named.items() if value}


def queue(
    stores: Stores,
    asker: Principal,
    query: Query,
    who: dict[str, Any],
    *,
    require_complete: bool = False,
    origin: Origin | None = None,
) -> Job | None:
    """Record the request, then queue its job; None where there is one of that definition and period already.

    ``who`` are fields of the audit event. Raises RefusedError (409, 429), UnavailableError, MarksError, ClickHouseError,
    PostgresError.
    """
    made, origin = uuid.uuid4(), origin or Origin()
    _within(stores.jobs.use(asker.name), asker.limits, query.tenant)
    until = _complete(stores, query) if require_complete else None
    asked = audit.of_query(query.public()) | origin.attributes()
    stores.trail.record(audit.REQUESTED, query.tenant, **who, activity="create", target_id=str(made), attributes=asked)
    new = NewJob(
        made,
        query.tenant,
        asker.name,
        query.public(),
        asker.limits.rows_per_extract,
        until or _known(stores),
        origin.definition,
        origin.period_start,
        _producers(stores, query),
    )
    try:
        return stores.jobs.create(new, asker.limits.open_extracts, asker.limits.extracts_per_day)
    except LimitError as exc:
        _within(exc.use, asker.limits, query.tenant)
        raise


def _complete(stores: Stores, query: Query) -> datetime:
    until = stores.complete_until()
    if is_complete(query, until):
        return until
    shown = iso(until) or ""
    raise RefusedError(
        409,
        "incomplete",
        f"What is stored is complete until {shown} only, `to` is later.",
        "Ask with an earlier `to`, or again later, or leave `require_complete` out.",
        tenant=query.tenant,
        retry_after=60,
        more={"complete_until": shown},
    )


def _known(stores: Stores) -> datetime | None:
    try:
        return stores.complete_until()
    except (MarksError, ClickHouseError) as exc:  # the extract begins when they answer, and fixes it then
        log.warning("%s", exc)
        return None


def _producers(stores: Stores, query: Query) -> dict[str, Any]:
    """The extract asks again when it begins."""
    try:
        return known(stores, query)
    except (MarksError, ClickHouseError) as exc:
        log.warning("%s", exc)
        return {"complete": False}


def _within(use: Use, limits: Limits, tenant: str) -> None:
    """Raises RefusedError (429)."""
    if use.open >= limits.open_extracts:
        hint = f"Wait until one is done, or cancel one: the principal may have {limits.open_extracts} at a time."
        raise RefusedError(429, "too_many", "There are too many unfinished extracts.", hint, tenant=tenant, retry_after=30)
    if use.today >= limits.extracts_per_day:
        hint = f"Come back later: the principal may have {limits.extracts_per_day}; an operator sets `extracts_per_day`."
        error = "There are too many extracts of the last 24 hours."
        raise RefusedError(429, "too_many_today", error, hint, tenant=tenant, retry_after=3600)

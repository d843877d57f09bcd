"""Schedules: one extract for each period of a definition, once everything of the period is stored; whatever the instances do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from connectors.clickhouse.client import ClickHouseError
from connectors.kafka_marks import MarksError
from connectors.postgres import PostgresError
from connectors.postgres.definitions import Definition, Every
from pipeline import metrics
from pipeline.export import audit, enqueue
from pipeline.export.auth import Principal, Principals
from pipeline.export.enqueue import Origin
from pipeline.export.errors import RefusedError, UnavailableError
from pipeline.export.jobs import Stores
from pipeline.export.queries import Query
from pipeline.export.ticker import Ticker

log = logging.getLogger(__name__)
CATCH_UP = 12
TICK_SECONDS = 20.0
Period = tuple[datetime, datetime]


def begin_of(moment: datetime, every: Every) -> datetime:
    """Begin of the period (UTC) that the moment lies in; weeks begin on Monday."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if every == "month" else day


def over(since: datetime, until: datetime, every: Every) -> list[Period]:
    """The newest `CATCH_UP` periods that have ended by ``until`` and did not end before ``since``; newest first."""

    def backwards() -> Any:
        end = begin_of(until, every)
        while end > since:
            start = begin_of(end - timedelta(microseconds=1), every)
            yield start, end
            end = start

    return list(islice(backwards(), CATCH_UP))


def _entitled(principals: Sequence[Principal], definition: Definition) -> Principal | None:
    """Whose right the definition's extracts are made by; while a token is replaced, a name stands in the file twice."""
    named = (p for p in principals if p.name == definition.principal)
    return next((p for p in named if p.may_extract(definition.tenant)), None)


class Scheduler:
    """Queues what is due. ``now`` is the clock (UTC); ``alone=False`` lets instances do the same work at once, as a crash may.

    Nothing depends on who does it: the job table has one job for a definition and a period. ``ticker`` does it again and again;
    a crash at any point does no harm.
    """

    def __init__(
        self,
        stores: Stores,
        principals: Principals,
        wake: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        alone: bool = True,
    ) -> None:
        self._stores, self._principals, self._wake, self._now, self._alone = stores, principals, wake, now, alone
        self.ticker = Ticker(
            "schedules",
            self.tick,
            TICK_SECONDS,
            log=log,
            said="schedules wait",
            waits_for=(PostgresError, UnavailableError, MarksError, ClickHouseError),
        )

    def tick(self) -> int:
        """Queue every extract that is due now; returns how many. Raises PostgresError, UnavailableError, MarksError."""
        with self._stores.jobs.turn("schedules") as mine:
            if not mine and self._alone:
                return 0
            definitions = self._stores.definitions.scheduled()
            if not definitions:
                return 0
            until = min(self._stores.complete_until(), self._now())
            principals = self._principals.all()
            return sum(self._due(d, _entitled(principals, d), until) for d in definitions)

    def _due(self, definition: Definition, principal: Principal | None, until: datetime) -> int:
        if principal is None:
            self._end(definition)
            return 0
        assert definition.every is not None  # noqa: S101  scheduled() gives such only
        periods = over(definition.created_at, until, definition.every)
        if not periods:
            return 0
        made = self._stores.jobs.periods(definition.id, periods[-1][0])
        return sum(self._queue(definition, principal, period) for period in periods if period[0] not in made)

    def _queue(self, definition: Definition, principal: Principal, period: Period) -> int:
        start, end = (moment.isoformat() for moment in period)
        query = Query.stored({**definition.query, "tenant": definition.tenant, "from": start, "to": end})
        who = {"outcome": "success", "actor_type": "human", "actor_id": principal.name}
        try:
            job = enqueue.queue(self._stores, principal, query, who, origin=Origin(definition.id, period[0]))
        except RefusedError as exc:  # a limit: the period is still due at the next tick
            log.info("definition %s: the extract of %s waits: %s", definition.id, start, exc.error)
            return 0
        if job is None:
            return 0
        log.info("definition %s: extract %s of %s queued", definition.id, job.id, start)
        metrics.EXPORT_SCHEDULED.inc()
        self._wake()
        return 1

    def _end(self, definition: Definition) -> None:
        reason = (
            f"{definition.principal} has no right to extracts of this tenant any more;"
            " somebody who has saves the definition under a name of their own"
        )
        log.warning("definition %s: schedule ended: %s", definition.id, reason)
        fields = {"actor_type": "service", "outcome": "success", "target_id": str(definition.id), "reason": reason}
        fields |= {"target_type": "extract_definition"}
        self._stores.trail.record(audit.SCHEDULE_ENDED, definition.tenant, audit.JOB_SECONDS, activity="update", **fields)
        self._stores.definitions.stop(definition.id, reason)

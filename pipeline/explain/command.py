"""`auditwired explain` with an operator's rights."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from connectors.clickhouse.client import ClickHouseError, Client
from connectors.postgres import PostgresError
from connectors.postgres.reference import Revisions
from connectors.series import RULES
from pipeline import settings
from pipeline.explain import core
from pipeline.explain.asked import explanation
from pipeline.retention.rulebook import Rulebook
from pipeline.rules.model import ModelError

WHERE = "event_id = {event_id:String} AND tenant_id = {tenant:String}"


def found(values: settings.Operator, tenant: str, event_id: str, month: str | None) -> dict[str, Any] | str:
    """The explanation, or why there is none. Raises SettingsError."""
    if not (dsn := values.postgres_dsn.get_secret_value()):
        raise settings.SettingsError("AUDITWIRE_OPERATOR_POSTGRES_DSN is not set: the rules are in PostgreSQL.")
    rules = Rulebook(Revisions(dsn, values.namespace, RULES))
    asked = {"event_id": event_id, "tenant": tenant}
    try:
        with closing(
            Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
        ) as client:
            return explanation(client, values.namespace, rules, event_id, (WHERE, asked), month=month)
    except (ClickHouseError, PostgresError, ModelError) as exc:
        return str(exc)


def lines(answer: dict[str, Any]) -> list[str]:
    """For people."""
    if answer["stored"]:
        return [line for one in answer["explanations"] for line in core.lines(one)]
    gone = [f"  {one['class'] or '(none)'} {one['month']}: {one['certificate']}" for one in answer["may_be_deleted_by"]]
    if not gone:
        return ["there is no such event, and nothing was deleted that it may have been of"]
    return ["there is no such event. It may have been of one of these classes and months, which were deleted:", *gone]

"""Asks the stores about an event and explains it; for the command and for the export service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from connectors.clickhouse.client import Client
from connectors.clickhouse.store import events_only, read_events
from pipeline.explain.core import Stored, covering, explained
from pipeline.export.deleted import everything
from pipeline.retention.rulebook import Rulebook

Values = Mapping[str, str | int]


def explanation(
    client: Client,
    namespace: str,
    rules: Rulebook,
    event_id: str,
    where: tuple[str, Values],
    *,
    source: str = "events",
    month: str | None = None,
) -> dict[str, Any]:
    """``where`` selects the event, and those that claim its id, in ``source``; ``month`` as `core.covering` takes it.

    Raises ClickHouseError, PostgresError, ModelError.
    """
    known, now = rules.terms(), datetime.now(UTC)
    found = []
    for batch in read_events(client, namespace, *where, source=source):
        events, times = events_only(batch), np.asarray(batch.column("kafka_timestamp").cast("int64"))
        for row in range(batch.num_rows):
            one = Stored(events.slice(row, 1), datetime.fromtimestamp(int(times[row]) / 1000, UTC))
            decided = None if one.revision is None else rules.snapshot(one.revision)
            found.append(explained(one, decided, known, now))
    found.sort(key=lambda one: bool(one["identity_conflict"]))
    gone = [] if found else covering(everything(client, namespace), event_id, month)
    return {"stored": bool(found), "explanations": found, "may_be_deleted_by": gone}

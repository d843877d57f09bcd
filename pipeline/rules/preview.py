"""`auditwired rules preview`: what a draft would decide otherwise than the newest revision, counted over stored events."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from connectors.clickhouse.client import ClickHouseError, Client
from connectors.postgres.reference import Revision
from pipeline import settings
from pipeline.counts import counted
from pipeline.rules import preview_sql
from pipeline.rules.model import EMPTY, Snapshot, parse

DAY_US = 86_400_000_000
MOST_DAYS = 3660
TIMEOUT_SECONDS = 600.0
QUERY_NODES = dict.fromkeys(("max_ast_elements", "max_expanded_ast_elements"), 10_000_000)
QUERY_BYTES = 16 << 20  # a revision has at most half a megabyte, and its conditions stand in the statement once


@dataclass(frozen=True)
class Change:
    """What would become of ``what`` otherwise, and in how many events; ``examples``: occurred_at (UTC), tenant, event_id."""

    what: str
    before: str
    after: str
    events: int
    tenants: int
    examples: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Preview:
    """``since``, ``until``: microseconds since 1970, of occurred_at."""

    since: int
    until: int
    events: int
    tenants: int
    changed: int
    changed_tenants: int
    changes: list[Change]


def add_arguments(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """preview FOLDER --days N."""
    end = "Exit code 0: done, 1: the folder is not in order, 2: the events cannot be read. Nothing is changed."
    one = actions.add_parser("preview", help="what a folder would change, over stored events of the last days", epilog=end)
    one.add_argument("folder", type=Path, help="folder with .yaml files")
    one.add_argument(
        "--days", type=_number_of_days, default=7.0, metavar="N", help="events that occurred in the last N days (default 7)"
    )


def run(document: str, days: float, newest: Revision | None) -> int:
    """Print what the canonical ``document`` would change against ``newest``. The exit code; problems go to standard error."""
    values = settings.load(settings.RulesPreview)
    until = time.time_ns() // 1000
    now, draft = parse(str(newest.revision), newest.document) if newest else EMPTY, parse("", document)
    password = values.clickhouse_password.get_secret_value()
    try:
        with closing(Client(values.clickhouse_url, values.clickhouse_user, password, TIMEOUT_SECONDS)) as client:
            found = of(client, values.namespace, now, draft, since=until - int(days * DAY_US), until=until)
    except ClickHouseError as exc:
        sys.stderr.write(f"auditwired rules preview: {exc}\n")
        return 2
    print("\n".join(lines(found, now, draft)))
    return 0


def of(client: Client, namespace: str, now: Snapshot, draft: Snapshot, *, since: int, until: int) -> Preview:
    """What ``draft`` decides otherwise than ``now`` of the events in that time. Raises ClickHouseError."""
    given: dict[str, str | int] = {"since": since, "until": until}
    more: dict[str, str | int] = {"database": namespace, "max_query_size": QUERY_BYTES, **QUERY_NODES}
    events, tenants, changed, changed_tenants = client.rows(preview_sql.totals(now, draft), given, **more)[0]
    rows = client.rows(preview_sql.changes(now, draft), given, **more)
    return Preview(since, until, events, tenants, changed, changed_tenants, [Change(*row) for row in rows])


def lines(found: Preview, now: Snapshot, draft: Snapshot) -> Iterator[str]:
    """The preview for people."""
    yield f"{_events(found.events, found.tenants)} occurred {_moment(found.since)} to {_moment(found.until)}"
    yield f"compared with {f'revision {now.revision}' if now.revision else 'no rules, as no revision is there yet'}"
    for change in found.changes:
        yield f"{change.what}: {change.before} -> {change.after}: {_events(change.events, change.tenants)}"
        yield from (f"    {at}Z  tenant {tenant}  event {event}" for at, tenant, event in change.examples)
    fields = {change.what for change in found.changes} - {preview_sql.LEVEL, preview_sql.CLASS}
    where = f", in {counted(len(fields), 'field')}," if fields else ""
    changed = _events(found.changed, found.changed_tenants)
    yield f"{changed}{where} would become something else; stored events stay as they are"
    if any(rule.detectors for one in (now, draft) for rule in one.redactions) or now.detectors or draft.detectors:
        yield "what detectors find was searched for in stored text, which is redacted already: what is masked or gone is missed"


def _events(events: int, tenants: int) -> str:
    return f"{counted(events, 'event')} of {counted(tenants, 'tenant')}"


def _moment(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _number_of_days(text: str) -> float:
    days = float(text)
    if not 0 < days <= MOST_DAYS:
        raise ValueError(text)
    return days

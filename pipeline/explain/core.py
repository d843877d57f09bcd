"""Why a stored event is as it is, and until when: by the rules that decided it, and by those that came after. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from pipeline.batch import Batch
from pipeline.counts import counted
from pipeline.retention.lengths import Term, Unit, end_of
from pipeline.rules.decide import NONE, Rules
from pipeline.rules.model import Snapshot

DEFAULT = "the tenant's class in the reference data, else the processor's setting"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Stored:
    """One event in columns of the newest schema (one row), and when Kafka took it (UTC)."""

    columns: pa.RecordBatch
    appended: datetime

    @property
    def unit(self) -> Unit:
        return Unit(self.text("processed_retention_class"), f"{self.appended:%Y-%m}")

    @property
    def revision(self) -> int | None:
        """Number of the rules' revision that decided it; None: none was published then, or the event does not say."""
        parts = self.text("processed_rules_revision").split("/")
        return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None

    def text(self, column: str) -> str:
        return str(self.columns.column(column)[0].as_py() or "")


def explained(event: Stored, decided: Snapshot | None, known: Sequence[Term], now: datetime) -> dict[str, Any]:
    """``decided``: the revision that the event names; ``known``: all and when they were in force. Times in ISO 8601, UTC.

    The rules are asked again with what is stored: conditions are about facts only, which no rule alters.
    """
    end = end_of(event.unit, known, now)
    rules = None if decided is None else Rules(decided)
    decision = None if rules is None else rules.decide(Batch.of(event.columns))
    capture = retention = None
    if decided is not None and decision is not None:
        capture = _first(decided.captures, decision.levels)
        retention = _first(decided.retentions, decision.classes)
    return {
        "event_id": event.text("event_id"),
        "tenant": event.text("tenant_id"),
        "rules_revision": event.text("processed_rules_revision"),
        "retention": {
            "class": event.unit.retention_class,
            "month": event.unit.month,
            "rule": None if retention is None else retention.name,
            "by": DEFAULT if retention is None else f"the retention rule {retention.name}",
            "stays_until": None if end is None else _iso(end.at),
            "months": None if end is None else end.months,
            "revision": None if end is None else end.revision,
        },
        "capture": None if capture is None else {"rule": capture.name, "level": capture.level},
        "redacted": [_touched(item) for item in event.columns.column("processed_redacted_fields")[0].as_py() or ()],
        "identity_conflict": bool(event.columns.column("processed_identity_conflict")[0].as_py()),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    kept, name = found["retention"], found["retention"]["class"] or "(none)"
    stays = f"until {kept['stays_until']}: {counted(kept['months'] or 0, 'month')} by revision {kept['revision']} of the rules"
    rules = found["rules_revision"]
    if rules and "/" not in rules:
        rules += " (the detectors'; no revision of rules was published then)"
    said = [
        f"event {found['event_id']} of {found['tenant']}",
        f"  class {name}, by {kept['by']}; taken in {kept['month']}",
        f"  it stays {stays if kept['stays_until'] else 'for ever: no revision of the rules says how long its class is kept'}",
        f"  rules when it was processed: {rules or 'not said'}",
    ]
    if found["capture"]:
        said.append(f"  capture level {found['capture']['level']}, by the rule {found['capture']['rule']}")
    said += [f"  redacted: {one['field']}, by {_by(one)}" for one in found["redacted"]]
    return said if found["redacted"] else [*said, "  nothing of it was redacted"]


def covering(certificates: Iterable[dict[str, str]], event_id: str, month: str | None) -> list[dict[str, str]]:
    """Of deleted classes and months those that an event which is gone may have been of. ``month``: in which it came in, if that
    is known; else what its id says, where it has a time (UUID version 7): it did not come in before that.
    """
    if month is not None:
        return [one for one in certificates if one["month"] == month]
    made = uuid.UUID(event_id)
    since = ""
    if made.version == 7:
        since = f"{datetime.fromtimestamp((made.int >> 80) / 1000, UTC) - DAY:%Y-%m}"
    return [one for one in certificates if one["month"] >= since]


def _first(rules: Sequence[Any], codes: Any) -> Any:
    return None if codes is None or codes[0] == NONE else rules[codes[0]]


def _touched(item: str) -> dict[str, str | None]:
    """An entry of processed_redacted_fields: a column, and behind ``=`` what touched it."""
    field, _, by = item.partition("=")
    rule = by.removeprefix("rule:") if by.startswith("rule:") else None
    return {"field": field, "rule": rule, "detector": None if rule else by or None}


def _by(one: dict[str, Any]) -> str:
    return f"the rule {one['rule']}" if one["rule"] else one["detector"] or "a detector"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

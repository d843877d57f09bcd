"""What goes in and out of the reading API, as OpenAPI shows it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from pipeline.export.models import TimeField

_FILTER = (
    "`column:value`, repeatable; of the same column one value must match, of different columns all. Numbers and booleans as in"
    " JSON, texts as they are."
)
_PAGE: JsonDict = {
    "events": [{"occurred_at": "2026-11-02T09:15:00.123456Z", "event_type": "tool.denied", "actor_id": "jana@example.com"}],
    "next_cursor": "q1bKTq0EAA",
    "complete_until": "2026-11-02T09:20:00.000000Z",
    "complete": True,
}


def _zoned(value: object) -> object:
    """A `+` that was not percent-encoded arrives as a space."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*", value):
        raise ValueError("is not a text in ISO 8601 with a zone, such as 2026-11-01T00:00:00Z")
    return value[:11] + value[11:].replace(" ", "+")


ReadTime = Annotated[AwareDatetime, BeforeValidator(_zoned)]


class Range(BaseModel):
    """Whose events, and when they happened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str = Field(min_length=1, max_length=256, description="Tenant whose events are read.", examples=["demo"])
    from_: ReadTime = Field(
        alias="from", description="First moment, inclusive: ISO 8601 with a zone.", examples=["2026-11-01T00:00:00Z"]
    )
    to: ReadTime = Field(description="Last moment, exclusive; after `from`.", examples=["2026-12-01T00:00:00Z"])


class Selection(Range):
    """Which events."""

    time: TimeField = Field(
        default="occurred", description="What the range is of: `occurred_at`, or the time the event was ingested."
    )
    filter: list[Annotated[str, Field(max_length=1200)]] = Field(
        default_factory=list, max_length=1000, description=_FILTER, examples=[["event_type:tool.denied", "outcome:denied"]]
    )


class PageRequest(Selection):
    """Which events, and which page of them."""

    columns: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="Columns, comma separated, in this order; all where this is left out.",
        examples=["occurred_at,event_type,actor_id,tool_name,outcome"],
    )
    order: Literal["asc", "desc"] = Field(default="asc", description="By time, then by event_id and position.")
    limit: int = Field(
        default=100, ge=1, le=1000, description="Events of a page at most; there may be fewer where they are large or far apart."
    )
    cursor: str | None = Field(
        default=None,
        min_length=1,
        max_length=8192,
        description="`next_cursor` of the page before, with the same parameters. Pages that hang together show what was stored"
        " when the first was read, however much arrives meanwhile. Good for a day.",
    )


class Covered(BaseModel):
    """How far an answer is complete."""

    complete_until: datetime = Field(
        description="Everything ingested before this moment (UTC) was stored when the answer was read.",
        examples=["2026-11-02T09:20:00.000000Z"],
    )
    complete: bool = Field(description="`to` is not later than that.")


class EventPage(Covered):
    """A page of events. An event is an object of the columns asked for, in the form of a line of a JSONL extract."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PAGE]})

    events: list[dict[str, Any]]
    next_cursor: str | None = Field(description="Where to go on; null where there is no more.")


class OneEvent(Covered):
    """An event by its id, and events that claim the same id with other content."""

    event: dict[str, Any] = Field(description="All columns.")
    conflicts: list[dict[str, Any]] = Field(description="At most 20; each has `processed_identity_conflict`.")
    complete: bool = Field(description="Always true: an event that is stored does not change.")


class ExplainRequest(BaseModel):
    """Whose event is explained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str = Field(min_length=1, max_length=256, description="Whose event it is.", examples=["demo"])
    month: str | None = Field(
        default=None,
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$",
        description="Of one that is gone: the month in which it came in, if known.",
        examples=["2026-03"],
    )


class Kept(BaseModel):
    """Its retention class, and until when it stays."""

    class_: str = Field(alias="class", description="Retention class; empty: none.", examples=["standard"])
    month: str = Field(description="Month (UTC) in which it came in.", examples=["2026-03"])
    rule: str | None = Field(description="The retention rule that gave it the class; null: none did.")
    by: str = Field(description="What gave it the class, in words.")
    stays_until: str | None = Field(
        description="UTC; null: for ever, as no rules say how long.", examples=["2026-10-01T00:00:00Z"]
    )
    months: int | None = Field(description="How long the class is kept.", examples=[6])
    revision: int | None = Field(description="Revision of the rules that says so.", examples=[7])


class Captured(BaseModel):
    """The capture rule that decided how much of it is kept."""

    rule: str
    level: str = Field(examples=["request"])


class Touched(BaseModel):
    """A field that was redacted: by a rule, or by what a detector found."""

    field: str = Field(examples=["prompt"])
    rule: str | None
    detector: str | None


class Explanation(BaseModel):
    """Why one stored event is as it is."""

    event_id: str
    tenant: str
    rules_revision: str = Field(description="As the event has it: digest of the detectors, and number of the rules' revision.")
    retention: Kept
    capture: Captured | None = Field(description="Null: no rule of it matched, all was kept.")
    redacted: list[Touched]
    identity_conflict: bool = Field(description="True of an event that claims the id of an earlier one with other content.")


class Certified(BaseModel):
    """A class and month that was deleted at the end of its time."""

    class_: str = Field(alias="class", examples=["short"])
    month: str = Field(examples=["2026-03"])
    certificate: str = Field(description="Key of the signed certificate in the archive bucket.")


class Explained(BaseModel):
    """Why an event is as it is; of one that is not there, what may have deleted it."""

    stored: bool
    explanations: list[Explanation] = Field(description="The event, then those that claim its id with other content.")
    may_be_deleted_by: list[Certified] = Field(
        description="Only where it is not stored: what was deleted, of any tenant, that it may have been of, if it ever was."
    )


class EventType(BaseModel):
    """One type of event in a range."""

    event_type: str = Field(examples=["tool.denied"])
    events: int
    first: datetime = Field(description="The earliest `occurred_at` of it in the range.")
    last: datetime = Field(description="The latest.")


class EventTypes(Covered):
    """The types of the events in a range, the most frequent first."""

    event_types: list[EventType]
    left_out: int = Field(description="Types beyond the first 10,000.")


class Series(BaseModel):
    """Events of one type and outcome over time."""

    event_type: str = Field(examples=["tool.denied"])
    outcome: str = Field(examples=["denied"])
    total: int
    counts: list[int] = Field(description="Events of each step from `from` on; as many in each series.")


class Counts(Covered):
    """Events by type and outcome over time, the most frequent first."""

    step_seconds: int = Field(description="Width of a step; there are at most 120, the last may end after `to`.")
    total: int = Field(description="All events of the range, those of series that are left out as well.")
    series: list[Series]
    series_left_out: int = Field(description="Series beyond the first 1,000.")

"""What goes in and out of the API, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic.config import JsonDict

from pipeline.export.limits import Limits

Format = Literal["parquet", "jsonl", "csv"]
TimeField = Literal["occurred", "ingested"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
FilesState = Literal["none", "available", "expired"]
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr


def _text(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise ValueError("is not a text in ISO 8601 with a zone, such as 2026-11-01T00:00:00Z")  # noqa: TRY004  pydantic wants it
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_text)]
_EXAMPLE: JsonDict = {
    "tenant": "demo",
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-12-01T00:00:00Z",
    "filters": {"event_type": ["tool.invoked", "tool.denied"], "outcome": "denied"},
    "columns": ["occurred_at", "event_type", "actor_id", "tool_name", "outcome"],
    "format": "parquet",
}
EXAMPLE_ID, _TIMES = "0190c0de-7a31-4b52-9c1d-3f2a6b7e8d90", {"created_at": "2026-12-01T08:00:00Z"}
_FILE: JsonDict = {"name": "part-00000.parquet", "rows": 1_204, "bytes": 88_213, "sha256": "9f" * 32}
_EXTRACT: JsonDict = {
    **_TIMES,
    "id": EXAMPLE_ID,
    "state": "done",
    "tenant": "demo",
    "principal": "compliance@example.com",
    "finished_at": "2026-12-01T08:00:02Z",
    "definition": None,
    "period_start": None,
    "query": {**_EXAMPLE, "time": "occurred"},
    "complete": True,
    "pipeline_complete": True,
    "producers_complete": True,
    "complete_until": "2026-12-01T07:59:59Z",
    "progress": {"rows_done": 1_204, "rows_total": 1_204, "fraction": 1.0},
    "counts": {"rows": 1_204, "files": 1, "bytes": 88_213},
    "files_state": "available",
    "expires_at": "2026-12-08T08:00:00Z",
    "files": [_FILE],
    "manifest": {"name": "manifest.json", "rows": 0, "bytes": 2_011, "sha256": "3c" * 32},
    "error": "",
}
_PROBLEM: JsonDict = {
    "error": "The token has no right to this tenant.",
    "what_to_do": "Ask for a tenant of yours, or have an operator add it to your principal.",
}
_DEFINITION: JsonDict = {
    "name": "Denials of the month",
    "tenant": "demo",
    "filters": {"outcome": "denied"},
    "format": "csv",
    "schedule": {"every": "month"},
}
_SHOWN_DEFINITION: JsonDict = {
    **_TIMES,
    "id": EXAMPLE_ID,
    "name": "Denials of the month",
    "tenant": "demo",
    "principal": "compliance@example.com",
    "query": {"time": "occurred", "filters": {"outcome": ["denied"]}, "columns": ["occurred_at", "event_type"], "format": "csv"},
    "schedule": {"every": "month", "stopped": ""},
}


def body_schema(model: type[BaseModel]) -> JsonDict:
    """The model's JSON Schema in one piece, for OpenAPI: its own definitions put in where they are referred to."""
    whole = model.model_json_schema()
    defined = whole.pop("$defs", {})

    def put_in(part: Any) -> Any:
        if isinstance(part, dict):
            return put_in(defined[part["$ref"].rpartition("/")[2]]) if "$ref" in part else {k: put_in(v) for k, v in part.items()}
        return [put_in(item) for item in part] if isinstance(part, list) else part

    found: JsonDict = put_in(whole)
    return found


class ExtractRequest(BaseModel):
    """What to extract: the events of one tenant that happened, or were ingested, in ``[from, to)``."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [_EXAMPLE]})

    tenant: str = Field(min_length=1, max_length=256, description="Tenant whose events are extracted.")
    from_: Time = Field(alias="from", description="First moment, inclusive: ISO 8601 with a zone.")
    to: Time = Field(description="Last moment, exclusive: ISO 8601 with a zone; after `from`.")
    filters: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict,
        max_length=20,
        description="Column → value, or list of values of which one must match; of a list column one item must match."
        " Columns marked fact or personal.",
    )
    columns: list[str] | None = Field(None, min_length=1, description="Columns and their order; all where this is left out.")
    format: Format = Field("parquet", description="Form of the files: parquet (zstd), jsonl, or csv with a header line.")
    time: TimeField = Field("occurred", description="Which time the range is of: `occurred_at`, or `processed_ingested_at`.")
    require_complete: StrictBool = Field(False, description="Refuse (409) where `to` is later than `complete_until`.")


class Progress(BaseModel):
    """How far an extract is."""

    rows_done: int = Field(description="Rows written so far.")
    rows_total: int | None = Field(description="Rows the extract will have; null until they are counted.")
    fraction: float = Field(description="0 to 1.")


class File(BaseModel):
    """One file of an extract."""

    name: str = Field(description="Name to download it by.")
    rows: int = Field(description="Events in it.")
    bytes: int = Field(description="Its size.")
    sha256: str = Field(description="SHA-256 of its bytes, hexadecimal.")


class Extract(BaseModel):
    """An extract and how far it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXTRACT]})

    id: str
    state: State
    tenant: str
    principal: str = Field(description="Who asked for it.")
    created_at: datetime = Field(description="UTC.")
    finished_at: datetime | None = Field(description="When it was done, failed or was cancelled; UTC.")
    definition: str | None = Field(description="Id of the definition it was made from.")
    period_start: datetime | None = Field(description="Begin of the scheduled period; null where nobody's schedule made it.")
    query: dict[str, Any] = Field(description="What was asked for, with every default filled in.")
    complete: bool = Field(
        description="True where both of the following are: nothing of the range is missing, as far as is known."
    )
    pipeline_complete: bool = Field(description="`to` is not later than `complete_until`.")
    producers_complete: bool | None = Field(
        description="No producer misses anything of the range or may still send some; the manifest names what is missing under"
        " `completeness`. Null: of an extract made before producers were asked."
    )
    complete_until: datetime | None = Field(
        description="Everything ingested before this moment is covered (UTC); fixed when the extract begins. Null: not known yet."
    )
    progress: Progress
    counts: dict[str, int] = Field(description="rows, files and bytes of the finished files.")
    files_state: FilesState = Field(description="`expired`: deleted, or about to be; ask for the extract again.")
    expires_at: datetime | None = Field(description="When the files are deleted; UTC.")
    files: list[File] = Field(description="To be fetched from /v1/extracts/{id}/files/{name} while they are `available`.")
    manifest: File | None = Field(description="The file that describes the others; null until the state is done.")
    error: str = Field(description="Why it failed, or why it is tried again; empty otherwise.")


class Extracts(BaseModel):
    """A page of extracts, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"extracts": [_EXTRACT], "next_cursor": None}]})

    extracts: list[Extract]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last one.")


class Schedule(BaseModel):
    """When a definition makes an extract by itself: for each period in UTC, once everything of it is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Literal["day", "week", "month"] = Field(description="Weeks begin on Monday.")


class DefinitionRequest(BaseModel):
    """An extract to be made again and again: as an `ExtractRequest`, with a name and without a range."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [_DEFINITION]})

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$", description="Unique within the tenant.")
    tenant: str = Field(min_length=1, max_length=256, description="Tenant whose events are extracted.")
    time: TimeField = Field("occurred", description="Which time ranges are of.")
    filters: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict, max_length=20, description="As of an extract.")
    columns: list[str] | None = Field(None, min_length=1, description="As of an extract; fixed now, also where it is left out.")
    format: Format = Field("parquet", description="Form of the files.")
    schedule: Schedule | None = Field(None, description="Left out: extracts are made only when they are asked for.")


class RangeRequest(BaseModel):
    """The range of an extract that is made from a definition."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{k: _EXAMPLE[k] for k in ("from", "to")}]}
    )

    from_: Time = Field(alias="from", description="First moment, inclusive: ISO 8601 with a zone.")
    to: Time = Field(description="Last moment, exclusive: ISO 8601 with a zone; after `from`.")
    require_complete: StrictBool = Field(False, description="Refuse (409) where `to` is later than `complete_until`.")


class ShownSchedule(Schedule):
    """A schedule and whether it goes on."""

    stopped: str = Field(description="Why it has ended; empty while it goes on.")


class Definition(BaseModel):
    """A saved definition."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN_DEFINITION]})

    id: str
    name: str
    tenant: str
    principal: str = Field(description="Who made it; its schedule runs under this name and this principal's rights.")
    created_at: datetime = Field(description="UTC. The first scheduled period is the one that this moment lies in.")
    query: dict[str, Any] = Field(description="time, filters, columns, format.")
    schedule: ShownSchedule | None


class Definitions(BaseModel):
    """A page of definitions, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"definitions": [_SHOWN_DEFINITION], "next_cursor": None}]})

    definitions: list[Definition]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last one.")


class Problem(BaseModel):
    """Any answer that is not the asked-for one."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROBLEM]})

    error: str = Field(description="What is wrong.")
    what_to_do: str = Field(description="What to do about it.")
    complete_until: datetime | None = Field(
        None, description="Of a 409 to `require_complete` only: up to where the answer would be complete, by ingest time; UTC."
    )


class Me(BaseModel):
    """The principal of the token."""

    name: str = Field(examples=["compliance@example.com"])
    tenants: list[str] = Field(description="Tenants whose events the principal may see.", examples=[["demo"]])
    rights: list[str] = Field(description="`read`: events, counts, types; `extract`: extracts.", examples=[["read", "extract"]])
    limits: Limits


class Health(BaseModel):
    """Whether the service is well."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"part": "export", "healthy": True, "reason": ""}]})

    part: str = Field(description="`export`.")
    healthy: bool
    reason: str = Field(description="What is wrong; empty where nothing is.")

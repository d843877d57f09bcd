"""What goes in and out of the API, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic.config import JsonDict

Format = Literal["parquet", "jsonl", "csv"]
TimeField = Literal["occurred", "ingested"]
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
    require_complete: bool = Field(False, description="Refuse (409) where `to` is later than `complete_until`.")


class Progress(BaseModel):
    """How far a running extract is."""

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

    id: str
    state: Literal["queued", "running", "done", "failed"]
    tenant: str
    principal: str = Field(description="Who asked for it.")
    created_at: datetime = Field(description="UTC.")
    query: dict[str, Any] = Field(description="What was asked for, with every default filled in.")
    progress: Progress
    counts: dict[str, int] = Field(description="rows, files and bytes of the finished files.")
    files: list[File] = Field(description="To be fetched from /v1/extracts/{id}/files/{name} once the state is done.")
    manifest: File | None = Field(description="The file that describes the others; null until the state is done.")
    error: str = Field(description="Why it failed, or why it is tried again; empty otherwise.")


class Problem(BaseModel):
    """Any answer that is not the asked-for one."""

    error: str = Field(description="What is wrong.")
    what_to_do: str = Field(description="What to do about it.")

"""A checked request and its SQL. Values travel as server-side parameters only; column names come from the schema's list only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError

from connectors.kafka_marks import Marks
from pipeline.export import columns
from pipeline.export.errors import RefusedError, advice, invalid
from pipeline.export.models import ExtractRequest, Scalar

MOST_VALUES = 100
MOST_CHARACTERS = 1024
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_RANGES = {"Int64": (-(2**63), 2**63 - 1), "UInt64": (0, 2**64 - 1)}
Params = dict[str, str | int]
TIME_COLUMNS = {"occurred": "occurred_at", "ingested": "processed_ingested_at"}
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Query:
    """What an extract contains. Times in microseconds since 1970, UTC, half-open; filters are checked against the schema.

    ``time`` says which time the range is of: a key of TIME_COLUMNS.
    """

    tenant: str
    start: int
    end: int
    filters: dict[str, list[Any]]
    columns: list[str]
    format: str
    time: str = "occurred"

    @property
    def time_column(self) -> str:
        return TIME_COLUMNS[self.time]

    @property
    def start_time(self) -> datetime:
        return _moment(self.start)

    @property
    def end_time(self) -> datetime:
        return _moment(self.end)

    @property
    def order(self) -> list[str]:
        """Columns that the rows are sorted by; no two events share all of them."""
        return [self.time_column, "event_id", "kafka_partition", "kafka_offset"]

    @classmethod
    def of(cls, request: ExtractRequest) -> Self:
        """Raises RefusedError (422) with what to change."""
        names = list(columns.known()) if request.columns is None else request.columns
        for name in names:
            _known(name, request.tenant)
        if len(set(names)) < len(names):
            raise invalid("A column is named twice.", "Name each column once.", request.tenant)
        filters = {name: _values(name, value, request.tenant) for name, value in request.filters.items()}
        start, end = _bounds(request.tenant, request.from_, request.to)
        return cls(request.tenant, start, end, filters, names, request.format, request.time)

    @classmethod
    def over(cls, defined: Mapping[str, Any], tenant: str, start: datetime, end: datetime) -> Self:
        """What a definition (time, filters, columns, format) says, over a range. Raises RefusedError (422)."""
        first, last = _bounds(tenant, start, end)
        return cls(tenant, first, last, defined["filters"], defined["columns"], defined["format"], defined["time"])

    def public(self) -> dict[str, Any]:
        """As the job table, the API and the manifest have it; ``Query.stored`` reads it back."""
        return {
            "tenant": self.tenant,
            "from": iso(self.start),
            "to": iso(self.end),
            "time": self.time,
            "filters": self.filters,
            "columns": self.columns,
            "format": self.format,
        }

    @classmethod
    def stored(cls, query: Mapping[str, Any]) -> Self:
        """The inverse of ``public``."""
        start, end = (micros(datetime.fromisoformat(query[k])) for k in ("from", "to"))
        time = query.get("time", "occurred")
        return cls(query["tenant"], start, end, query["filters"], query["columns"], query["format"], time)


def parse(body: bytes) -> Query:
    """A request's JSON text as a query. Raises RefusedError (422): what is wrong is named, values are not quoted."""
    return Query.of(checked(ExtractRequest, body))


def checked(model: type[M], body: bytes) -> M:
    """A request's JSON text as a model. Raises RefusedError (422), values are not quoted."""
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        raise refusal(exc, model) from None


@dataclass(frozen=True)
class Reading:
    """How a query is read: SQL and parameters over slices of time, bound to one tenant and to what the high-water marks cover.

    ``marks``: up to where each partition is stored for good. What came through an earlier topic of that name is so anyway.
    ``isolated=False`` reads the table of all tenants, which user export may not: for negative tests only.
    """

    namespace: str
    query: Query
    marks: Marks
    isolated: bool = True

    def count(self, start: int, end: int, width: int) -> tuple[str, Params]:
        """Rows of (slice number from ``start``, events) for slices of ``width`` microseconds in ``[start, end)``."""
        where, params = self.where(start, end)
        number = f"intDiv(toUnixTimestamp64Micro(assumeNotNull({self.query.time_column})) - {{origin:Int64}}, {{width:Int64}})"
        sql = f"SELECT {number} AS slice, count() FROM {self.view} WHERE {where} GROUP BY slice ORDER BY slice"  # noqa: S608
        return sql, params | {"origin": start, "width": width}

    def read(self, start: int, end: int) -> tuple[str, Params]:
        """The events in ``[start, end)`` in their fixed order."""
        where, params = self.where(start, end)
        names = ", ".join(f"`{columns.known()[n].name}`" for n in self.query.columns)
        order = ", ".join(self.query.order)
        return f"SELECT {names} FROM {self.view} WHERE {where} ORDER BY {order}", params  # noqa: S608

    @property
    def view(self) -> str:
        """What to read from."""
        return f"`{self.namespace}`.events_of(tenant={{tenant:String}})" if self.isolated else f"`{self.namespace}`.events"

    def where(self, start: int, end: int) -> tuple[str, Params]:
        """Condition and parameters for the events in ``[start, end)``; the tenant is the view's parameter."""
        params: Params = {"tenant": self.query.tenant, "start": _clickhouse_time(start), "end": _clickhouse_time(end)}
        time = self.query.time_column
        terms = [f"{time} >= {{start:DateTime64(6, 'UTC')}}", f"{time} < {{end:DateTime64(6, 'UTC')}}"]
        params["topic_id"] = self.marks.topic_id
        covered = ["kafka_topic_id != {topic_id:String}"]
        for partition, mark in sorted(self.marks.ends.items()):
            params[f"mark_{partition}"] = mark
            covered.append(f"(kafka_partition = {partition:d} AND kafka_offset < {{mark_{partition}:Int64}})")
        terms.append(f"({' OR '.join(covered)})")
        for number, (name, values) in enumerate(self.query.filters.items()):
            column = columns.known()[name]
            given = {f"filter_{number}_{i}": json.dumps(v) if not isinstance(v, str) else v for i, v in enumerate(values)}
            listed = ", ".join(f"{{{key}:{column.filter_type}}}" for key in given)
            terms.append(f"hasAny(`{column.name}`, [{listed}])" if column.kind == "strings" else f"`{column.name}` IN ({listed})")
            params |= given
        return " AND ".join(terms), params


def _bounds(tenant: str, start: datetime, end: datetime) -> tuple[int, int]:
    if start >= end:  # compared as they are: near the years 1 and 9999 there is no UTC for some
        raise invalid("`from` is not before `to`.", "The range is half-open, [from, to): give a `to` that is later.", tenant)
    if start < EARLIEST or end > LATEST:
        raise invalid("The range leaves the years 1970 to 2200.", "No event lies outside them: narrow the range.", tenant)
    return micros(start), micros(end)


def _known(name: str, tenant: str) -> columns.Column:
    if (column := columns.known().get(name)) is None:
        raise invalid(f"There is no column {name[:64]!r}.", columns.nearest(name), tenant)
    return column


def _values(name: str, value: Scalar | list[Scalar], tenant: str) -> list[Any]:
    column, values = _known(name, tenant), value if isinstance(value, list) else [value]
    if not column.filter_type:
        why = "its content cannot be searched" if column.data_class == "content" else "use `from` and `to` for times"
        raise invalid(f"Column {name} cannot be filtered: {why}.", "Filter by columns marked fact or personal.", tenant)
    if not 1 <= len(values) <= MOST_VALUES:
        raise invalid(f"The filter on {name} has {len(values)} values.", f"Give 1 to {MOST_VALUES} values.", tenant)
    if not all(_fits(v, column.filter_type) for v in values):
        raise invalid(
            f"A value of the filter on {name} is not a possible {column.filter_type}.",
            f"Strings have at most {MOST_CHARACTERS} characters and no NUL; numbers and booleans are not put in quotes.",
            tenant,
        )
    return [float(v) for v in values] if column.filter_type == "Float64" else list(values)


def filters_of(texts: list[str], tenant: str) -> dict[str, list[Scalar]]:
    """``column:value`` texts as filters, values in their column's type. Raises RefusedError (422)."""
    filters: dict[str, list[Scalar]] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon:
            raise invalid("A filter has no colon.", "A filter is `column:value`, such as `outcome:denied`.", tenant)
        filters.setdefault(name, []).append(_typed(_known(name, tenant), value, tenant))
    return filters


def _typed(column: columns.Column, value: str, tenant: str) -> Scalar:
    """Numbers and booleans are written as in JSON, texts as they are."""
    if column.filter_type in ("String", ""):
        return value
    try:
        typed = json.loads(value) if len(value) <= 64 else None
    except ValueError:
        typed = None
    if not isinstance(typed, bool | int | float):
        what = "true or false" if column.filter_type == "Bool" else "a number"
        raise invalid(f"A value of the filter on {column.name} is not {what}.", f"Write {what}, without quotes.", tenant)
    return typed


def _fits(value: Scalar, kind: str) -> bool:
    if kind == "String":
        return isinstance(value, str) and len(value) <= MOST_CHARACTERS and "\0" not in value
    if kind == "Bool":
        return isinstance(value, bool)
    if isinstance(value, bool | str):
        return False
    if kind == "Float64":
        return abs(value) <= 1.7e308
    low, high = _RANGES[kind]
    return isinstance(value, int) and low <= value <= high


def refusal(exc: ValidationError, model: type[BaseModel]) -> RefusedError:
    """What is wrong with the first wrong field (422)."""
    first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part)[:64] for part in first["loc"]) or "the body"
    hint = advice(first["type"], "See /docs for the request's form.")
    if first["type"] == "extra_forbidden":
        hint = "The fields are " + ", ".join(f.alias or n for n, f in model.model_fields.items()) + "."
    return invalid(f"{where}: {first['msg']}.", hint)


def micros(moment: datetime) -> int:
    """Microseconds since 1970, UTC."""
    delta = moment - EARLIEST
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def _moment(micros: int) -> datetime:
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def iso(moment: int) -> str:
    """Microseconds since 1970 as every answer and file has them."""
    return _moment(moment).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def _clickhouse_time(micros: int) -> str:
    return _moment(micros).strftime("%Y-%m-%d %H:%M:%S.%f")

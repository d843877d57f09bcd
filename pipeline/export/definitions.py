"""The routes of saved definitions: an extract to be made again and again, on demand or for every day, week or month."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import JSONResponse

from connectors.postgres import definitions as table
from pipeline.export import audit, enqueue, models, paging, queries
from pipeline.export.access import Asker, Made, Service, body, no_tenant, problems, strict_query, who
from pipeline.export.auth import Principal
from pipeline.export.errors import RefusedError, not_found
from pipeline.export.routes import accepted, located

MOST_DEFINITIONS = 100
router = APIRouter(tags=["definitions"])
DefinitionId = Annotated[str, Path(alias="id", description="Id of the definition.", max_length=64, examples=[models.EXAMPLE_ID])]
_DEFINED = ("time", "filters", "columns", "format")


def _body(model: type[models.DefinitionRequest | models.RangeRequest]) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": models.body_schema(model)}}, "required": True}}


@router.post(
    "/v1/definitions",
    status_code=201,
    response_model=models.Definition,
    responses=located(201, "Where it is.") | problems(403, 409, 413),
    openapi_extra=_body(models.DefinitionRequest),
    dependencies=[Depends(strict_query())],
    summary="Save a definition",
)
def create(request: Request, made: Made, asker: Asker, text: Annotated[bytes, Depends(body)]) -> Response:
    """Saves what an extract is made of. With a schedule, an extract is made for each period in UTC, beginning with the one of
    now, once everything that was ingested in it is stored; under the name and with the rights and limits of who saved it.
    """
    asked = queries.checked(models.DefinitionRequest, text)
    query = _query(asked)
    if not asker.may_extract(asked.tenant):
        raise no_tenant(asked.tenant)
    if made.stores.definitions.count(asker.name) >= MOST_DEFINITIONS:
        error, hint = "There are too many definitions.", f"Delete one: a principal has at most {MOST_DEFINITIONS}."
        raise RefusedError(429, "too_many_definitions", error, hint, tenant=asked.tenant, retry_after=3600)
    number, every = uuid.uuid4(), asked.schedule.every if asked.schedule else None
    attributes = audit.of_query({"from": "", "to": "", **query}) | {"every": every or ""}
    fields = _fields(request, asker, number) | {"activity": "create", "attributes": {k: v for k, v in attributes.items() if v}}
    made.stores.trail.record(audit.DEFINED, asked.tenant, **fields)
    new = table.NewDefinition(asked.name, asked.tenant, asker.name, query, every)
    if (saved := made.stores.definitions.create(number, new)) is None:
        hint = "Choose another name, or delete the other definition first: definitions are not changed."
        raise RefusedError(409, "name_taken", "The tenant has a definition of this name.", hint, tenant=asked.tenant)
    return JSONResponse(_shown(saved).model_dump(mode="json"), 201, {"Location": f"/v1/definitions/{saved.id}"})


@router.get(
    "/v1/definitions",
    response_model=models.Definitions,
    responses=problems(403),
    dependencies=[Depends(strict_query("limit", "cursor"))],
    summary="List definitions",
)
def newest(made: Made, asker: Asker, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> models.Definitions:
    """Definitions of the caller's tenants, newest first, whoever saved them."""
    found = made.stores.definitions.newest(asker.tenants, limit + 1, paging.read(cursor))
    return models.Definitions(definitions=[_shown(d) for d in found[:limit]], next_cursor=paging.after(found, limit))


@router.get(
    "/v1/definitions/{id}",
    response_model=models.Definition,
    responses=problems(403, 404),
    dependencies=[Depends(strict_query())],
    summary="Show a definition",
)
def show(made: Made, asker: Asker, number: DefinitionId) -> models.Definition:
    """What it is made of, and whether its schedule goes on."""
    return _shown(_definition(made, asker, number))


@router.delete(
    "/v1/definitions/{id}",
    status_code=204,
    response_class=Response,
    responses=problems(403, 404),
    dependencies=[Depends(strict_query())],
    summary="Delete a definition",
)
def delete(request: Request, made: Made, asker: Asker, number: DefinitionId) -> Response:
    """Ends its schedule and frees its name. Extracts that were made from it stay."""
    found = _definition(made, asker, number)
    made.stores.trail.record(audit.UNDEFINED, found.tenant, **_fields(request, asker, found.id), activity="delete")
    if not made.stores.definitions.delete(found.id):
        raise not_found(found.tenant)
    return Response(status_code=204)


@router.post(
    "/v1/definitions/{id}/extracts",
    status_code=202,
    response_model=models.Extract,
    responses=located(202, "Where to watch it.") | problems(403, 404, 409, 413),
    openapi_extra=_body(models.RangeRequest),
    dependencies=[Depends(strict_query())],
    summary="Make an extract from a definition",
)
def make(request: Request, made: Made, asker: Asker, number: DefinitionId, text: Annotated[bytes, Depends(body)]) -> Response:
    """Queues an extract of the definition over a range of the caller's choice, in the caller's name."""
    found = _definition(made, asker, number)
    asked = queries.checked(models.RangeRequest, text)
    query = queries.Query.over(found.query, found.tenant, asked.from_, asked.to)
    origin = enqueue.Origin(found.id)
    job = enqueue.queue(made.stores, asker, query, who(request, asker), require_complete=asked.require_complete, origin=origin)
    return accepted(made, job)


def _query(asked: models.DefinitionRequest) -> dict[str, Any]:
    """What the definition fixes, checked. Raises RefusedError (422)."""
    given = asked.model_dump(include={*_DEFINED, "tenant"})
    whole = {"from": queries.EARLIEST, "to": queries.LATEST}
    query = queries.Query.of(models.ExtractRequest.model_validate(given | whole)).public()
    return {name: query[name] for name in _DEFINED}


def _definition(made: Service, asker: Principal, number: str) -> table.Definition:
    """The definition, if it is the asker's business; the refusal does not tell whether it exists."""
    try:
        found = made.stores.definitions.get(uuid.UUID(number))
    except ValueError:
        raise not_found() from None
    if found is None or not asker.may_extract(found.tenant):
        raise not_found(found.tenant if found else "")
    return found


def _fields(request: Request, asker: Principal, number: uuid.UUID) -> dict[str, Any]:
    return who(request, asker) | {"target_type": "extract_definition", "target_id": str(number)}


def _shown(found: table.Definition) -> models.Definition:
    schedule = models.ShownSchedule(every=found.every, stopped=found.stopped) if found.every else None
    return models.Definition(
        id=str(found.id),
        name=found.name,
        tenant=found.tenant,
        principal=found.principal,
        created_at=found.created_at,
        query=found.query,
        schedule=schedule,
    )

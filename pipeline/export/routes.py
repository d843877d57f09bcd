"""The routes of extracts. They run in threads, as they wait for servers; each checks the principal's rights of this moment."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from connectors.postgres.jobs import Job, Page
from pipeline.export import audit, enqueue, extract, formats, models, paging, queries
from pipeline.export.access import Asker, Made, Service, body, no_tenant, problems, strict_query, who
from pipeline.export.auth import Principal
from pipeline.export.downloads import Download
from pipeline.export.errors import RefusedError, not_found
from pipeline.export.files import MANIFEST

router = APIRouter()
ExtractId = Annotated[str, Path(alias="id", description="Id of the extract.", max_length=64, examples=[models.EXAMPLE_ID])]
_NAMES: dict[str, Any] = {"pattern": r"^(manifest\.json|part-[0-9]{5}\.(parquet|jsonl|csv))$"}
_BODY = {"content": {"application/json": {"schema": models.body_schema(models.ExtractRequest)}}, "required": True}
_TYPES: dict[str, Any] = {t: {"schema": {"type": "string", "format": "binary"}} for t in formats.MEDIA_TYPES.values()}
_TYPES["application/json"] = {"schema": {"type": "object", "description": "`manifest.json`.", "additionalProperties": True}}


@dataclass(frozen=True)
class Wanted:
    """Which extracts to list."""

    tenant: Annotated[str | None, Query(max_length=256, description="Of this tenant only.", examples=["demo"])] = None
    state: Annotated[models.State | None, Query(description="In this state only.", examples=["done"])] = None
    definition: Annotated[
        uuid.UUID | None, Query(description="Made from this definition only.", examples=[models.EXAMPLE_ID])
    ] = None


def located(status: int, description: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's response with a `Location`."""
    return {status: {"headers": {"Location": {"description": description, "schema": {"type": "string"}}}}}


@router.post(
    "/v1/extracts",
    status_code=202,
    response_model=models.Extract,
    responses=located(202, "Where to watch it.") | problems(403, 409, 413),
    openapi_extra={"requestBody": _BODY},
    dependencies=[Depends(strict_query())],
    tags=["extracts"],
    summary="Ask for an extract",
)
def create(request: Request, made: Made, asker: Asker, text: Annotated[bytes, Depends(body)]) -> Response:
    """Queues an extract of one tenant's events of ``[from, to)`` and answers at once; `Location` says where to watch it.

    It covers what is stored when it begins; the manifest names the position in each partition up to which that is. Where `to` is
    later than `complete_until`, events of the range may still be on their way: `complete` is false then.
    """
    asked = queries.checked(models.ExtractRequest, text)
    query = queries.Query.of(asked)
    if not asker.may_extract(query.tenant):
        raise no_tenant(query.tenant)
    job = enqueue.queue(made.stores, asker, query, who(request, asker), require_complete=asked.require_complete)
    return accepted(made, job)


def accepted(made: Service, job: Job | None) -> Response:
    """202 with the queued extract."""
    if job is None:
        raise RuntimeError("an extract without a period was taken for a repeated one")
    made.worker.wake()
    return JSONResponse(shown(job).model_dump(mode="json"), 202, {"Location": f"/v1/extracts/{job.id}"})


@router.get(
    "/v1/extracts",
    response_model=models.Extracts,
    responses=problems(403),
    dependencies=[Depends(strict_query("tenant", "state", "definition", "limit", "cursor"))],
    tags=["extracts"],
    summary="List extracts",
)
def newest(
    made: Made,
    asker: Asker,
    wanted: Annotated[Wanted, Depends()],
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> models.Extracts:
    """Extracts of the caller's tenants, newest first, whoever asked for them."""
    if wanted.tenant is not None and not asker.may_extract(wanted.tenant):
        raise no_tenant(wanted.tenant)
    tenants = asker.tenants if wanted.tenant is None else (wanted.tenant,)
    page = Page(tenants, limit + 1, wanted.state, wanted.definition, paging.read(cursor))
    found = made.stores.jobs.newest(page)
    return models.Extracts(extracts=[shown(job) for job in found[:limit]], next_cursor=paging.after(found, limit))


@router.get(
    "/v1/extracts/{id}",
    response_model=models.Extract,
    responses=problems(403, 404),
    dependencies=[Depends(strict_query())],
    tags=["extracts"],
    summary="Watch an extract",
)
def show(made: Made, asker: Asker, number: ExtractId) -> models.Extract:
    """State, progress, counts and files of an extract."""
    return shown(_job(made, asker, number))


@router.delete(
    "/v1/extracts/{id}",
    response_model=models.Extract,
    responses=problems(403, 404, 409),
    dependencies=[Depends(strict_query())],
    tags=["extracts"],
    summary="Cancel an extract",
)
def cancel(request: Request, made: Made, asker: Asker, number: ExtractId) -> models.Extract:
    """Takes it from the queue, or ends the work on it within a second; its files are removed. Repeating it changes nothing."""
    job = _job(made, asker, number)
    if job.state in ("queued", "running"):
        recorded = who(request, asker) | {"activity": "delete", "target_id": str(job.id)}
        made.stores.trail.record(audit.CANCELLED, job.tenant, **recorded)
        if (done := made.stores.jobs.cancel(job.id)) is not None:
            return shown(done)
        job = _job(made, asker, number)  # it ended in between
    if job.state == "cancelled":
        return shown(job)
    hint = (
        "There is nothing to cancel; its files are deleted when their time is over."
        if job.files
        else "Nothing is left to cancel."
    )
    error = f"The extract is {'done' if job.state == 'done' else 'over: it has failed'} already."
    raise RefusedError(409, "over", error, hint, tenant=job.tenant, extract=str(job.id))


@router.get(
    "/v1/extracts/{id}/files/{name}",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The file's bytes; ETag is their SHA-256.", "content": _TYPES},
        **problems(403, 404, 409, 410),
    },
    dependencies=[Depends(strict_query())],
    tags=["extracts"],
    summary="Fetch a file",
)
def download(
    request: Request,
    made: Made,
    asker: Asker,
    number: ExtractId,
    name: Annotated[str, Path(description="A file's name.", max_length=64, examples=[MANIFEST], json_schema_extra=_NAMES)],
) -> Response:
    """Streams one file, or `manifest.json`. Whoever downloads needs the right to the tenant at this moment."""
    job = _job(made, asker, number)
    if job.state != "done":
        raise _not_done(job)
    entry = next((f for f in job.files if f["name"] == name), None)
    if entry is None:
        raise not_found(job.tenant, str(job.id))
    found = None if job.expired else made.stores.bucket.stream(f"extracts/{job.id}/{job.attempt}/{name}")
    if found is None:
        hint = "Ask for the extract again with the same query: over a range that has all its events it gives the same bytes."
        raise RefusedError(410, "expired", "The extract's files have expired.", hint, tenant=job.tenant, extract=str(job.id))
    recorded = who(request, asker) | {"activity": "read", "target_id": str(job.id), "target_details": name}
    made.stores.trail.record(audit.READ, job.tenant, **recorded, attributes={"sha256": entry["sha256"]})
    return Download(found.pieces, headers=_headers(entry, found.size), media_type=_media_type(name))


@router.get(
    "/healthz",
    response_model=models.Health,
    responses={503: {"model": models.Health, "description": "It is not; `reason` says why."}},
    tags=["operation"],
    summary="Is the service well?",
)
def healthz(made: Made) -> JSONResponse:
    """200 while the worker gets at its queue, and once the audit trail has reached Kafka; else 503 with the reason."""
    wrong = made.worker.healthy()
    return JSONResponse({"part": "export", "healthy": wrong is None, "reason": wrong or ""}, 503 if wrong else 200)


def _job(made: Service, asker: Principal, number: str) -> Job:
    """The job, if it is the asker's business; the refusal does not tell whether it exists."""
    try:
        job = made.stores.jobs.get(uuid.UUID(number))
    except ValueError:
        raise not_found() from None
    if job is None:
        raise not_found(extract=str(uuid.UUID(number)))
    if not asker.may_extract(job.tenant):
        raise not_found(job.tenant, str(job.id))
    return job


def _not_done(job: Job) -> RefusedError:
    hints = {
        "failed": "It has failed, its `error` says why: ask for it again.",
        "cancelled": "It was cancelled: ask for it again.",
    }
    hint, wait = hints.get(job.state, "Watch its state, and fetch files when it is done."), 0 if job.state in hints else 2
    error = "The extract is not done."
    return RefusedError(409, "not_done", error, hint, tenant=job.tenant, extract=str(job.id), retry_after=wait)


def shown(job: Job) -> models.Extract:
    """A job as the API shows it."""
    files = [models.File(**f) for f in job.files]
    data = [f for f in files if f.name != MANIFEST]
    total, query = job.rows_total, queries.Query.stored(job.query)
    fraction = 1.0 if job.state == "done" else job.rows_done / total if total else 0.0
    return models.Extract(
        **{name: getattr(job, name) for name in _SAME},
        id=str(job.id),
        definition=str(job.definition) if job.definition else None,
        complete=extract.is_whole(query, job.complete_until, job.completeness),
        pipeline_complete=extract.is_complete(query, job.complete_until),
        producers_complete=None if job.completeness is None else bool(job.completeness["complete"]),
        progress=models.Progress(rows_done=job.rows_done, rows_total=total, fraction=round(min(fraction, 1.0), 4)),
        counts={"rows": sum(f.rows for f in data), "files": len(data), "bytes": sum(f.bytes for f in data)},
        files_state="none" if job.state != "done" else "expired" if job.expired else "available",
        files=data,
        manifest=next((f for f in files if f.name == MANIFEST), None),
    )


_SAME = (
    *("state", "tenant", "principal", "created_at", "finished_at", "period_start"),
    *("query", "complete_until", "expires_at", "error"),
)


def _headers(entry: dict[str, Any], size: int) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(entry["sha256"])).decode()
    return {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{entry["name"]}"',
        "ETag": f'"{entry["sha256"]}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }


def _media_type(name: str) -> str:
    return formats.MEDIA_TYPES[name.rpartition(".")[2]]

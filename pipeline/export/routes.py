"""The routes. They run in threads, as they wait for servers; each checks the principal's rights of this moment."""

from __future__ import annotations

import base64
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from connectors.postgres.jobs import Job
from pipeline.export import audit, formats, queries
from pipeline.export.access import Asker, Made, Service, body, no_tenant, problems, who
from pipeline.export.auth import Principal
from pipeline.export.errors import RefusedError, not_found
from pipeline.export.files import MANIFEST
from pipeline.export.models import Extract, ExtractRequest, File, Progress

MOST_OPEN_JOBS = 5
router = APIRouter()
ExtractId = Annotated[str, Path(alias="id", description="Id of the extract.", max_length=64)]

_TYPES: dict[str, Any] = {t: {} for t in formats.MEDIA_TYPES.values()}
_BODY = {"content": {"application/json": {"schema": ExtractRequest.model_json_schema()}}, "required": True}


@router.post(
    "/v1/extracts",
    status_code=202,
    response_model=Extract,
    responses=problems(403, 413),
    openapi_extra={"requestBody": _BODY},
    tags=["extracts"],
    summary="Ask for an extract",
)
def create(request: Request, made: Made, asker: Asker, text: Annotated[bytes, Depends(body)]) -> Response:
    """Queues an extract of one tenant's events of ``[from, to)`` and answers at once; `Location` says where to watch it.

    It covers what is stored when it begins: the manifest names the position in each partition up to which that is.
    """
    query = queries.parse(text)
    if not asker.may_extract(query.tenant):
        raise no_tenant(query.tenant)
    stores, job_id = made.stores, uuid.uuid4()
    if stores.jobs.open_jobs(asker.name) >= MOST_OPEN_JOBS:
        raise _too_many(query.tenant)
    recorded = who(request, asker) | {"activity": "create", "target_id": str(job_id)}
    stores.trail.record(audit.REQUESTED, query.tenant, **recorded, attributes=audit.of_query(query.public()))
    job = stores.jobs.create(job_id, query.tenant, asker.name, query.public(), MOST_OPEN_JOBS)
    if job is None:
        raise _too_many(query.tenant)
    made.worker.wake()
    return JSONResponse(_shown(job).model_dump(mode="json"), 202, {"Location": f"/v1/extracts/{job.id}"})


@router.get(
    "/v1/extracts/{id}", response_model=Extract, responses=problems(403, 404), tags=["extracts"], summary="Watch an extract"
)
def show(made: Made, asker: Asker, extract: ExtractId) -> Extract:
    """State, progress, counts and files of an extract."""
    return _shown(_job(made, asker, extract))


@router.get(
    "/v1/extracts/{id}/files/{name}",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file's bytes; ETag is their SHA-256.",
            "content": {t: {} for t in formats.MEDIA_TYPES.values()},
        },
        **problems(403, 404, 409),
    },
    tags=["extracts"],
    summary="Fetch a file",
)
def download(
    request: Request,
    made: Made,
    asker: Asker,
    extract: ExtractId,
    name: Annotated[str, Path(description="A file's name, or manifest.json.", max_length=64)],
) -> Response:
    """Streams one file, or `manifest.json`. Whoever downloads needs the right to the tenant at this moment."""
    job = _job(made, asker, extract)
    if job.state != "done":
        hint = "Watch its state; a failed extract has no files: ask for it again."
        raise RefusedError(409, "not_done", "The extract is not done.", hint, tenant=job.tenant, extract=str(job.id))
    entry = next((f for f in job.files if f["name"] == name), None)
    if entry is None:
        raise not_found(job.tenant, str(job.id))
    found = made.stores.bucket.stream(f"extracts/{job.id}/{job.attempt}/{name}")
    recorded = who(request, asker) | {"activity": "read", "target_id": str(job.id), "target_details": name}
    made.stores.trail.record(audit.READ, job.tenant, **recorded, attributes={"sha256": entry["sha256"]})
    return StreamingResponse(found.pieces, headers=_headers(entry, found.size), media_type=_media_type(name))


@router.get("/healthz", tags=["operation"], summary="Is the service well?", response_model=None)
def healthz(made: Made) -> JSONResponse:
    """200 while the worker gets at its queue; else 503 with the reason."""
    wrong = made.worker.healthy()
    return JSONResponse({"part": "export", "healthy": wrong is None, "reason": wrong or ""}, 503 if wrong else 200)


def _job(made: Service, asker: Principal, extract: str) -> Job:
    """The job, if it is the asker's business; the refusal does not tell whether it exists."""
    try:
        job = made.stores.jobs.get(uuid.UUID(extract))
    except ValueError:
        raise not_found() from None
    if job is None:
        raise not_found(extract=extract)
    if not asker.may_extract(job.tenant):
        raise not_found(job.tenant, str(job.id))
    return job


def _shown(job: Job) -> Extract:
    files = [File(**f) for f in job.files]
    data = [f for f in files if f.name != MANIFEST]
    total = job.rows_total
    fraction = 1.0 if job.state == "done" else job.rows_done / total if total else 0.0
    return Extract(
        id=str(job.id),
        state=job.state,
        tenant=job.tenant,
        principal=job.principal,
        created_at=job.created_at,
        query=job.query,
        progress=Progress(rows_done=job.rows_done, rows_total=total, fraction=round(min(fraction, 1.0), 4)),
        counts={"rows": sum(f.rows for f in data), "files": len(data), "bytes": sum(f.bytes for f in data)},
        files=data,
        manifest=next((f for f in files if f.name == MANIFEST), None),
        error=job.error,
    )


def _too_many(tenant: str) -> RefusedError:
    hint = f"Wait until one is done: a principal has at most {MOST_OPEN_JOBS} unfinished extracts."
    return RefusedError(429, "too_many", "There are too many unfinished extracts.", hint, tenant=tenant)


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

"""Who may ask what: the dependencies that all routes under ``/v1`` share, and ``GET /v1/me``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBearer

from pipeline.export.answers import address
from pipeline.export.auth import EXTRACT, READ, Principal, Principals
from pipeline.export.errors import RefusedError, invalid
from pipeline.export.jobs import Stores, Worker
from pipeline.export.limits import Buckets
from pipeline.export.models import Me, Problem

MOST_BODY_BYTES = 64 << 10
router = APIRouter()
_WHAT = {READ: "reading events", EXTRACT: "extracts"}
_DECLARED = HTTPBearer(scheme_name="token", description="`auditwired token new` makes one.", auto_error=False)


@dataclass(frozen=True)
class Service:
    """What the routes work with. ``cursor_key``: secret that the instances share; it seals cursors."""

    principals: Principals
    stores: Stores
    worker: Worker
    cursor_key: bytes
    buckets: Buckets = field(default_factory=Buckets)


def service(request: Request) -> Service:
    """The service that serves this request."""
    made: Service = request.app.state.service
    return made


Made = Annotated[Service, Depends(service)]


def principal(request: Request, made: Made, _shown: Annotated[object, Depends(_DECLARED)]) -> Principal:
    """Who asks, whatever their rights. Raises RefusedError: 401 without a known token, 429 beyond requests_per_minute."""
    found = made.principals.of(request.headers.get("authorization"))
    request.state.principal = found
    made.buckets.take(found.name, found.limits.requests_per_minute)
    return found


Known = Annotated[Principal, Depends(principal)]


def having(right: str) -> Callable[[Principal], Principal]:
    """A dependency: the principal, who has this right. Raises RefusedError (403) else."""

    def checked(found: Known) -> Principal:
        if right not in found.rights:
            hint = f"An operator gives the right `{right}` in the principals file."
            raise RefusedError(403, "no_right", f"The token has no right to {_WHAT[right]}.", hint)
        return found

    return checked


Asker = Annotated[Principal, Depends(having(EXTRACT))]
Reader = Annotated[Principal, Depends(having(READ))]


def no_tenant(tenant: str) -> RefusedError:
    """The principal has no right to this tenant."""
    hint = "Ask for a tenant of yours, or have an operator add it to your principal."
    return RefusedError(403, "no_tenant", "The token has no right to this tenant.", hint, tenant=tenant)


async def body(request: Request, _authenticated: Asker) -> bytes:
    """The request's body, bounded. Raises RefusedError (413)."""
    held = bytearray()
    async for piece in request.stream():
        held += piece
        if len(held) > MOST_BODY_BYTES:
            hint = f"A request has at most {MOST_BODY_BYTES} bytes: name fewer columns and values."
            raise RefusedError(413, "too_large", "The body is too large.", hint)
    return bytes(held)


def strict_query(*names: str) -> Callable[[Request, Principal], None]:
    """A dependency: no query parameter but these is given, each at most once but `filter`, all in UTF-8.

    Raises RefusedError (422). Routes without parameters take ``Depends(strict_query())``. Who asks is found out before.
    """

    def checked(request: Request, _first: Known) -> None:
        given = [name for name, _ in decoded(request)]
        for name in given:
            if name not in names:
                hint = f"The parameters are {', '.join(names)}." if names else "This path has no parameters."
                raise invalid(f"There is no parameter {name[:64]!r}.", hint)
            if given.count(name) > 1 and name != "filter":
                raise invalid(f"The parameter {name} is given twice.", "Give it once.")

    return checked


def decoded(request: Request) -> list[tuple[str, str]]:
    """The query's parameters. Raises RefusedError (422) where they are no UTF-8: the framework would put marks in their place."""
    try:
        text = request.scope["query_string"].decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=2000)
    except ValueError:
        raise invalid("The query is not percent-encoded UTF-8.", "Encode every byte of a value's UTF-8 form as %XX.") from None


def who(request: Request, asker: Principal) -> dict[str, Any]:
    """Fields of an audit event: who asked, and from where."""
    return {"outcome": "success", "actor_type": "human", "actor_id": asker.name, "ip_address": address(request)}


_NO_HTTP: dict[str, Any] = {
    "description": "No HTTP, or an address of more than 64 KiB; the server says so before anybody is asked for a token.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
_TEXTS = {
    401: "No token, or an unknown one.",
    403: "The principal has no right to this, or not to this tenant.",
    404: "No such thing, or none of the caller's tenants.",
    409: "Not possible in the present state.",
    410: "The extract's files have expired.",
    413: "The body is too large.",
    422: "The request can never be served as it is: unknown column or parameter, impossible range, wrong value.",
    429: "Too many requests in a minute, or a quota of the principal is used up; `Retry-After` says when to come back.",
    503: "A server behind the service does not answer, or the audit event could not be recorded.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's responses for these statuses and those that every route can give."""
    every = (401, 422, 429, 503)
    own: dict[int | str, dict[str, Any]]
    own = {s: {"model": Problem, "description": _TEXTS[s]} for s in sorted({*every, *statuses})}
    return {400: _NO_HTTP, **own}


@router.get(
    "/v1/me",
    response_model=Me,
    responses=problems(),
    dependencies=[Depends(strict_query())],
    tags=["access"],
    summary="Who am I, and what may I do?",
)
def me(asker: Known) -> Me:
    """Name, tenants, rights and limits of the token's principal, as they are at this moment."""
    return Me(name=asker.name, tenants=list(asker.tenants), rights=list(asker.rights), limits=asker.limits)

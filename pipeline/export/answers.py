"""How errors become answers: always ``{"error", "what_to_do"}``; a refusal is recorded before it is given."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline import metrics
from pipeline.export import audit
from pipeline.export.errors import RefusedError, UnavailableError, advice

if TYPE_CHECKING:
    from pipeline.export.access import Service

log = logging.getLogger(__name__)


def refused(request: Request, exc: Exception) -> JSONResponse:
    """4xx. Runs in a thread: it waits for Kafka."""
    refusal = cast(RefusedError, exc)
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    if refusal.retry_after:
        headers["Retry-After"] = str(refusal.retry_after)
    return _refused(request, refusal, headers)


def _refused(request: Request, refusal: RefusedError, headers: dict[str, str]) -> JSONResponse:
    try:
        if refusal.record:
            _record(request, refusal)
    except UnavailableError as unavailable_now:
        return unavailable(request, unavailable_now)
    return _problem(refusal.status, refusal.error, refusal.what_to_do, headers, refusal.more)


def _record(request: Request, refusal: RefusedError) -> None:
    """Raises UnavailableError. Of a flood by somebody without a name only some are recorded."""
    service: Service = request.app.state.service
    principal, attributes = getattr(request.state, "principal", None), dict(refusal.attributes)
    if principal is None:
        if (number := service.buckets.nameless()) == 0:
            return
        attributes |= {"refused": str(number)} if number > 1 else {}
    service.stores.trail.record(
        audit.REFUSED,
        refusal.tenant if refusal.tenant in service.principals.tenants() else audit.OWN_TENANT,
        outcome="denied",
        target_id=refusal.extract,
        actor_type="human" if principal else "",
        actor_id=principal.name if principal else "",
        ip_address=address(request),
        reason=refusal.error,
        attributes={
            "status": str(refusal.status),
            "code": refusal.reason,
            "route": f"{request.method} {_route(request.scope)}",
            **attributes,
        },
    )


def malformed(request: Request, exc: Exception) -> JSONResponse:
    """422 of a parameter that the framework could not read; its value is not quoted."""
    first = cast(RequestValidationError, exc).errors()[0]
    where = str(first["loc"][-1])[:64] if first["loc"] else "the request"
    hint = advice(first["type"], "See /docs for the parameters and their forms.")
    return refused(request, RefusedError(422, "invalid", f"{where}: {first['msg']}.", hint))


def unavailable(_request: Request, exc: Exception) -> JSONResponse:
    """503. What a server said goes to the log, not to the caller."""
    hint = "Try again later; an operator looks at the service's log."
    if isinstance(exc, UnavailableError):
        return _problem(503, exc.error, exc.what_to_do, {"Retry-After": "5"})
    log.error("%s", exc)
    return _problem(503, "A server behind the export service does not answer or refuses.", hint, {"Retry-After": "5"})


def no_route(request: Request, exc: Exception) -> JSONResponse:
    """404 of paths that do not exist, 405 of methods that a path does not have; ``Allow`` has those of all its routes.

    Recorded under ``/v1``, whoever asks: nobody is asked for a token where nothing is.
    """
    found = cast(HTTPException, exc)
    headers = dict(found.headers or {})
    asked: str = request.scope["path"]  # request.url is made of the Host header too, which is anybody's text
    if found.status_code == 405:
        paths = request.app.openapi()["paths"].items()
        methods = {m.upper() for path, of in paths if compile_path(path)[0].match(asked) for m in of}
        headers["Allow"] = ", ".join(sorted(methods)) or headers.get("Allow", "GET")
    recorded = asked.startswith("/v1/") or asked == "/v1"
    hint = "The paths and methods are described at /docs."
    return _refused(request, RefusedError(found.status_code, "no_route", f"{found.detail}.", hint, record=recorded), headers)


def broken(_request: Request, exc: Exception) -> JSONResponse:
    """500: a mistake of ours; the framework writes the traceback to the log."""
    return _problem(500, f"Internal error ({type(exc).__name__}).", "Report it to an operator; the log has the details.")


def address(request: Request) -> str:
    """Where the request came from."""
    return request.client.host if request.client else ""


def _problem(
    status: int, error: str, what_to_do: str, headers: object = None, more: Mapping[str, str] | None = None
) -> JSONResponse:
    content = {"error": error, "what_to_do": what_to_do, **(more or {})}
    return JSONResponse(content, status, cast("dict[str, str] | None", headers))


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "other"))


class Counted:
    """Counts answers by route and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics.EXPORT_REQUESTS.labels(_route(scope), str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)

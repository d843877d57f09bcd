"""A FastAPI service that audits each request: tenant and person from the token, session from a header.

uvicorn examples.fastapi_app.app:app      (environment: . .auditwire/env, or AUDITWIRE_TRANSPORT=print)
curl -X POST localhost:8000/orders/17/refund -H 'Authorization: Bearer token-of-ada' -H 'X-Session-Id: s1'
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auditwire import AsyncAuditClient, AuditEvent, AuditwireError

PEOPLE = {"token-of-ada": ("demo", "ada@example.com"), "token-of-bob": ("acme", "bob@example.com")}  # your authentication


class Audited:
    """Middleware: what is recorded while a request is served has its tenant, person and session; the request is an event too.

    Plain ASGI, so that the context reaches the endpoint, its tasks and threads.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, client = Headers(scope=scope), scope["app"].state.audit
        person = PEOPLE.get(headers.get("authorization", "").removeprefix("Bearer "))
        if person is None:
            await JSONResponse({"detail": "unknown token"}, 401)(scope, receive, send)
            return
        session = headers.get("x-session-id", "")
        with client.context(tenant_id=person[0], human_principal_id=person[1], session_id=session, agent_id="orders-agent"):
            await self._served(client, scope, receive, send)

    async def _served(self, client: AsyncAuditClient, scope: Scope, receive: Receive, send: Send) -> None:
        start, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            client.record(
                AuditEvent(
                    event_type="request.served",
                    activity="read" if scope["method"] == "GET" else "execute",
                    outcome="success" if status < 400 else "failure",
                    target_type="path",
                    target_id=scope["path"],
                    duration_ms=(time.perf_counter() - start) * 1000,
                    attributes={"status": str(status)},
                )
            )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the process; leaving the block waits until everything is stored."""
    async with await AsyncAuditClient.from_env(service="orders-api") as client:
        app.state.audit = client
        yield


def audit(request: Request) -> AsyncAuditClient:
    """Dependency: the client."""
    client: AsyncAuditClient = request.app.state.audit
    return client


Audit = Annotated[AsyncAuditClient, Depends(audit)]
app = FastAPI(title="Orders", lifespan=lifespan)
app.add_middleware(Audited)


@app.get("/orders/{order}")
def show(order: str, client: Audit) -> dict[str, str]:
    """A plain function: FastAPI runs it in a thread, the context follows."""
    client.record(AuditEvent(event_type="tool.invoked", tool_name="show_order", tool_category="read", target_id=order))
    return {"order": order}


@app.post("/orders/{order}/refund")
async def refund(order: str, client: Audit) -> dict[str, str]:
    """Acts only once the event is stored: mode blocking."""
    intent = AuditEvent(event_type="tool.invoked", tool_name="refund", tool_category="write", target_id=order)
    try:
        await client.recorded(intent, mode="blocking")
    except AuditwireError as error:
        raise HTTPException(503, "the refund would not be audited, so it was not done: try again later") from error
    return {"refunded": order}

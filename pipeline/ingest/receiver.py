"""The receiver as a plain ASGI application: token → body → events and rejects → Kafka → answer.

2xx is said only after Kafka, or the receiver's own spool, has every record of the request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from connectors.outbox import NotConfirmed, Outbox, Record
from connectors.sources.fields import Origin
from connectors.spool_outbox import NotKept
from pipeline import metrics
from pipeline.ingest import refusal, routes
from pipeline.ingest.auth import Entry, Tokens
from pipeline.ingest.bounded import Budget, Disconnected, Lease, Limits, Receive, read_body
from pipeline.ingest.records import Envelope
from pipeline.ingest.refusal import Refusal

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Route = Callable[[routes.Headers, bytes, Origin], Awaitable[routes.Mapped]]
ROUTES: dict[str, Route] = {
    "/v1/gitlab": routes.gitlab_route,
    "/v1/cloudevents": routes.cloudevents_route,
    "/v1/events": routes.events_route,
}
GITLAB_TOKEN = "x-gitlab-event-streaming-token"  # noqa: S105


class Receiver:
    """The application. ``outbox`` is where records go; ``envelope`` makes them, without one everything is answered with 503.

    ``note`` adds to a healthy /healthz what is worth knowing all the same.
    """

    def __init__(
        self, tokens: Tokens, outbox: Outbox, envelope: Envelope | None, limits: Limits, note: Callable[[], str] = lambda: ""
    ) -> None:
        self._tokens, self._outbox, self._limits, self._note = tokens, outbox, limits, note
        self._budget = Budget(limits.in_flight_bytes)
        self.envelope = envelope

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, begun = str(scope["path"]), time.monotonic()
        try:
            body = await self._answer(path, scope, receive)
            status, headers = (202 if path in ROUTES else 200), []
        except Refusal as exc:
            status, body, headers = exc.status, exc.body(), exc.headers()
        except Disconnected:
            return
        route = path if path in ROUTES else "other"
        metrics.INGEST_REQUESTS.labels(route, status).inc()
        metrics.INGEST_SECONDS.labels(route).observe(time.monotonic() - begun)
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str, scope: Message, receive: Receive) -> bytes:
        route = ROUTES.get(path)
        if route is None:
            return self._health(path)
        if scope["method"] != "POST":
            raise Refusal(405, "Only POST is taken here.", "Send events with POST.", close=True)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        entry = self._authenticate(headers)
        envelope = self.envelope
        if envelope is None:
            raise refusal.not_ready()
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise refusal.unsupported("Send the body without Content-Encoding; compressed bodies are not taken.")
        lease = self._budget.lease()
        try:
            body = await read_body(receive, _announced(headers), self._limits.body_bytes, lease)
            mapped = await route(headers, body, Origin(entry.tenant, entry.source, envelope.id_key))
            records = envelope.events(mapped, entry)
            rejects = envelope.rejects(mapped, entry, path, headers, now=time.time_ns() // 1000)
            lease.cover(envelope.checked([*records, *rejects]))
        except BaseException:
            lease.release()
            raise
        return await self._acknowledge(path, mapped, records, rejects, lease)

    async def _acknowledge(
        self, path: str, mapped: routes.Mapped, events: list[Record], rejects: list[Record], lease: Lease
    ) -> bytes:
        """The lease ends with the last delivery report: what Kafka or the disk may still take from memory counts as in flight."""
        try:
            await self._outbox.send([*events, *rejects], lease.release)
        except NotConfirmed as exc:
            metrics.INGEST_UNCONFIRMED.inc(len(events) + len(rejects))
            log.warning("%d records not acknowledged: %s", len(events) + len(rejects), exc)
            raise (refusal.not_kept() if isinstance(exc, NotKept) else refusal.not_confirmed()) from None
        metrics.INGEST_EVENTS.labels(path).inc(len(mapped.events))
        for reject in mapped.rejects:
            metrics.INGEST_QUARANTINED.labels(reject.reason).inc()
        metrics.INGEST_QUARANTINE_BYTES.inc(sum(len(record.value) for record in rejects))
        return orjson.dumps({"accepted": len(mapped.events), "quarantined": len(mapped.rejects)})

    def _authenticate(self, headers: routes.Headers) -> Entry:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else headers.get(GITLAB_TOKEN, "")
        entry = self._tokens.find(token.encode("latin-1")) if token else None
        if entry is None:
            raise refusal.unauthorized()
        return entry

    def _health(self, path: str) -> bytes:
        if path != "/healthz":
            raise Refusal(404, "There is nothing here.", f"Post events to {', '.join(ROUTES)}.", close=True)
        wrong = self._outbox.problem()
        if wrong:
            raise Refusal(503, wrong, "See the receiver's log.")
        note = self._note()
        return orjson.dumps({"part": "ingest", "healthy": True, **({"note": note} if note else {})})


def _announced(headers: routes.Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0

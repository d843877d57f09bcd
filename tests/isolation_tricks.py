"""More of tenant ``demo``'s requests: paths, headers and bodies that say something else than they seem to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from tests.export_service import TOKENS
from tests.isolation import ANTON, OTHER, OWN, Ask, as_json, digest, query
from tests.isolation_requests import READS, Target, cursors, filtered, ids, repeated, spelled
from tests.reading import DAY


def paths(target: Target) -> Iterator[Ask]:
    """Files of the other tenant, beside the own ones, and paths that say something else than they seem to."""
    names = [
        "manifest.json",
        "part-00000.jsonl",
        "part-00000.parquet",
        "..",
        ".",
        "",
        "%2e%2e",
        "manifest.json%00",
        "MANIFEST.JSON",
    ]
    for name, method in itertools.product(names, ("GET", "HEAD")):
        yield Ask("file of an extract", f"/v1/extracts/{target.extract}/files/{name}", method)
    ups = ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e%252f", "....//", "..;/", ".%00./", "%c0%ae%c0%ae/"]
    for up in ups:
        yield Ask(
            "file of an extract", f"/v1/extracts/{target.own_extract}/files/{up}{up}{target.extract}/files/part-00000.jsonl"
        )
        yield Ask("file of an extract", f"/v1/extracts/{target.own_extract}/files/{up}{up}{target.extract}/1/part-00000.jsonl")
        yield Ask("path", f"/v1/extracts/{up}extracts/{target.extract}")
        yield Ask("page's files", f"/page/{up}{up}export-principals.yaml")
        yield Ask("page's files", f"/page/{up}app.py")
    tail = f"?{query(tenant=OTHER)}"
    odd = [
        "//v1/events",
        "/v1//events",
        "/V1/events",
        "/v1/events/",
        "/v1/events;x=y",
        "/v1/./events",
        "/v1/x/../events",
        "/v1/events%00",
    ]
    odd += [
        "/v1/events%20",
        "/v1%2fevents",
        "/v1/events%3ftenant=demo",
        "/page/../v1/events",
        "http://127.0.0.1/v1/events",
        "/v1/Events",
    ]
    odd += [
        "/v1",
        "/v1/",
        "/v2/events",
        "/v1/tenants",
        "/v1/tenants/acme/events",
        "/acme/v1/events",
        "/v1/acme/events",
        "/v1/admin",
        "/v1/me/acme",
    ]
    for path in odd:
        yield Ask("path", path + tail)
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/page/app.js",
        "/page/style.css",
        "/page/index.html",
        "/page/columns.json",
    ):
        yield Ask("page's files", f"{path}?tenant=acme")
        yield Ask("page's files", path, token=None)
    for path in ("/metrics", "/page/", "/page/export.log", "/.env", "/static/x", "/redoc", "/page/principals.yaml"):
        yield Ask("page's files", path)


def headers(target: Target) -> Iterator[Ask]:
    """Headers that claim another tenant, another principal or another path."""
    token = TOKENS["olga@example.com"]
    claims: list[tuple[tuple[str, str], ...]] = [
        *(((name, OTHER),) for name in ("X-Tenant", "X-Tenant-Id", "Tenant", "X-Scope-OrgID", "X-Auditwire-Tenant", "Cookie")),
        *(((name, ANTON),) for name in ("X-Forwarded-User", "X-Remote-User", "X-Principal", "From", "X-Auth-Request-Email")),
        *(
            ((name, f"/v1/events?{query(tenant=OTHER)}"),)
            for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "Referer")
        ),
        *((("Host", host),) for host in ("acme.example.com", "127.0.0.1/v1/events?tenant=acme&", "x#", "acme@127.0.0.1", "")),
        (("X-HTTP-Method-Override", "DELETE"),),
        (("Range", "bytes=0-100000"),),
        (("If-None-Match", "*"),),
        (("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")),
        (("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {digest(TOKENS[ANTON])}")),
        (("Authorization", f"bearer  {token}"), ("X-Tenant", OTHER)),
        (("Accept", "text/csv"), ("Accept-Language", OTHER)),
    ]
    event = target.world.known["event_id"]
    things = (
        f"/v1/events?{query(tenant=OTHER)}",
        f"/v1/extracts/{target.extract}/files/part-00000.jsonl",
        f"/v1/events/{event}?tenant=demo",
    )
    for claim, thing in itertools.product(claims, things):
        yield Ask("header", thing, headers=claim)
    wrong = ["", "Bearer", "Bearer ", f"Basic {token}", token, f"Bearer {TOKENS[ANTON].upper()}", f"Bearer {TOKENS[ANTON][:-1]}"]
    wrong += [
        f"Bearer {digest(TOKENS[ANTON])}",
        f"Bearer {token},{TOKENS[ANTON]}x",
        "Bearer null",
        "Bearer *",
        f"Bearer {token} {OTHER}",
    ]
    for value, thing in itertools.product(wrong, (*things, "/v1/me")):
        yield Ask("token", thing, headers=(("Authorization", value),))
    for thing in things:
        yield Ask("token", thing, token=None)


def bodies(target: Target) -> Iterator[Ask]:
    """Requests for extracts and definitions that ask for the own tenant and mean the other; some are served."""
    known = target.world.known
    base: dict[str, Any] = {**DAY, "format": "jsonl"}
    for column in ("event_type", "actor_id", "session_id", "tool_name", "target_id"):
        yield Ask("extract of the own tenant", "/v1/extracts", "POST", body=as_json({**base, "filters": {column: known[column]}}))
    odd: list[dict[str, Any]] = [
        {"filters": {"tenant_id": OTHER}},
        {"filters": {"tenant_id": [OTHER, OWN]}},
        {"filters": {"event_id": known["event_id"]}},
    ]
    odd += [
        {"filters": {"event_type": "x') OR tenant_id = 'acme' --"}},
        {"filters": {"1=1) OR (tenant_id": OTHER}},
        {"columns": ["*"]},
    ]
    odd += [
        {"tenant": [OWN, OTHER]},
        {"tenant": {"$ne": OWN}},
        {"tenant": None},
        {"tenants": [OTHER]},
        {"tenant_id": OTHER},
        {"principal": ANTON},
    ]
    odd += [
        {"id": target.extract},
        {"definition": target.definition},
        {"columns": ["message) FROM events --"]},
        {"format": "../../x"},
        {},
    ]
    for more in odd:
        yield Ask("extract of the own tenant", "/v1/extracts", "POST", body=as_json({**base, **more}))
        saved = {"name": f"d {sorted(more)} {more}"[:90], "tenant": OWN, "format": "jsonl", **more}
        yield Ask("definition of the own tenant", "/v1/definitions", "POST", body=as_json(saved))
    twice = as_json(base)
    yield Ask("tenant in a body", "/v1/extracts", "POST", body=twice[:-1] + ', "tenant": "acme"}')
    yield Ask("tenant in a body", "/v1/extracts", "POST", body='{"tenant": "acme", ' + twice[1:])
    yield Ask("tenant in a body", "/v1/extracts", "POST", body=twice[:-1] + ', "\\u0074enant": "acme"}')
    yield Ask("tenant in a body", "/v1/extracts?tenant=acme", "POST", body=twice)
    for method, path in itertools.product(("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"), READS):
        yield Ask("method", f"{path}?{query(tenant=OTHER)}", method)


def every(target: Target) -> list[Ask]:
    """All of them; nothing that was sent before makes a later one harmless."""
    first = [*spelled(), *repeated(), *filtered(target), *ids(target), *cursors(target), *paths(target)]
    return [*first, *headers(target), *bodies(target)]

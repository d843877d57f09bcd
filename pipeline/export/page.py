"""The page for compliance at `/`: files of this package, served as they are under a policy that lets nothing else in."""

from __future__ import annotations

import hashlib
from importlib import resources

import orjson
from fastapi import APIRouter, HTTPException, Path, Request, Response

from pipeline.export import columns

# Nothing from elsewhere, nothing inline, no text ever taken for markup, in nobody's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}
MEDIA_TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "json": "application/json",
}


def _described() -> bytes:
    """Every column of an extract, and whether it can be filtered; what `/docs` says too, so nobody has to sign in for it."""
    return orjson.dumps([c.described() | {"filterable": bool(c.filter_type)} for c in columns.known().values()])


def _files() -> dict[str, bytes]:
    folder = resources.files("pipeline.export") / "page"
    files = {f.name: f.read_bytes() for f in folder.iterdir() if f.name.rpartition(".")[2] in MEDIA_TYPES}
    return files | {"columns.json": _described()}


FILES = _files()


def router(policy: str = POLICY) -> APIRouter:
    """The page's routes. ``policy``: what the browser is told to let in; another one is for negative tests only."""
    made = APIRouter(include_in_schema=False)

    @made.get("/")
    def index(request: Request) -> Response:
        """The page itself."""
        return _file(request, "index.html", policy)

    @made.get("/page/{name}")
    def file(request: Request, name: str = Path(max_length=64)) -> Response:
        """One of its files; 404 for any other name."""
        if name not in FILES:
            raise HTTPException(404, "Not Found")
        return _file(request, name, policy)

    return made


def _file(request: Request, name: str, policy: str) -> Response:
    etag = f'"{hashlib.sha256(FILES[name]).hexdigest()[:32]}"'
    headers = HEADERS | {"Content-Security-Policy": policy, "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(FILES[name], headers=headers, media_type=MEDIA_TYPES[name.rpartition(".")[2]])

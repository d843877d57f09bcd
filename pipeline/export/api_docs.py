"""`/docs`: the OpenAPI document as a page for people, made here: no script, no asset from elsewhere."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f;background:#fff}
h2{margin-top:2.5rem;border-bottom:1px solid #c9c9d1}h3{margin-top:2rem}code,pre{font:14px/1.4 ui-monospace,monospace}
pre{background:#f2f2f5;padding:.75rem;overflow:auto}table{border-collapse:collapse;width:100%}
td,th{border:1px solid #c9c9d1;padding:.3rem .5rem;text-align:left;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#e8e8ec;background:#17171b}pre{background:#26262c}a{color:#9dbcff}}"""
_DIGEST = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
router = APIRouter(include_in_schema=False)


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse(page(request.app.openapi()), headers=HEADERS)


def page(document: dict[str, Any]) -> str:
    """An OpenAPI document as HTML."""
    info, parts = document["info"], []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(f"{method.upper()} {path}", operation))
    models = [_model(name, schema) for name, schema in sorted(document.get("components", {}).get("schemas", {}).items())]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>"
        '<p>The same for machines: <a href="/openapi.json">/openapi.json</a>.</p>'
        f"<h2>Requests</h2>{''.join(parts)}<h2>Objects</h2>{''.join(models)}</main></body></html>"
    )


def _operation(title: str, operation: dict[str, Any]) -> str:
    rows = [
        (
            f"<code>{escape(p['name'])}</code>{'' if p.get('required') else ' (optional)'}",
            escape(p["in"]),
            _kind(p.get("schema", {})),
            escape(p.get("description", p.get("schema", {}).get("description", ""))),
        )
        for p in operation.get("parameters", ())
    ]
    answers = [(escape(status), _of(a), escape(a.get("description", ""))) for status, a in operation["responses"].items()]
    body = _of(operation["requestBody"]) if "requestBody" in operation else ""
    return (
        f"<h3><code>{escape(title)}</code></h3><p><b>{escape(operation.get('summary', ''))}</b></p>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        + (_table(("Parameter", "In", "Form", "Meaning"), rows) if rows else "")
        + (f"<p>Body: {body}</p>" if body else "")
        + _table(("Answer", "Content", "Meaning"), answers)
    )


def _of(content: dict[str, Any]) -> str:
    found = [_kind(media.get("schema", {})) or escape(kind) for kind, media in content.get("content", {}).items()]
    return ", ".join(dict.fromkeys(found))


def _model(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (f"<code>{escape(n)}</code>{'' if n in required else ' (optional)'}", _kind(s), escape(s.get("description", "")))
        for n, s in schema.get("properties", {}).items()
    ]
    examples = "".join(f"<pre>{escape(json.dumps(e, indent=2, ensure_ascii=False))}</pre>" for e in schema.get("examples", ()))
    described = f"<p>{escape(schema.get('description', ''))}</p>"
    return f'<h3 id="{escape(name)}">{escape(name)}</h3>{described}{_table(("Field", "Form", "Meaning"), rows)}{examples}'


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words, linked where it is an object of its own."""
    if reference := schema.get("$ref"):
        name = escape(str(reference).rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(s) for s in several))
    if "enum" in schema:
        return ", ".join(f"<code>{escape(json.dumps(v))}</code>" for v in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {})) or 'values'}"
    if "properties" in schema and "title" in schema:
        return f"<code>{escape(schema['title'])}</code>: " + ", ".join(f"<code>{escape(n)}</code>" for n in schema["properties"])
    default = f", else {escape(json.dumps(schema['default']))}" if schema.get("default") not in (None, [], {}) else ""
    return escape(schema.get("format") or schema.get("type", "")) + default


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    top = "".join(f'<th scope="col">{h}</th>' for h in head)
    return f"<table><tr>{top}</tr>{''.join('<tr>' + ''.join(f'<td>{c}</td>' for c in r) + '</tr>' for r in rows)}</table>"

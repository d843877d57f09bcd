"""What must hold of documents before they become a revision: their schemas, no duplicates, no reference into nothing."""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

import schemas
from pipeline.reference.model import KINDS, canonical
from pipeline.reference.source import Document, Problem, unreadable

SCHEMAS = schemas.ROOT / "reference"
DOCUMENT_BYTES = 4 << 20
CONTROL_BYTES = 8 << 10  # one event can carry the ids of all controls
_NAMES = {"agent": ("tenant", "id"), "tool": ("tenant", "server", "name"), "source": ("name",)}


def problems(documents: Sequence[Document], retention_classes: Sequence[str]) -> list[Problem]:
    """Everything that is wrong, in order of files and lines; empty where the documents may be applied."""
    found = [problem for document in documents for problem in _one(document)]
    found += _duplicates(documents)
    found += _dangling(documents, retention_classes)
    found += _crowding(documents)
    return sorted(found, key=lambda p: (p.file, p.line, p.field))


def document_of(documents: Sequence[Document]) -> tuple[str, Problem | None]:
    """The canonical text of documents that are in order, and what is wrong where it is too large to be published."""
    text = canonical({kind: [d.content for d in documents if d.kind == kind] for kind in KINDS})
    size = len(text.encode())
    if size <= DOCUMENT_BYTES:
        return text, None
    said = f"all documents together take {size:,} bytes as JSON, and {DOCUMENT_BYTES:,} is the most that is published: "
    return text, Problem("", 0, "", "", said + "remove what no longer acts, such as versions that were retired long ago")


@cache
def schema_of(kind: str) -> dict[str, Any]:
    """The published schema of one kind; read only."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.schema.json").read_text(encoding="utf-8"))
    return found


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(kind))


def _one(document: Document) -> Iterator[Problem]:
    if document.kind not in KINDS:
        given = document.content.get("kind")
        said = f"{given!r} is no kind{_near(str(given), KINDS)}" if given is not None else "kind is missing"
        yield document.problem(("kind",) if given is not None else (), f"{said}: write kind: and one of {', '.join(KINDS)}")
        return
    for error in _validator(document.kind).iter_errors(document.content):
        yield from _explained(document, error)
    for path, text in _texts(document.content, ()):
        if any(unicodedata.category(c) == "Cc" for c in text):
            yield document.problem(path, "holds a line break or another control character: remove it")


def _explained(document: Document, error: ValidationError) -> Iterator[Problem]:
    """The library's error as an instruction."""
    path = tuple(error.absolute_path)
    value: Any = error.instance
    limit: Any = error.validator_value
    schema: Any = error.schema
    word = str(error.validator)
    if error.parent is None and "propertyNames" in error.absolute_schema_path and isinstance(value, str):
        path = (*path, value)
    if word == "required":
        for name in (n for n in limit if n not in value and f"'{n}'" in error.message):
            yield document.problem(path, f"{name} is missing: add it. {_meaning(document.kind, name)}")
    elif word == "additionalProperties":
        known = list(schema["properties"])
        for name in sorted(set(value) - set(known)):
            text = f"{document.kind} has no such field{_near(name, known)}: it has {', '.join(known)}"
            yield document.problem((*path, name), text)
    elif word in ("type", "enum") and (read := unreadable(value)):
        empty = "give it a value or leave the field out" if value is None else "write the value in quotes"
        yield document.problem(path, f"must be text, and YAML reads {read}: {empty}")
    elif word == "enum":
        yield document.problem(path, f"{_short(value)} is none of {', '.join(limit)}{_near(str(value), limit)}: correct it")
    else:
        yield document.problem(path, f"{_rule(word, limit)}. {schema.get('description', '')}".strip())


def _rule(word: str, limit: Any) -> str:
    names = {"object": "fields with values", "array": "a list", "string": "text"}
    said = {
        "type": f"must be {names.get(str(limit), limit)}",
        "minLength": "must not be empty",
        "maxLength": f"is longer than {limit} characters",
        "minItems": f"needs at least {limit} item",
        "maxItems": f"has more than {limit} items",
        "maxProperties": f"has more than {limit} entries",
        "uniqueItems": "names something twice",
        "pattern": f"does not have the form {limit}",
    }
    return said.get(word, f"breaks the rule {word}")


def _meaning(kind: str, name: str) -> str:
    return str(schema_of(kind)["properties"].get(name, {}).get("description", ""))


def _duplicates(documents: Sequence[Document]) -> Iterator[Problem]:
    seen: dict[tuple[str, ...], Document] = {}
    for document in documents:
        names = _NAMES.get(document.kind, ("id",))
        key = (document.kind, *(str(document.content.get(n, "")) for n in names))
        if not key[-1]:
            continue
        first = seen.setdefault(key, document)
        if first is not document:
            where = f"{first.file}:{first.lines[()]}"
            yield document.problem((), f"is registered twice, first at {where}: remove one, or name another tenant or server")


def _dangling(documents: Sequence[Document], retention_classes: Sequence[str]) -> Iterator[Problem]:
    tenants = {str(d.content.get("id")) for d in documents if d.kind == "tenant"}
    for document in documents:
        for path, tenant in _tenants_in(document):
            if tenant not in tenants:
                way = "correct the name, or add a document with kind: tenant and this id"
                yield document.problem(path, f"there is no tenant {_short(tenant)}{_near(tenant, tenants)}: {way}")
        held = document.content.get("retention_class") if document.kind == "tenant" else None
        if isinstance(held, str) and held not in retention_classes:
            known = f"AUDITWIRE_RETENTION_CLASSES ({', '.join(retention_classes)})"
            text = f"{_short(held)} is none of {known}{_near(held, retention_classes)}: correct it, or add the class there"
            yield document.problem(("retention_class",), text)


def _crowding(documents: Sequence[Document]) -> Iterator[Problem]:
    size = 0
    for document in (d for d in documents if d.kind == "control"):
        size += len(str(document.content.get("id", "")))
        if size > CONTROL_BYTES:
            said = f"from here on the ids of all controls take more than {CONTROL_BYTES:,} characters, and an event can carry all"
            yield document.problem(("id",), f"{said} of them: shorten them, or remove controls")
            return


def _tenants_in(document: Document) -> Iterator[tuple[tuple[str | int, ...], str]]:
    named = document.content.get("tenant")
    if document.kind in ("agent", "tool") and isinstance(named, str) and named:
        yield ("tenant",), named
    listed = document.content.get("tenants")
    if document.kind == "source" and isinstance(listed, list):
        yield from ((("tenants", i), t) for i, t in enumerate(listed) if isinstance(t, str))


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _texts(item, (*path, i))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield path, str(key)
            yield from _texts(item, (*path, str(key)))


def _near(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, [str(k) for k in known], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _short(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 60 else text[:57] + "…")

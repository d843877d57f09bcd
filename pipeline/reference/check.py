"""What must hold of documents before they become a revision: their schemas, no duplicates, no reference into nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import schemas
from pipeline.reference.model import KINDS, canonical
from pipeline.reference.shapes import Shapes, near, short
from pipeline.reference.source import Document, Problem

SHAPES = Shapes(schemas.ROOT / "reference", KINDS)
schema_of = SHAPES.schema_of
DOCUMENT_BYTES = 4 << 20
CONTROL_BYTES = 8 << 10  # one event can carry the ids of all controls
_NAMES = {"agent": ("tenant", "id"), "tool": ("tenant", "server", "name"), "source": ("name",)}


def problems(documents: Sequence[Document], retention_classes: Sequence[str]) -> list[Problem]:
    """Everything that is wrong, in order of files and lines; empty where the documents may be applied."""
    found = [problem for document in documents for problem in SHAPES.problems(document)]
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
                yield document.problem(path, f"there is no tenant {short(tenant)}{near(tenant, tenants)}: {way}")
        held = document.content.get("retention_class") if document.kind == "tenant" else None
        if isinstance(held, str) and held not in retention_classes:
            known = f"AUDITWIRE_RETENTION_CLASSES ({', '.join(retention_classes)})"
            way = "correct it, or add the class there, also one of the rules"
            text = f"{short(held)} is none of {known}{near(held, retention_classes)}: {way}"
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

"""What changes between two revisions of the rules: documents, their fields, and the order in which they are asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.reference.compare import Change
from pipeline.reference.source import name_of
from pipeline.rules.model import PUBLISHED

ORDERED = ("capture", "redaction", "retention")
Documents = Mapping[str, dict[str, Any]]


def changes(old: str, new: str) -> list[Change]:
    """From one canonical document to another; an empty ``old`` is no revision at all. Equal texts give none."""
    before, after = (json.loads(text) if text else {} for text in (old, new))
    return [
        change for kind, listed in PUBLISHED.items() for change in _of_kind(kind, before.get(listed, []), after.get(listed, []))
    ]


def _of_kind(kind: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[Change]:
    was, now = ({d["name"]: d for d in documents} for documents in (before, after))
    for name in sorted(was | now):
        yield from _change(kind, was.get(name), now.get(name))
    if kind in ORDERED:
        old, new = ([d["name"] for d in documents if d["name"] in was and d["name"] in now] for documents in (before, after))
        if old != new:
            yield Change("changed", f"order of {kind} rules", (f"{', '.join(old)} -> {', '.join(new)}",))


def _change(kind: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> Iterator[Change]:
    name = name_of(kind, new or old or {})
    if old is None:
        yield Change("added", name)
    elif new is None:
        yield Change("removed", name)
    elif old != new:
        fields = (f"{k}: {_shown(old.get(k))} -> {_shown(new.get(k))}" for k in sorted(old | new) if old.get(k) != new.get(k))
        yield Change("changed", name, tuple(fields))


def _shown(value: Any) -> str:
    if value is None:
        return "(nothing)"
    if isinstance(value, dict):
        return str(value["text"])  # of a condition
    return ", ".join(value) if isinstance(value, list) else str(value)

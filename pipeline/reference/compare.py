"""What changes between two revisions, document by document and field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.reference.model import KINDS
from pipeline.reference.source import name_of

Identity = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One document: ``how`` is added, removed or changed; ``fields`` has a line for each field that changed."""

    how: str
    name: str
    fields: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """For people: + added, - removed, ~ changed."""
        yield f"{ {'added': '+', 'removed': '-', 'changed': '~'}[self.how] } {self.name}"
        yield from (f"    {line}" for line in self.fields)


def changes(old: str, new: str) -> list[Change]:
    """From one canonical document to another; an empty ``old`` is no revision at all. Equal texts give none."""
    before, after = _by_identity(old), _by_identity(new)
    return [change for identity in sorted(before | after) for change in _change(identity[0], before, after, identity)]


def _change(
    kind: str, before: Mapping[Identity, dict[str, Any]], after: Mapping[Identity, dict[str, Any]], identity: Identity
) -> Iterator[Change]:
    old, new = before.get(identity), after.get(identity)
    name = name_of(kind, new or old or {})
    if old is None:
        yield Change("added", name)
    elif new is None:
        yield Change("removed", name)
    elif old != new:
        was, now = _flat(old), _flat(new)
        fields = (f"{k}: {_shown(was.get(k))} -> {_shown(now.get(k))}" for k in sorted(was | now) if was.get(k) != now.get(k))
        yield Change("changed", name, tuple(fields))


def _by_identity(text: str) -> dict[Identity, dict[str, Any]]:
    content = json.loads(text) if text else {}
    named = ((kind, d) for kind in KINDS for d in content.get(f"{kind}s", ()))
    return {(kind, *(str(d.get(k, "")) for k in ("tenant", "server", "id", "name"))): d for kind, d in named}


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fields, with one entry for each version of a field that has versions."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        found |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "(nothing)"
    return ", ".join(value) if isinstance(value, list) else str(value)

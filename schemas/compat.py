"""Whether a schema may follow another: additive defaulted changes only.

The Avro specification's Schema Resolution would also allow renames by alias, promotions and defaulted removals. We do not: a
column never leaves and never changes its type, so that every stored event can be read by every version (FULL_TRANSITIVE).
"""

from __future__ import annotations

from typing import Any


def problems(old: Any, new: Any, at: str = "") -> list[str]:
    """Why ``new`` must not follow ``old``; empty where it may."""
    return _Comparison(_named(old), _named(new)).types(old, new, at)


class _Comparison:
    """Two schemas with their named records, and the pairs already being compared (records may refer to themselves)."""

    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self.old = old
        self.new = new
        self.seen: set[tuple[str, str]] = set()

    def types(self, old: Any, new: Any, at: str) -> list[str]:
        old, new = self._resolved(self.old, old), self._resolved(self.new, new)
        if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type") == "record":
            return self.records(old, new, at)
        if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type") == "array":
            return self.types(old["items"], new["items"], f"{at}[]")
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            return [p for o, n in zip(old, new, strict=True) for p in self.types(o, n, at)]
        same = _bare(old) == _bare(new)
        return (
            [] if same else [f"{at or 'the schema'}: its type was changed; add a new field instead and leave this one as it was"]
        )

    def records(self, old: Any, new: Any, at: str) -> list[str]:
        if _full_name(old) != _full_name(new):
            return [f"{at or 'the schema'}: record {_full_name(old)} was renamed to {_full_name(new)}; give it its old name"]
        if (old["name"], new["name"]) in self.seen:
            return []
        self.seen.add((old["name"], new["name"]))
        before = {f["name"]: f for f in old["fields"]}
        after = {f["name"]: f for f in new["fields"]}
        found = []
        for name, field in before.items():
            here = f"{at}.{name}".lstrip(".")
            if name not in after:
                found.append(f"{here} was removed or renamed; put it back: a field never leaves")
                continue
            found += self.types(field["type"], after[name]["type"], here)
            found += _same_default(field, after[name], here)
        found += _same_order(list(before), list(after), at)
        return found + [p for n, f in after.items() if n not in before for p in _added(f, f"{at}.{n}".lstrip("."))]

    def _resolved(self, names: dict[str, Any], schema: Any) -> Any:
        return names.get(schema, schema) if isinstance(schema, str) else schema


def _same_default(old: Any, new: Any, at: str) -> list[str]:
    gone = object()
    if old.get("default", gone) != new.get("default", gone):
        return [f"{at}: its default was changed; old events would be read with another value than before: put it back"]
    if old.get("class") != new.get("class"):
        return [
            f"{at}: its class was changed from {old.get('class')} to {new.get('class')}; stored data was treated as the old one"
        ]
    return []


def _same_order(before: list[str], after: list[str], at: str) -> list[str]:
    kept = [n for n in after if n in before]
    if kept != [n for n in before if n in after] or after[: len(kept)] != kept:
        return [f"{at or 'the schema'}: fields were reordered or inserted; add new fields at the end"]
    return []


def _added(field: Any, at: str) -> list[str]:
    if "default" not in field:
        return [f"{at} is new and has no default; give it one: events without it must stay readable"]
    first = field["type"][0] if isinstance(field["type"], list) else field["type"]
    kind = first["type"] if isinstance(first, dict) else first
    fits: dict[str, Any] = {
        "null": type(None),
        "string": str,
        "boolean": bool,
        "long": int,
        "double": (int, float),
        "array": list,
        "bytes": str,
    }
    if kind in fits and not isinstance(field["default"], fits[kind]):
        return [f"{at}: its default must be of type {kind} (of a union: of its first type)"]
    return []


def _named(schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(schema, dict):
        if schema.get("type") == "record":
            found[schema["name"]] = schema
        for part in (schema.get("items"), *(f["type"] for f in schema.get("fields", ()))):
            found |= _named(part)
    if isinstance(schema, list):
        for part in schema:
            found |= _named(part)
    return found


def _full_name(record: Any) -> str:
    return f"{record.get('namespace', '')}.{record['name']}".lstrip(".")


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {k: _bare(v) for k, v in schema.items() if k not in ("doc", "class")}
    return [_bare(v) for v in schema] if isinstance(schema, list) else schema

"""What must hold of the contract; every problem is a sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from schemas import compat
from schemas.codegen import plain
from schemas.contract import Contract, load
from schemas.outputs import example_hex, outputs

MOST_COLUMNS = 80
CLASSES = ("fact", "personal", "content")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*").fullmatch
_EQUAL_TOPICS = ("raw", "events", "quarantine", "ledger")


def all_problems(contract: Contract) -> list[str]:
    """Everything that is wrong; empty where the contract is in order."""
    try:
        found = [p for name in contract.names() for p in (*fields(contract, name), *versions(contract, name))]
        found += [*topics(contract), *examples(contract)]
        return found or list(generated(contract))
    except ValueError as error:
        return [str(error)]


def fields(contract: Contract, name: str) -> Iterator[str]:
    """Documented, classed, few enough, and of types that every decoder of ours reads."""
    schema = contract.schema(name)
    if len(schema["fields"]) > MOST_COLUMNS:
        yield f"{name} has {len(schema['fields'])} columns, at most {MOST_COLUMNS} are allowed: use attributes for rare ones"
    for field in schema["fields"]:
        if field.get("class") not in CLASSES:
            yield f'{name}.{field["name"]} has no class: mark it "class": "fact", "personal" or "content"'
    for at, field in _fields(schema, name):
        if not field.get("doc", "").strip():
            yield f'{at} is not documented: give it a "doc"'
        if not _SNAKE(field["name"]):
            yield f"{at} is not snake_case: rename it before it is released"


def _fields(schema: Any, at: str) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, list):
        for part in schema:
            yield from _fields(part, at)
    elif isinstance(schema, dict):
        for field in schema.get("fields", ()):
            yield f"{at}.{field['name']}", field
            yield from _fields(field["type"], f"{at}.{field['name']}")
        yield from _fields(schema.get("items"), at)


def versions(contract: Contract, name: str) -> Iterator[str]:
    """FULL_TRANSITIVE with every released version, and the newest of them is the current file."""
    released = contract.released(name)
    current = contract.schema(name)
    if sorted(released) != list(range(1, len(released) + 1)) or not released:
        yield f"released versions of {name} must be 1, 2, 3 …, not {sorted(released)}: run `python -m schemas release`"
        return
    broken = [f"{name} against version {n}: {p}" for n, old in sorted(released.items()) for p in compat.problems(old, current)]
    yield from broken
    if not broken and _meaning(current) != _meaning(released[max(released)]):
        yield f"{name} has changed since version {max(released)}: run `python -m schemas release` and commit the new version"


def topics(contract: Contract) -> Iterator[str]:
    """Each topic has a schema that exists, documentation, writers and readers."""
    catalogue = contract.topics()
    for topic, entry in catalogue["topics"].items():
        if not str(entry.get("schema", "")).endswith(".avsc") or entry["schema"][:-5] not in contract.names():
            yield f"topics.yaml: {topic} names schema {entry.get('schema')!r}, which is not in schemas/avro: correct the name"
        for part in ("doc", "writers", "readers", "config"):
            if not entry.get(part):
                yield f"topics.yaml: {topic} has no {part}: add it"
    for kind in _EQUAL_TOPICS:
        entry = catalogue["topics"].get(f"{{namespace}}.{kind}")
        if entry is None:
            yield f"topics.yaml: topic {{namespace}}.{kind} is missing: the pipeline needs it"
        elif entry.get("partitions", catalogue["partitions"]) != catalogue["partitions"]:
            yield f"topics.yaml: {{namespace}}.{kind} has a partition count of its own: results go to the number of their input"


def examples(contract: Contract) -> Iterator[str]:
    """Each fits its schema; together the events set every field that a producer can set and every one that it cannot."""
    used: set[str] = set()
    for path in contract.examples():
        where = path.relative_to(contract.folder)
        if path.parent.name not in contract.names():
            yield f"{where}: there is no schema {path.parent.name}: put it into a folder named after its schema"
            continue
        try:
            example_hex(contract, path)
        except ValueError as error:
            yield f"{where}: {error}: correct the example"
        used |= load(path).keys() if path.parent.name == "audit_event" else set()
    for field in contract.schema("audit_event")["fields"]:
        if field["name"] not in used:
            yield f"no example of audit_event sets {field['name']}: add it to examples/audit_event/maximal.json"


def generated(contract: Contract) -> Iterator[str]:
    """Generated files are what the generator writes today."""
    for path, text in outputs(contract).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(contract.root)} is out of date: run `python -m schemas generate` and commit it"


def release(contract: Contract) -> list[str]:
    """Keep each changed schema as its next version; what was done. Raises SystemExit where a change is not additive."""
    done = []
    for name in contract.names():
        released, current = contract.released(name), contract.schema(name)
        if released and _meaning(released[max(released)]) == _meaning(current):
            continue
        broken = [p for n, old in released.items() for p in compat.problems(old, current)]
        if broken:
            raise SystemExit(f"{name} cannot be released: " + "; ".join(broken))
        path = contract.folder / "released" / name / f"{max(released, default=0) + 1}.avsc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((contract.folder / "avro" / f"{name}.avsc").read_bytes())
        done.append(f"{name}: version {path.stem} is {path}")
    return done or ["nothing has changed since the last release"]


def _meaning(schema: Any) -> Any:
    """What a version fixes: everything but documentation."""
    return plain(schema), [(f["name"], f.get("class")) for f in schema["fields"]]

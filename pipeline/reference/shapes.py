"""Whether a document has the shape that the published JSON Schema of its kind says, each error as an instruction."""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from pipeline.reference.source import Document, FieldPath, Problem, unreadable


class Shapes:
    """The kinds of a series of documents. ``folder`` holds ``<kind>.schema.json``; ``free`` are fields whose texts may hold line
    breaks, which are control characters like others.
    """

    def __init__(self, folder: Path, kinds: Sequence[str], free: Collection[str] = ()) -> None:
        self._folder, self._kinds, self._free = folder, kinds, free
        self.schema_of = cache(self._schema_of)
        self._validator = cache(lambda kind: Draft202012Validator(self.schema_of(kind)))

    def _schema_of(self, kind: str) -> dict[str, Any]:
        """The published schema of one kind; read only."""
        found: dict[str, Any] = json.loads((self._folder / f"{kind}.schema.json").read_text(encoding="utf-8"))
        return found

    def problems(self, document: Document) -> Iterator[Problem]:
        """What is wrong with one document by itself."""
        if document.kind not in self._kinds:
            given = document.content.get("kind")
            said = f"{given!r} is no kind{near(str(given), self._kinds)}" if given is not None else "kind is missing"
            yield document.problem(
                ("kind",) if given is not None else (), f"{said}: write kind: and one of {', '.join(self._kinds)}"
            )
            return
        for error in self._validator(document.kind).iter_errors(document.content):
            yield from self._explained(document, error)
        for path, text in _texts(document.content, ()):
            if not (path and path[0] in self._free) and any(unicodedata.category(c) == "Cc" for c in text):
                yield document.problem(path, "holds a line break or another control character: remove it")

    def _explained(self, document: Document, error: ValidationError) -> Iterator[Problem]:
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
                yield document.problem(path, f"{name} is missing: add it. {self._meaning(document.kind, name)}")
        elif word == "additionalProperties":
            known = list(schema["properties"])
            for name in sorted(set(value) - set(known)):
                text = (
                    f"{'.'.join(map(str, path)) or document.kind} has no such field{near(name, known)}: it has {', '.join(known)}"
                )
                yield document.problem((*path, name), text)
        elif (word == "enum" or (word, limit) == ("type", "string")) and (read := unreadable(value)):
            empty = "give it a value or leave the field out" if value is None else "write the value in quotes"
            yield document.problem(path, f"must be text, and YAML reads {read}: {empty}")
        elif word == "enum":
            yield document.problem(path, f"{short(value)} is none of {', '.join(limit)}{near(str(value), limit)}: correct it")
        else:
            yield document.problem(path, f"{_rule(word, limit)}. {schema.get('description', '')}".strip())

    def _meaning(self, kind: str, name: str) -> str:
        return str(self.schema_of(kind)["properties"].get(name, {}).get("description", ""))


def near(name: str, known: Iterable[object]) -> str:
    """`` (did you mean …?)`` where one of ``known`` is like it, else empty."""
    close = difflib.get_close_matches(name, [str(k) for k in known], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def short(value: object) -> str:
    """A value in quotes, at most 60 characters of it."""
    text = str(value)
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _rule(word: str, limit: Any) -> str:
    names = {
        "object": "fields with values",
        "array": "a list",
        "string": "text",
        "integer": "a whole number",
        "boolean": "true or false",
    }
    said = {
        "type": f"must be {names.get(str(limit), limit)}",
        "minimum": f"must be at least {limit}",
        "maximum": f"must be at most {limit}",
        "minLength": "must not be empty",
        "maxLength": f"is longer than {limit} characters",
        "minItems": f"needs at least {limit} item",
        "maxItems": f"has more than {limit} items",
        "minProperties": f"needs at least {limit} entry",
        "maxProperties": f"has more than {limit} entries",
        "uniqueItems": "names something twice",
        "pattern": f"does not have the form {limit}",
    }
    return said.get(word, f"breaks the rule {word}")


def _texts(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _texts(item, (*path, i))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield path, str(key)
            yield from _texts(item, (*path, str(key)))

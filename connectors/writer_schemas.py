"""Writer's schemas of raw events by id: known to this release, newer than it, or no event at all.

Bytes of a newer schema decode with an older one without an error and lose the new field: so a newer schema is never guessed at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from fastavro.schema import to_parsing_canonical_form

import schemas
from connectors.registry import SchemaRegistry, UnknownSchema

EVENT_NAME = "auditwire.AuditEvent"
MISSED_SECONDS = 30.0  # junk must not make a request to the registry for each record


class NewerSchema(Exception):  # noqa: N818
    """An event schema with fields this release does not know: going on would lose them. Upgrade the processor."""


class NotAnEvent(Exception):  # noqa: N818
    """The registry knows the id, or definitely does not, but it is no event schema: quarantine the record."""


def released() -> tuple[str, ...]:
    """Texts of every event schema this release knows: the current one and those released before, newest first."""
    return (schemas.schema_text("audit_event"), *schemas.released("audit_event"))


def unknown_fields(names: Iterable[str]) -> list[str]:
    """Fields of an event schema that this release does not know: decoding would lose them."""
    return sorted(set(names) - set(schemas.event_fields()))


class WriterSchemas:
    """Looks ids up once; safe from several threads."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._canonical = {_canonical(text) for text in released()}
        self._fields = {f["name"]: _shape(f) for f in schemas.event_schema()["fields"]}
        self._found: dict[int, str] = {}
        self._missed: dict[int, float] = {}

    def text_of(self, schema_id: int) -> str:
        """Schema to decode with. Raises NotAnEvent, NewerSchema, or RegistryError (no answer: wait and ask again)."""
        if schema_id not in self._found:
            if time.monotonic() - self._missed.get(schema_id, -MISSED_SECONDS) < MISSED_SECONDS:
                raise NotAnEvent(f"schema {schema_id} is not {EVENT_NAME}")
            try:
                self._found[schema_id] = self._look_up(schema_id)
            except NotAnEvent:
                self._missed[schema_id] = time.monotonic()
                raise
        return self._found[schema_id]

    def _look_up(self, schema_id: int) -> str:
        try:
            text = self._registry.schema_of(schema_id)
        except UnknownSchema:
            raise NotAnEvent(f"the registry has no schema with id {schema_id}") from None
        try:
            if _canonical(text) not in self._canonical:
                self._refuse(schema_id, json.loads(text))
        except (NotAnEvent, NewerSchema):
            raise
        except Exception:  # a registry keeps JSON Schemas and other things too, on which the parser fails in many ways
            raise NotAnEvent(f"schema {schema_id} is no Avro schema") from None
        return text

    def _refuse(self, schema_id: int, schema: Any) -> None:
        """Raises unless the schema is an event's whose every field this release knows in the same shape."""
        if not isinstance(schema, dict) or EVENT_NAME not in (schema["name"], f"{schema.get('namespace')}.{schema['name']}"):
            raise NotAnEvent(f"schema {schema_id} is not {EVENT_NAME}")
        fields = {f["name"]: _shape(f) for f in schema["fields"]}
        if unknown := unknown_fields(fields):
            raise NewerSchema(
                f"schema {schema_id} has fields that this release does not know ({', '.join(unknown[:5])}). "
                "Upgrade the processor; the partition waits and nothing is lost."
            )
        if any(shape != self._fields[name] for name, shape in fields.items()):
            raise NotAnEvent(f"schema {schema_id} gives fields of {EVENT_NAME} other types")


def _canonical(text: str) -> str:
    return str(to_parsing_canonical_form(json.loads(text)))


def _shape(field: dict[str, Any]) -> str:
    def plain(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: plain(v) for k, v in node.items() if k not in ("doc", "default", "class", "aliases")}
        return [plain(v) for v in node] if isinstance(node, list) else node

    return json.dumps(plain(field["type"]), sort_keys=True)

"""Records of the clean topic → columns with positions, whatever schema version each was written with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from connectors import avro
from connectors.partitions import Chunk
from connectors.writer_schemas import unknown_fields
from pipeline.sink.plan import Rows


class UnreadableError(Exception):
    """A record of the clean topic is not an event that this version can keep whole. Stop the partition; the text says what
    to do.
    """


class Schemas(Protocol):
    """Where the text of a schema id is looked up (`connectors.registry.SchemaRegistry`)."""

    def schema_of(self, schema_id: int) -> str: ...


class Decoder:
    """Decodes with the writer's schema by id, fills up to the newest columns known, and takes digests of the bytes as they
    are.
    """

    def __init__(self, registry: Schemas) -> None:
        self._registry = registry
        self._texts: dict[int, str] = {}

    def rows(self, chunk: Chunk) -> Rows:
        """All records of the chunk. Raises UnreadableError, or RegistryError when the registry does not answer (wait)."""
        bodies = [(value or b"")[5:] for value in chunk.values]
        parts, order = [], list[int]()
        for schema_id, index in self._by_schema(chunk).items():
            parts.append(self._decode(chunk, bodies, index, schema_id))
            order += index
        columns = avro.concat(parts) if parts else avro.empty()
        if len(parts) > 1:
            columns = columns.take(pa.array(np.argsort(np.array(order, np.int64), kind="stable")))
        return Rows(columns, np.array(chunk.offsets, np.int64), np.array(chunk.timestamps, np.int64), avro.digests(bodies))

    def _by_schema(self, chunk: Chunk) -> dict[int, Sequence[int]]:
        """Schema id → places of its records in the chunk."""
        heads = [(value or b"")[:5] for value in chunk.values]
        ids = {head: avro.schema_id_of(head) for head in dict.fromkeys(heads)}
        for head, schema_id in ids.items():
            if schema_id is None:
                raise UnreadableError(_unreadable(chunk, chunk.offsets[heads.index(head)], "is not in Confluent wire format"))
        if len(ids) == 1:
            return {schema_id: range(len(heads)) for schema_id in ids.values() if schema_id is not None}
        places: dict[int, list[int]] = {}
        for place, head in enumerate(heads):
            places.setdefault(ids[head] or 0, []).append(place)
        return dict(places)

    def _decode(self, chunk: Chunk, bodies: Sequence[bytes], index: Sequence[int], schema_id: int) -> pa.RecordBatch:
        text = self._text(schema_id, chunk, index[0])
        chosen = bodies if len(index) == len(bodies) else [bodies[i] for i in index]
        try:
            return avro.decode(chosen, text)
        except avro.DecodeError:
            bad = avro.decode_each(chosen, text)[2]
            raise UnreadableError(_unreadable(chunk, chunk.offsets[index[bad[0]]], f"is not of its schema {schema_id}")) from None

    def _text(self, schema_id: int, chunk: Chunk, first: int) -> str:
        if schema_id not in self._texts:
            text = self._registry.schema_of(schema_id)
            if unknown := unknown_fields(f["name"] for f in json.loads(text)["fields"]):
                raise UnreadableError(
                    f"partition {chunk.partition}, offset {chunk.offsets[first]}: schema {schema_id} has the unknown column "
                    f"{unknown[0]}: roll out this sink's newer version before the processors (nothing was lost)"
                )
            self._texts[schema_id] = text
        return self._texts[schema_id]


def _unreadable(chunk: Chunk, offset: int, why: str) -> str:
    return (
        f"partition {chunk.partition}, offset {offset}: the record {why}; only processors may write the clean topic: "
        "find out who wrote it (nothing behind it is stored until then)"
    )

"""The prints of events that deduplication compares: keyed hashes of identity and content, and producer sequences.

Hashes are BLAKE2b of 8 bytes under a key, so that nobody can look an id up in the ledger without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.batch import Batch
from pipeline.stages.validate import nameable

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Producer = tuple[str, str, int]  # tenant, producer, epoch


@dataclass(frozen=True)
class Prints:
    """Of each row: keyed hash of the identity, keyed hash of the raw body, and the producer sequence where there is one."""

    ids: Hashes
    contents: Hashes
    groups: Rows  # index into producers, -1 without a sequence
    sequences: Rows
    producers: Sequence[Producer]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Mask) -> Prints:
        return Prints(self.ids[rows], self.contents[rows], self.groups[rows], self.sequences[rows], self.producers)

    def by_producer(self) -> Iterator[tuple[Producer, Rows]]:
        """Each producer epoch with its rows, in order."""
        order = np.argsort(self.groups, kind="stable")
        ends = np.searchsorted(self.groups[order], np.arange(len(self.producers)), "right")
        first = int(np.searchsorted(self.groups[order], 0))
        for producer, end in zip(self.producers, ends.tolist(), strict=True):
            if end > first:
                yield producer, order[first:end]
            first = end


def prints(batch: Batch, bodies: Sequence[bytes], key: bytes) -> Prints:
    """Prints of a batch; ``bodies[i]`` is the raw Avro body of input record i. A retry of a source repeats its bytes."""
    base = hashlib.blake2b(key=key, digest_size=8)
    by_tenant = _Tenants(base)
    tenants = batch.column("tenant_id").to_pylist()
    events = batch.column("event_id").to_pylist()
    ids = b"".join([by_tenant[tenant](event.encode()) for tenant, event in zip(tenants, events, strict=True)])
    contents = b"".join([_digest(base, bodies[i]) for i in batch.index.tolist()])
    groups, sequences, producers = _sequences(batch, tenants)
    return Prints(np.frombuffer(ids, "<u8"), np.frombuffer(contents, "<u8"), groups, sequences, producers)


def _digest(base: Any, data: bytes) -> bytes:
    hasher = base.copy()
    hasher.update(data)
    digest: bytes = hasher.digest()
    return digest


class _Tenants(dict[str, Any]):
    """tenant → function from event id to the 8-byte hash of both, each length-prefixed so that no two pairs read the same."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self._base = base

    def __missing__(self, tenant: str) -> Any:
        name = tenant.encode()
        hasher = self._base.copy()
        hasher.update(len(name).to_bytes(4, "little") + name)

        def identity(event: bytes) -> bytes:
            return _digest(hasher, len(event).to_bytes(4, "little") + event)

        self[tenant] = identity
        return identity


def _sequences(batch: Batch, tenants: Sequence[str]) -> tuple[Rows, Rows, list[Producer]]:
    names = batch.column("producer_id").to_pylist()
    epochs = batch.column("producer_epoch").to_pylist()
    numbers = batch.column("sequence").to_pylist()
    known: dict[Producer, int] = {}
    groups = np.full(len(batch), -1, np.int64)
    values = np.zeros(len(batch), np.int64)
    for row, (tenant, name, epoch, number) in enumerate(zip(tenants, names, epochs, numbers, strict=True)):
        if name and number is not None and epoch is not None:
            groups[row] = known.setdefault((tenant, name, epoch), len(known))
            values[row] = number
    return groups, values, list(known)


def repeated(values: npt.NDArray[Any], rows: Rows) -> Rows:
    order = np.argsort(values, kind="stable")
    same = values[order][1:] == values[order][:-1]
    if not same.any():
        return np.empty(0, np.int64)
    both = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    found: Rows = rows[order[both]]
    return found


def repeated_sequences(seen: Prints) -> Rows:
    rows = np.flatnonzero(seen.groups >= 0)
    if len(rows) < 2:
        return np.empty(0, np.int64)
    order = rows[np.lexsort((seen.sequences[rows], seen.groups[rows]))]
    same = (np.diff(seen.groups[order]) == 0) & (np.diff(seen.sequences[order]) == 0)
    if not same.any():
        return np.empty(0, np.int64)
    both = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    found: Rows = order[both]
    return found


def stored_sequences(seen: Prints) -> list[dict[str, Any]]:
    """The sequence intervals of these rows, as the ledger writes them."""
    listed: list[dict[str, Any]] = []
    for producer, rows in seen.by_producer():
        values = np.unique(seen.sequences[rows])
        breaks = np.flatnonzero(np.diff(values) != 1)
        firsts, lasts = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(values) - 1]])
        listed += [interval(producer, int(values[a]), int(values[b])) for a, b in zip(firsts, lasts, strict=True)]
    return listed


def sequences_in(batch: Batch) -> list[dict[str, Any]]:
    """The sequence intervals of events whose tenant and producer can be written down, whatever else is wrong with them."""
    batch = batch.take(nameable(batch))
    groups, values, producers = _sequences(batch, batch.column("tenant_id").to_pylist())
    nothing = np.zeros(len(batch), np.uint64)
    return stored_sequences(Prints(nothing, nothing, groups, values, producers))


def interval(producer: Producer, first: int, last: int) -> dict[str, Any]:
    """One SequenceInterval of the ledger."""
    tenant, name, epoch = producer
    return {"tenant_id": tenant, "producer_id": name, "producer_epoch": epoch, "first": first, "last": last}


def identities(seen: Prints) -> bytes:
    """16 bytes a row: identity hash, content hash, little-endian."""
    return np.column_stack([seen.ids, seen.contents]).astype("<u8").tobytes()

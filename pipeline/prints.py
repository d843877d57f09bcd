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
import pyarrow as pa
import pyarrow.compute as pc

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
    tenants = batch.column("tenant_id").to_pylist()
    events = batch.column("event_id").cast(pa.binary()).to_pylist()
    ids = _identities(base, tenants, events)
    contents = [_digest(base, bodies[i]) for i in batch.index.tolist()]
    groups, sequences, producers = _sequences(batch)
    return Prints(np.frombuffer(b"".join(ids), "<u8"), np.frombuffer(b"".join(contents), "<u8"), groups, sequences, producers)


def _digest(base: Any, data: bytes) -> bytes:
    hasher = base.copy()
    hasher.update(data)
    digest: bytes = hasher.digest()
    return digest


def _identities(base: Any, tenants: Sequence[str], events: Sequence[bytes]) -> list[bytes]:
    """The 8-byte hash of each (tenant, event id), both length-prefixed so that no two pairs read the same."""
    begun: dict[tuple[str, int], Any] = {}  # all that comes before the id is hashed once
    found = []
    for place in zip(tenants, map(len, events), strict=True):
        if place not in begun:
            tenant = place[0].encode()
            begun[place] = base.copy()
            begun[place].update(len(tenant).to_bytes(4, "little") + tenant + place[1].to_bytes(4, "little"))
        found.append(begun[place])
    return [_digest(hasher, event) for hasher, event in zip(found, events, strict=True)]


def _sequences(batch: Batch) -> tuple[Rows, Rows, list[Producer]]:
    """Each row's producer epoch (its place in the list; -1 without a sequence) and sequence."""
    parts = [pc.dictionary_encode(batch.column(name)) for name in ("tenant_id", "producer_id", "producer_epoch")]
    numbers = batch.column("sequence")
    known = _numpy(pc.and_(pc.not_equal(batch.column("producer_id"), ""), numbers.is_valid()))
    known &= _numpy(batch.column("producer_epoch").is_valid())
    groups = np.full(len(batch), -1, np.int64)
    values = np.zeros(len(batch), np.int64)
    if not known.any():
        return groups, values, []
    codes = np.zeros(int(known.sum()), np.int64)
    for part in parts:
        codes = codes * len(part.dictionary) + _numpy(part.indices.fill_null(0))[known]
    encoded = pa.array(codes).dictionary_encode()
    groups[known] = _numpy(encoded.indices)
    values[known] = _numpy(numbers.fill_null(0))[known]
    tenants, names, epochs = (part.dictionary.to_pylist() for part in parts)
    rest, epoch = np.divmod(_numpy(encoded.dictionary), len(epochs))
    tenant, name = np.divmod(rest, len(names))
    return groups, values, [(tenants[t], names[n], epochs[e]) for t, n, e in zip(tenant, name, epoch, strict=True)]


def _numpy(values: Any) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers


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
    rows = np.flatnonzero(seen.groups >= 0)
    order = rows[np.lexsort((seen.sequences[rows], seen.groups[rows]))]
    groups, values = seen.groups[order], seen.sequences[order]
    steps = np.diff(values, prepend=0)  # wraps where numbers lie more than 2^63 apart: neither 0 nor 1
    begins = (np.diff(groups, prepend=-1) != 0) | ((steps != 0) & (steps != 1))
    firsts, lasts = np.flatnonzero(begins), np.flatnonzero(np.append(begins, True)[1:])
    listed = zip(groups[firsts].tolist(), values[firsts].tolist(), values[lasts].tolist(), strict=True)
    return [interval(seen.producers[group], first, last) for group, first, last in listed]


def sequences_in(batch: Batch) -> list[dict[str, Any]]:
    """The sequence intervals of events whose tenant and producer can be written down, whatever else is wrong with them."""
    batch = batch.take(nameable(batch))
    groups, values, producers = _sequences(batch)
    nothing = np.zeros(len(batch), np.uint64)
    return stored_sequences(Prints(nothing, nothing, groups, values, producers))


def interval(producer: Producer, first: int, last: int) -> dict[str, Any]:
    """One SequenceInterval of the ledger."""
    tenant, name, epoch = producer
    return {"tenant_id": tenant, "producer_id": name, "producer_epoch": epoch, "first": first, "last": last}


def identities(seen: Prints) -> bytes:
    """16 bytes a row: identity hash, content hash, little-endian."""
    return np.column_stack([seen.ids, seen.contents]).astype("<u8").tobytes()

"""What is stored where: positions with digests recomputed from what each store holds, identities, and the differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors import avro

OWN_EVENTS = ("export.", "auditwire.", "reference.", "rules.", "retention.")  # what the pipeline records of itself
POSITION = np.dtype([("partition", "<i4"), ("offset", "<i8"), ("digest", "<u8")])


@dataclass
class Held:
    """Positions with digests, in order, of one place."""

    name: str
    rows: npt.NDArray[np.void]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class Difference:
    """What two places do not share; empty means equal."""

    left: str
    right: str
    only_left: int = 0
    only_right: int = 0
    examples: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not (self.only_left or self.only_right):
            return f"{self.left} = {self.right}"
        return f"{self.left} ≠ {self.right}: {self.only_left} only left, {self.only_right} only right, such as {self.examples}"


def held(name: str, batches: Iterable[pa.RecordBatch]) -> Held:
    """From batches of event columns with kafka_partition and kafka_offset; digests are recomputed from the columns."""
    parts = [np.empty(0, POSITION)]
    for batch in batches:
        if batch.num_rows:
            digests = avro.digests(avro.encode(avro.conform(batch)))
            parts.append(_rows(batch.column("kafka_partition"), batch.column("kafka_offset"), digests))
    return Held(name, np.sort(np.concatenate(parts), order=["partition", "offset"]))


def _rows(partitions: pa.Array, offsets: pa.Array, digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.void]:
    rows = np.empty(len(digests), POSITION)
    rows["partition"], rows["offset"], rows["digest"] = np.asarray(partitions), np.asarray(offsets), digests
    return rows


def compare(left: Held, right: Held) -> Difference:
    """Positions with digests, each place against the other; a position twice in one place is a difference."""
    a, b = [tuple(r) for r in left.rows.tolist()], [tuple(r) for r in right.rows.tolist()]
    if a == b:
        return Difference(left.name, right.name)
    only_a, only_b = set(a) - set(b), set(b) - set(a)
    extra_a, extra_b = len(a) - len(set(a)), len(b) - len(set(b))
    examples = [str(x) for x in [*sorted(only_a)[:3], *sorted(only_b)[:3]]]
    return Difference(left.name, right.name, len(only_a) + extra_a, len(only_b) + extra_b, examples)


@dataclass
class Claims:
    """What the producers say: identities as "tenant event_id"."""

    attempted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)


def claims(files: Iterable[Path]) -> Claims:
    """From the files that `bench.load` wrote."""
    found = Claims()
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, _, identity = line.partition(" ")
            (found.attempted if kind == "attempted" else found.acknowledged).add(identity)
    return found


def account(files: Iterable[Path], stored: Sequence[str]) -> dict[str, int]:
    """The claims against the identities that are stored: how many are lost, invented (nobody sent them) or there twice."""
    said, have = claims(files), set(stored)
    probes = {identity for identity in have if identity.startswith("probe ")}
    return {
        "attempted": len(said.attempted),
        "acknowledged": len(said.acknowledged),
        "stored": len(stored),
        "probes": len(probes),
        "lost": len(said.acknowledged - have),
        "invented": len(have - said.attempted - probes),
        "twice": len(stored) - len(have),
    }


def identities(batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
    """ "tenant event_id" of each row that a producer sent on purpose (export service and SDK record events of their own too)."""
    for batch in batches:
        rows = zip(*(batch.column(c).to_pylist() for c in ("tenant_id", "event_id", "event_type")), strict=True)
        yield from (f"{tenant} {event_id}" for tenant, event_id, kind in rows if not kind.startswith(OWN_EVENTS))

"""What the signed files in the archive bucket say was deleted, is being deleted, or cannot be believed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from connectors.deletions import ANNOUNCED, CERTIFICATE, DELETIONS, INTENT, Place, place_of
from connectors.s3 import Bucket
from pipeline.retention.certificate import CertificateError, Deletion, PublicKeys
from pipeline.retention.lengths import Unit


@dataclass
class Deletions:
    """Of one namespace. ``bad``: key → what is wrong with the file. Objects are left out of what is kept here: they are many."""

    certified: dict[Unit, Deletion] = field(default_factory=dict)
    begun: dict[Unit, Deletion] = field(default_factory=dict)
    announced: set[Unit] = field(default_factory=set)
    bad: dict[str, str] = field(default_factory=dict)

    @property
    def units(self) -> frozenset[tuple[str, str]]:
        """(class, month) of everything that a certificate says is gone."""
        return frozenset((unit.retention_class, unit.month) for unit in self.certified)

    def of(self, topic_id: str, partition: int) -> tuple[int, int]:
        """How many positions of a partition of a topic are certified as deleted, and the sum modulo 2^64 of their digests."""
        mine = [r for d in self.certified.values() for r in d.removed if (r.topic_id, r.partition) == (topic_id, partition)]
        return sum(r.count for r in mine), sum(r.checksum for r in mine) % 2**64

    def last_raw(self, topic_id: str, partition: int) -> int:
        """The highest raw offset of these; nothing made of a raw record behind it is deleted. -1: none is."""
        mine = (r for d in self.certified.values() for r in d.removed if (r.topic_id, r.partition) == (topic_id, partition))
        return max((r.last_raw for r in mine), default=-1)


def load(bucket: Bucket, namespace: str, keys: PublicKeys) -> Deletions:
    """Every file read and its signature checked. Raises S3Error."""
    found, places = Deletions(), dict[Unit, set[str]]()
    for key in bucket.keys(DELETIONS):
        place = place_of(key)
        if place is None:
            found.bad[key] = "its name is not one that `auditwired retention` gives"
            continue
        places.setdefault(Unit(place.retention_class, place.month), set()).add(place.what)
    for unit, files in places.items():
        for what in (INTENT, CERTIFICATE):
            if what not in files:
                continue
            key = Place(unit.retention_class, unit.month, what).key
            try:
                one = read(bucket, unit, what, namespace, keys)
            except CertificateError as exc:
                found.bad[key] = str(exc)
                continue
            (found.begun if what == INTENT else found.certified)[unit] = replace(one, objects=())
        if ANNOUNCED in files:
            found.announced.add(unit)
    for unit in found.certified:
        found.begun.pop(unit, None)
    return found


def read(bucket: Bucket, unit: Unit, what: str, namespace: str, keys: PublicKeys) -> Deletion:
    """One file, whole. Raises CertificateError where it is not what its name says, S3Error."""
    one = keys.opened(bucket.read(Place(unit.retention_class, unit.month, what).key))
    if (one.unit, one.namespace, one.completed is None) != (unit, namespace, what == INTENT):
        raise CertificateError(f"it is about {one.unit} of {one.namespace}, and not what its name says")
    return one


def remaining(count: int, checksum: int, gone: Collection[tuple[int, int]]) -> tuple[int, int]:
    """Count and checksum without those of what is gone."""
    return count - sum(n for n, _ in gone), (checksum - sum(c for _, c in gone)) % 2**64

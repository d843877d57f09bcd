"""Reads the archive back for checking: the ranges of a partition in order, what their objects hold, what is wrong with them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors import manifest, parquet, positions
from connectors.archive import held_in, object_metadata
from connectors.deletions import DELETIONS, unit_of
from connectors.manifest import Manifest, Part
from connectors.positions import Positions
from connectors.s3 import Bucket, Missing, Refused


@dataclass(frozen=True)
class Complaint:
    """Something wrong with an object, apart from the events in it. ``kind`` is a code of `pipeline.fsck`'s documentation."""

    kind: str
    key: str
    text: str


@dataclass(frozen=True)
class Range:
    """A manifest's name: the range ``start <= offset < end``."""

    start: int
    end: int
    key: str


class ArchivedPartition:
    """One partition of a topic in the archive. ``folder`` takes one object at a time. Methods raise S3Error."""

    def __init__(
        self, bucket: Bucket, folder: Path, topic: str, topic_id: str, partition: int, *, deleted: positions.Units = ()
    ) -> None:
        self._bucket, self._copy, self._deleted = bucket, folder / "object.parquet", deleted
        self._where = (topic, topic_id, partition)
        self.gone: list[Part] = []
        """What manifests list of the classes and months in ``deleted``: it is not looked for. Filled by `read`."""
        self.complaints: list[Complaint] = []
        self.objects: set[str] = set()
        """Keys of the objects that manifests name, filled by `ranges` and `read`."""

    def ranges(self, first: int = 0) -> list[Range]:
        """The ranges that reach beyond ``first``, by start; overlaps become complaints."""
        keys = self._bucket.keys(manifest.folder(*self._where), after=manifest.after(*self._where, first))
        found = sorted((Range(*manifest.range_of(key), key) for key in keys), key=lambda r: (r.start, r.end))
        for before, after in itertools.pairwise(found):
            if after.start < before.end:
                text = f"range {after.start}..{after.end} overlaps {before.start}..{before.end}"
                self.complaints.append(Complaint("overlapping_ranges", after.key, text))
        return found

    def read(self, one: Range) -> Positions:
        """What the objects of a range hold in offset order; what cannot be read is a complaint."""
        try:
            found = Manifest.from_json(self._bucket.read(one.key))
        except (ValueError, Refused) as exc:
            self.complaints.append(Complaint("bad_manifest", one.key, str(exc)))
            return positions.empty()
        if found.key != one.key:
            self.complaints.append(Complaint("bad_manifest", one.key, f"its content is that of {found.key}"))
        parts = [self._part(found, part) for part in found.parts]
        whole = positions.joined(parts)
        outside = (whole["offset"] < one.start) | (whole["offset"] >= one.end)
        if outside.any():
            text = f"{int(outside.sum())} events lie outside the range"
            self.complaints.append(Complaint("bad_object", one.key, text))
        return whole

    def _part(self, of: Manifest, part: Part) -> Positions:
        if unit_of(part.key) in self._deleted:
            self.gone.append(part)
            return positions.empty()
        self.objects.add(part.key)
        try:
            stored = self._bucket.download(part.key, self._copy)
        except Missing:
            self.complaints.append(Complaint("missing_object", part.key, f"{part.count} events; its manifest is {of.key}"))
            return positions.empty()
        expected = {**object_metadata(of, part), "sha256": part.sha256}
        wrong = sorted(name for name, value in expected.items() if stored.metadata.get(name) != value)
        if wrong:
            self.complaints.append(Complaint("bad_metadata", part.key, f"differs from its manifest in {', '.join(wrong)}"))
        try:
            with self._copy.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                    text = "its bytes are not those that were written (SHA-256 differs)"
                    self.complaints.append(Complaint("bad_object", part.key, text))
            return held_in(parquet.read(self._copy))
        except ValueError as exc:
            self.complaints.append(Complaint("bad_object", part.key, str(exc)))
            return positions.empty()
        finally:
            self._copy.unlink()


def odd_versions(bucket: Bucket) -> Iterator[Complaint]:
    """Objects with more than one version, and hidden ones: create-only writes never make any. Raises S3Error."""
    for prefix in (manifest.EVENTS, manifest.RANGES, manifest.PLANS, DELETIONS):
        versions: dict[str, int] = {}
        for version in bucket.versions(prefix):
            if version.deleted:
                text = "a delete marker hides it" if version.latest else "it was hidden by a delete marker for a time"
                yield Complaint("hidden_object", version.key, text)
            else:
                versions[version.key] = versions.get(version.key, 0) + 1
        for key, count in versions.items():
            if count > 1:
                yield Complaint("extra_version", key, f"{count} versions; the first is the one that was proven")

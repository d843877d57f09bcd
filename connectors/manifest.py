"""Names in the archive bucket, and the manifest that closes a range. Pure.

    events/class=<c>/dt=<day>/<topic>-<topic id>-<partition>-<start>-<end>-v<schema>.parquet   a range's events of one class
    ranges/<topic>/<topic id>/<partition>/<end>-<start>.json                                   its manifest, written last
    plans/<topic>/<topic id>/<partition>/<standing>-<number>.json                              its plan, written first

The topic id tells a topic that was made anew from the one before it, whose offsets were the same.

``dt`` is the UTC day in which the broker appended the first record of the range. A manifest lists every object of its range, so
what a range consists of, and where the archive stands, is known without the topic. ``end`` comes first in its name: one listing
from an offset on shows every range that reaches beyond it. A plan is named after
where the archive stood (the end of the last range, 0 before the first): only one range can be the next one.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from connectors.ranges import Plan

EVENTS = "events/"
RANGES = "ranges/"
PLANS = "plans/"
OBJECT = re.compile(
    r"events/class=[^/]+/dt=\d{4}-\d\d-\d\d/(?P<stem>[^/]+)-(?P<partition>\d{3,})-(?P<start>\d{20})-(?P<end>\d{20})-v\d+\.parquet"
)
NO_CLASS = "__HIVE_DEFAULT_PARTITION__"  # what Hive, Spark and DuckDB read as null


@dataclass(frozen=True)
class Part:
    """One object of a range: its key, retention class, events, checksum of their digests, and its bytes."""

    key: str
    retention_class: str
    count: int
    checksum: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A range that is archived in full."""

    topic: str
    topic_id: str
    partition: int
    start: int
    end: int
    count: int
    checksum: int
    schema: int
    mapper: int
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, plan: Plan, parts: tuple[Part, ...]) -> Manifest:
        """The manifest of a plan whose objects are ``parts``."""
        fields = {name: getattr(plan, name) for name in cls.__dataclass_fields__ if name != "parts"}
        return cls(**fields, parts=parts)

    @property
    def key(self) -> str:
        return f"{folder(self.topic, self.topic_id, self.partition)}{self.end:020d}-{self.start:020d}.json"

    def same_events(self, other: Manifest) -> bool:
        """True when both stand for the same events in the same objects; bytes may differ (another Parquet library)."""
        return self._logical() == other._logical()

    def _logical(self) -> dict[str, Any]:
        keep = [(p.key, p.retention_class, p.count, p.checksum) for p in self.parts]
        return {**asdict(self), "mapper": 0, "parts": sorted(keep)}

    def to_json(self) -> bytes:
        """Indented JSON with the checksums in hex: people read it too."""
        parts = [{**asdict(p), "checksum": f"{p.checksum:016x}"} for p in self.parts]
        return json.dumps({"v": 1, **asdict(self), "checksum": f"{self.checksum:016x}", "parts": parts}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Raises ValueError when it is not a manifest of this version."""
        try:
            fields = json.loads(data)
            if fields.pop("v") != 1:
                raise ValueError("its version is not 1")
            parts = tuple(Part(**{**p, "checksum": int(p["checksum"], 16)}) for p in fields["parts"])
            return cls(**{**fields, "checksum": int(fields["checksum"], 16), "parts": parts})
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"not an archive manifest of this version of Auditwire ({exc})") from None


def folder(topic: str, topic_id: str, partition: int) -> str:
    """Prefix of the manifests of one partition."""
    return f"{RANGES}{_place(topic, topic_id, partition)}"


def _place(topic: str, topic_id: str, partition: int) -> str:
    return f"{quote(topic, safe='')}/{quote(topic_id, safe='')}/{partition:03d}/"


def plan_folder(topic: str, topic_id: str, partition: int) -> str:
    """Prefix of the plans of one partition."""
    return f"{PLANS}{_place(topic, topic_id, partition)}"


def plan_key(topic: str, topic_id: str, partition: int, standing: int, number: int) -> str:
    """Key of a plan; ``number`` counts those before it that were given up, from 0."""
    return f"{plan_folder(topic, topic_id, partition)}{standing:020d}-{number:03d}.json"


def standing_of(key: str) -> int:
    """Where the archive stood, from a plan's key. Raises ValueError on another key."""
    standing, _, number = key.rpartition("/")[2].removesuffix(".json").partition("-")
    if not (key.startswith(PLANS) and key.endswith(".json") and standing.isdigit() and number.isdigit()):
        raise ValueError(f"{key} is not the name of a plan")
    return int(standing)


def after(topic: str, topic_id: str, partition: int, offset: int) -> str:
    """List after this key: the manifests whose range ends beyond ``offset``, rising."""
    return f"{folder(topic, topic_id, partition)}{offset:020d}~"


def range_of(key: str) -> tuple[int, int]:
    """(start, end) from a manifest's key. Raises ValueError on another key."""
    end, _, start = key.rpartition("/")[2].removesuffix(".json").partition("-")
    if not (key.startswith(RANGES) and key.endswith(".json") and end.isdigit() and start.isdigit()):
        raise ValueError(f"{key} is not the name of a manifest")
    return int(start), int(end)


@dataclass(frozen=True)
class ObjectName:
    """What an object's key says; ``stem`` is that of its topic (`stem_of`)."""

    stem: str
    partition: int
    start: int
    end: int


def object_of(key: str) -> ObjectName | None:
    """The parts of a key of `object_key`; None for another key."""
    found = OBJECT.fullmatch(key)
    return ObjectName(found["stem"], *(int(found[n]) for n in ("partition", "start", "end"))) if found else None


def place_of(key: str) -> ObjectName | None:
    """What the key of an object, of a manifest or of a plan (where the archive stood) is about; None for another key."""
    if not key.startswith((RANGES, PLANS)):
        return object_of(key)
    try:
        topic, topic_id, partition, _ = key.split("/")[1:]
        start, end = (standing_of(key), standing_of(key) + 1) if key.startswith(PLANS) else range_of(key)
        return ObjectName(f"{topic}-{topic_id}", int(partition), start, end)
    except ValueError:
        return None


def stem_of(topic: str, topic_id: str) -> str:
    """How the names of a topic's objects begin."""
    return f"{quote(topic, safe='')}-{quote(topic_id, safe='')}"


def object_key(plan: Plan, retention_class: str, first_timestamp_ms: int) -> str:
    """Key of the events of one retention class in a range; the class is percent-encoded."""
    day = datetime.fromtimestamp(first_timestamp_ms / 1000, UTC).strftime("%Y-%m-%d")
    name = f"{stem_of(plan.topic, plan.topic_id)}-{plan.partition:03d}-{plan.start:020d}-{plan.end:020d}-v{plan.schema}"
    return f"{EVENTS}class={quote(retention_class, safe='') or NO_CLASS}/dt={day}/{name}.parquet"

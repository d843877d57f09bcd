"""The servers as the user `retention` sees them, and the look at them that a plan is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import datetime
from urllib.parse import unquote

from connectors.clickhouse.client import ClickHouseError, Client
from connectors.clickhouse.retention import StoredUnits
from connectors.deletions import objects_of, unit_of
from connectors.kafka import cluster_of
from connectors.kafka_marks import MarksError, Positions
from connectors.kafka_produce import ProduceError
from connectors.manifest import EVENTS
from connectors.postgres import PostgresError
from connectors.postgres.reference import Revisions
from connectors.registry import RegistryError
from connectors.s3 import Bucket, Locked, S3Error
from connectors.series import RULES
from pipeline import settings
from pipeline.counts import counted
from pipeline.retention import deleted
from pipeline.retention.certificate import CertificateError, Object, PublicKeys, SigningKey, public_text
from pipeline.retention.lengths import Term, Unit, begin_of, end_of, later
from pipeline.retention.plan import Line, Part, Plan, agreed
from pipeline.retention.rulebook import Rulebook
from pipeline.rules.model import ModelError

SINKS = ("clickhouse-sink", "archive-sink")


class RetentionError(Exception):
    """It cannot be done, or not now; the text says what to do. What was begun is gone on with by the next run."""


FAILED = (
    *(RetentionError, CertificateError, ClickHouseError, S3Error, PostgresError, ModelError, MarksError, ProduceError),
    RegistryError,
)


class Servers:
    """Opened with the rights of `retention`. Methods raise one of `FAILED`."""

    def __init__(self, values: settings.RetentionRuns, stack: ExitStack) -> None:
        self.values, self.namespace, self.topic = values, values.namespace, f"{values.namespace}.events"
        self.key = SigningKey(values.signing_key.get_secret_value())
        self.keys = PublicKeys.of(f"{public_text(self.key.public)},{values.public_keys}")
        self.cluster = cluster_of(values.model_dump())
        self.marks = Positions(self.cluster)
        client = Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())
        self.stored = StoredUnits(stack.enter_context(closing(client)), values.namespace)
        secret = values.s3_secret_access_key.get_secret_value()
        self.bucket = Bucket(values.s3_endpoint, values.s3_region, values.s3_bucket, values.s3_access_key_id, secret)

    def terms(self) -> list[Term]:
        """Every revision of the rules and when it was in force."""
        return Rulebook(Revisions(self.values.postgres_dsn.get_secret_value(), self.namespace, RULES)).terms()

    def deletions(self) -> deleted.Deletions:
        """What was deleted before, or begun. Raises CertificateError where a file cannot be believed."""
        found = deleted.load(self.bucket, self.namespace, self.keys)
        for key, text in found.bad.items():
            raise CertificateError(
                f"{self.bucket.name}/{key}: {text}. Nothing is deleted before that is cleared up: docs/retention.md"
            )
        return found

    def archived(self) -> dict[Unit, tuple[Object, ...]]:
        """Every version of every object of events."""
        found: dict[Unit, list[Object]] = {}
        for version in self.bucket.versions(EVENTS):
            unit = unit_of(version.key)
            if unit is not None:
                one = Object(version.key, version.version, version.size, version.deleted)
                found.setdefault(Unit(*unit), []).append(one)
        return {unit: tuple(objects) for unit, objects in found.items()}

    def versions(self, unit: Unit) -> list[Object]:
        """The same of one class and month."""
        prefix = objects_of(unit.retention_class, unit.month)
        return [Object(v.key, v.version, v.size, v.deleted) for v in self.bucket.versions(prefix)]

    def inspected(self, objects: tuple[Object, ...]) -> Iterator[tuple[Object, Part, Locked]]:
        """Each version that has bytes, its events as its metadata says, its lock."""
        for one in objects:
            if one.marker:
                continue
            stored, locked = self.bucket.inspect(one.key, one.version)
            try:
                said = stored.metadata
                part = Part(
                    unquote(said["topic"]),
                    said["topic-id"],
                    int(said["partition"]),
                    int(said["count"]),
                    int(said["checksum"], 16),
                )
            except (KeyError, ValueError):
                raise RetentionError(f"{self.bucket.name}/{one.key} has no metadata of an archived object: run fsck") from None
            yield one, part, locked

    def stored_until(self, month: str) -> dict[int, bool]:
        """Partition → whether both sinks are done with all that was appended before the end of the month."""
        partitions = sorted(self.marks.replicated(self.topic))
        end = int(begin_of(later(month, 1)).timestamp() * 1000)
        behind = self.marks.first_at(self.topic, dict.fromkeys(partitions, end))
        ends = self.marks.ends(self.topic, partitions)
        wanted = {p: ends[p] if (found := behind[p]) is None else found[0] for p in partitions}
        done = {sink: self.marks.committed(f"{self.namespace}-{sink}", self.topic, partitions) for sink in SINKS}
        return {p: all((done[sink][p] or 0) >= wanted[p] for sink in SINKS) for p in partitions}


def look(servers: Servers, now: datetime) -> Plan:
    """The plan as of ``now`` (UTC). Raises one of `FAILED`."""
    known, deletions, archived = servers.terms(), servers.deletions(), servers.archived()
    partitions = {Unit(p.retention_class, p.month): p for p in servers.stored.partitions()}
    months: dict[str, Mapping[int, bool]] = {}
    lines = []
    for unit in sorted({*partitions, *archived, *deletions.begun}, key=lambda u: (u.retention_class, u.month)):
        held, objects = partitions.get(unit), archived.get(unit, ())
        line = Line(
            unit,
            held.events if held else 0,
            held.bytes if held else 0,
            objects,
            end_of(unit, known, now),
            now,
            unit in deletions.begun,
        )
        if line.ended and not line.begun:
            if unit.month not in months:
                months[unit.month] = servers.stored_until(unit.month)
            line = _closer(servers, line, months[unit.month], unit in deletions.certified)
        lines.append(line)
    return Plan(servers.namespace, lines)


def locked(locks: Iterable[Locked], now: datetime) -> list[str]:
    """What object lock says against deleting versions at ``now`` (UTC), in sentences."""
    found = list(locks)
    ends = [lock.until for lock in found if lock.until is not None and lock.until > now]
    held = sum(lock.held for lock in found)
    said = []
    if ends:
        said.append(f"{counted(len(ends), 'object is', 'objects are')} locked, the last until {max(ends):%Y-%m-%d %H:%M:%S} UTC")
    if held:
        said.append(f"a legal hold is on {counted(held, 'object')}: it stays in both stores until that is taken off")
    return said


def _closer(servers: Servers, line: Line, stored: Mapping[int, bool], certified: bool) -> Line:
    """A line whose end has come: what exactly is there, and what stands against removing it."""
    blocked = []
    if certified:
        blocked.append("a certificate says that it is gone already: run `auditwired fsck`")
    if late := [p for p, done in stored.items() if not done]:
        blocked.append(f"not yet stored in both stores: {servers.topic}[{', '.join(map(str, late))}]: let the sinks catch up")
    first = {one.key: one.version for one in line.objects if not one.marker}  # the last listed is the oldest, which was proven
    parts, locks = [], []
    try:
        for one, part, lock in servers.inspected(line.objects):
            if first[one.key] == one.version:
                parts.append(part)
            locks.append(lock)
    except RetentionError as exc:
        blocked.append(str(exc))
    blocked += locked(locks, line.now)
    removed, differ = agreed(servers.stored.held(line.unit.retention_class, line.unit.month), parts)
    return Line(line.unit, line.events, line.bytes, line.objects, line.end, line.now, False, removed, (*blocked, *differ))

"""fsck on the real servers: opens them as the operator, walks each partition, looks at the archive's objects."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from connectors import deletions, kafka_marks, manifest, positions
from connectors.archive_reader import ArchivedPartition, odd_versions
from connectors.avro import DecodeError
from connectors.clickhouse.client import ClickHouseError, Client
from connectors.kafka import cluster_of
from connectors.kafka_partitions import TopicError, topic_id_of
from connectors.kafka_read import PartitionReader, ReadError
from connectors.registry import RegistryError, SchemaRegistry
from connectors.s3 import Bucket, S3Error
from pipeline import settings
from pipeline.fsck import sources
from pipeline.fsck.book import Ledger
from pipeline.fsck.compare import window
from pipeline.fsck.edges import Neighbours, Source, neighbours
from pipeline.fsck.elsewhere import Elsewhere, Table
from pipeline.fsck.findings import Finding, PartitionReport, Report
from pipeline.fsck.ledger import Book, Tally, quarantine
from pipeline.fsck.sources import CleanTopic, Windows
from pipeline.fsck.tables import LedgerTables, Mirror
from pipeline.retention import deleted
from pipeline.retention.certificate import CertificateError, PublicKeys


class ScopeError(Exception):
    """What was asked for does not exist."""


UNREACHABLE = (
    *(ReadError, RegistryError, ClickHouseError, S3Error, kafka_marks.MarksError, ScopeError, DecodeError, TopicError),
    CertificateError,
)


@dataclass(frozen=True)
class Scope:
    """What to compare: partitions (None: all), positions from ``since`` up to ``until`` (None: as far as each sink is).

    ``others``: ids of earlier topics whose rows an operator answers for.
    """

    partitions: list[int] | None
    since: int
    until: int | None
    window: int
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Control:
    """The comparisons, all on. Tests switch one off to see that it is needed; nothing else may."""

    clickhouse: bool = True
    archive: bool = True
    ledger: bool = True
    quarantine: bool = True
    tables: bool = True
    objects: bool = True
    elsewhere: bool = True
    own_ends: bool = True
    certificates: bool = True


@dataclass(frozen=True)
class Sides:
    """What is held against each other of one partition.

    ``tallies``: by store below the topic's beginning, and the topic's records counted in each of them from there on. ``ends``:
    up to where each store is compared.
    """

    topic: CleanTopic
    archived: ArchivedPartition
    tallies: dict[str, Tally]
    ends: dict[str, int]


class Checker:
    """The servers, opened. ``tell`` hears of progress. Methods raise one of `UNREACHABLE`, whose text says what to do."""

    def __init__(
        self, values: settings.Operator, tell: Callable[[str], None] = lambda _: None, control: Control | None = None
    ) -> None:
        self._tell, self._namespace, self._control = tell, values.namespace, control or Control()
        self.topic = f"{values.namespace}.events"
        self._stack = ExitStack()
        self._cluster = cluster_of(values.model_dump())
        self._marks = kafka_marks.Positions(self._cluster)
        self._clickhouse = self._stack.enter_context(
            closing(Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value()))
        )
        self._registry = self._stack.enter_context(closing(SchemaRegistry(values.schema_registry_url)))
        secret = values.s3_secret_access_key.get_secret_value()
        self._bucket = Bucket(values.s3_endpoint, values.s3_region, values.s3_bucket, values.s3_access_key_id, secret)
        self._keys = PublicKeys.of(values.public_keys)
        self._deletions = deleted.Deletions()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="auditwire-fsck-")))

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def report(self, scope: Scope) -> Report:
        """Compare everything in the scope."""
        report = Report(self.topic)
        marks = {
            name: kafka_marks.committed(self._cluster, f"{self._namespace}-{name}-sink", self.topic)
            for name in ("clickhouse", "archive")
        }
        self._topic_id = marks["archive"].topic_id
        if self._control.certificates:
            self._deletions = deleted.load(self._bucket, self._namespace, self._keys)
            report.add(_odd(self._deletions))
        self._done = {name: found.ends for name, found in marks.items()}
        with PartitionReader(self._cluster, f"{self._namespace}-operator") as reader:
            known = reader.partitions(self.topic)
            chosen = known if scope.partitions is None else sorted(set(scope.partitions))
            if missing := set(chosen) - set(known):
                raise ScopeError(f"{self.topic} has the partitions {known}, not {sorted(missing)}: correct --partition")
            objects: set[str] = set()
            for partition in chosen:
                report.partitions.append(self._partition(report, reader, partition, scope, objects))
            if self._control.elsewhere and scope.until is None:
                self._elsewhere(report, reader, chosen, scope)
        if self._control.objects:
            self._tell("listing the archive")
            report.add(self._objects(report.partitions, scope, objects))
        return report

    def _elsewhere(self, report: Report, reader: PartitionReader, chosen: list[int], scope: Scope) -> None:
        """Rows in ClickHouse that no comparison by position reaches, as it goes by what the topics have."""
        ledger = f"{self._namespace}.ledger"
        ledger_id = topic_id_of(self._cluster, ledger)
        look = Elsewhere(self._clickhouse, self._namespace, scope.others)
        tables = (
            Table("events", self.topic, self._topic_id, "not_in_topic"),
            Table("ledger", ledger, ledger_id, "not_in_ledger_topic"),
            Table("ledger_sequences", ledger, ledger_id, "not_in_ledger_topic"),
        )
        for table in tables:
            if scope.partitions is None:
                report.add(look.foreign(table, reader.partitions(table.topic)))
            for partition in chosen:
                report.add(look.behind(table, partition, reader))
        report.acknowledged += look.acknowledged

    def _partition(
        self, report: Report, reader: PartitionReader, partition: int, scope: Scope, objects: set[str]
    ) -> PartitionReport:
        place = f"{self.topic}[{partition}]"
        must = reader.watermarks(f"{self._namespace}.ledger", partition)[1]
        low, end = reader.watermarks(self.topic, partition)
        done = {name: marks.get(partition, 0) for name, marks in self._done.items()}
        ends = self._ends(done, low, end, scope.until)
        made = PartitionReport(
            partition, place, scope.since, max(scope.since, *ends.values()), low, end, done["clickhouse"], done["archive"]
        )
        made.deleted = self._deletions.of(self._topic_id, partition)[0]
        gone = self._deletions.units
        topic = CleanTopic(reader, self._registry, self.topic, partition, gone)
        archived = ArchivedPartition(self._bucket, self._folder, self.topic, self._topic_id, partition, deleted=gone)
        around = self._neighbours(made, reader) if self._control.ledger else (None, None)
        book = self._book(report, made, reader, must, around) if self._control.ledger else None
        names = self._stores() if low > scope.since else ["the topic"]
        tallies = {} if book is None else {name: Tally(book, place) for name in names}
        seen = self._walk(report, made, Sides(topic, archived, tallies, ends), scope.window)
        whole = scope.since == 0 and scope.until is None
        certified = self._deletions.of(self._topic_id, partition)
        if book is not None:
            left = (certified[0] - seen[0], (certified[1] - seen[1]) % 2**64)
            missing = left if whole else None if certified[0] else (0, 0)
            self._balanced(report, made, tallies, (book.until(around[0]), book.since(around[1])), missing)
            if self._control.quarantine and made.since == 0:
                self._quarantined(report, made, book)
        made.differences += report.add(topic.findings)
        if self._control.archive:
            made.differences += report.add(_certified(place, archived, certified)) if whole else 0
            made.differences += report.add(Finding(c.kind, c.key, c.text) for c in archived.complaints)
        objects |= archived.objects
        return made

    def _ends(self, done: dict[str, int], low: int, end: int, until: int | None) -> dict[str, int]:
        """Up to where each store is compared: what it has committed, and what it cannot get from the topic any more."""
        asked = end if until is None else min(end, until)
        ends = {name: min(asked, max(mark, low)) for name, mark in done.items()}
        return ends if self._control.own_ends else dict.fromkeys(ends, min(ends.values()))

    def _stores(self) -> list[str]:
        return [name for name in ("clickhouse", "archive") if getattr(self._control, name)]

    def _book(self, report: Report, made: PartitionReport, reader: PartitionReader, must: int, around: Neighbours) -> Book:
        """The ledger of a partition: its topic, and the tables alone where that begins later.

        Where the whole partition is looked at, the tables are checked against the topic.
        """
        topic, partition = f"{self._namespace}.ledger", made.partition
        place, (low, end) = f"{topic}[{partition}]", reader.watermarks(topic, partition)
        tables = LedgerTables(self._clickhouse, self._namespace, topic_id_of(self._cluster, topic), partition)
        ledger, book = Ledger(reader, tables, topic, partition), Book(place, (f"{self._namespace}.raw", partition), must)
        made.ledger_end = made.ledger_tables = end
        if made.since > 0:
            made.differences += report.add(ledger.around(book, around).findings)
            return book
        stored = self._marks.committed(f"{self._namespace}-ledger-sink", topic, [partition])[partition] or 0
        made.ledger_tables = min(end, stored)
        mirror = Mirror(tables, place, low, made.ledger_tables if self._control.tables else low)
        ledger.whole(book, mirror.see)
        made.ledger_records, made.lost_before_processing = book.records, book.lost
        made.read, made.clean, made.quarantined, made.duplicates = book.read, book.clean, book.quarantined, book.duplicates
        made.differences += report.add(book.findings) + report.add(mirror.end())
        return book

    def _neighbours(self, made: PartitionReport, reader: PartitionReader) -> Neighbours:
        topic = CleanTopic(reader, self._registry, self.topic, made.partition)
        where = (self.topic, self._topic_id, made.partition)
        archived = ArchivedPartition(self._bucket, self._folder, *where, deleted=self._deletions.units)
        place: dict[str, str | int] = {"topic_id": self._topic_id, "partition": made.partition}
        stores: list[Source] = [
            lambda start, end: sources.clickhouse(self._clickhouse, self._namespace, place, start, end),
            lambda start, end: sources.archive(archived, start, end),
        ]
        return neighbours(topic.pieces, stores, (made.since, made.until), (made.log_start, made.topic_end))

    def _balanced(
        self,
        report: Report,
        made: PartitionReport,
        tallies: dict[str, Tally],
        edges: tuple[int, int | None],
        gone: tuple[int, int] | None,
    ) -> None:
        whole = made.until == made.topic_end or edges[1] is None
        last = self._deletions.last_raw(self._topic_id, made.partition)
        found = dict.fromkeys(finding for tally in tallies.values() for finding in tally.end(whole, *edges, gone, last))
        made.differences += report.add(found)
        if made.since > 0 and tallies:
            made.ledger_records = min(tally.compared for tally in tallies.values())
            made.ledger_cut = max(tally.cut for tally in tallies.values())

    def _quarantined(self, report: Report, made: PartitionReport, book: Book) -> None:
        topic = f"{self._namespace}.quarantine"
        with PartitionReader(self._cluster, f"{self._namespace}-operator") as reader:
            begins, end = reader.watermarks(topic, made.partition)
            with closing(sources.rejects(reader, topic, made.partition, begins, end)) as rejects:
                made.differences += report.add(quarantine(book, f"{topic}[{made.partition}]", rejects, begins))

    def _walk(self, report: Report, made: PartitionReport, sides: Sides, step: int) -> tuple[int, int]:
        """Compares; how many events the topic still has that certificates say are deleted, and the sum of their digests."""
        since, until = made.since, made.until
        place: dict[str, str | int] = {"topic_id": self._topic_id, "partition": sides.topic.partition}
        with ExitStack() as stack:
            log, clickhouse, archive = (
                Windows(stack.enter_context(closing(pieces)))
                for pieces in (
                    sides.topic.pieces(max(since, made.log_start), until),
                    sources.clickhouse(
                        self._clickhouse, self._namespace, place, since, sides.ends["clickhouse"], deleted=self._deletions.units
                    ),
                    sources.archive(sides.archived, since, sides.ends["archive"]),
                )
            )
            stores = {"clickhouse": clickhouse, "archive": archive}
            return self._windows(report, made, sides, (log, {name: stores[name] for name in self._stores()}), step)

    def _windows(
        self,
        report: Report,
        made: PartitionReport,
        sides: Sides,
        places: tuple[Windows, dict[str, Windows]],
        step: int,
    ) -> tuple[int, int]:
        (log, stores), at, until = places, made.since, made.until
        count, checksum = 0, 0
        while at < until:
            below = at < made.log_start
            here = [name for name in stores if sides.ends[name] > at]
            at = min([at + step, until, *([made.log_start] if below else []), *(sides.ends[name] for name in here)])
            held = {name: stores[name].take(at) for name in here}
            reference, found = window(made.place, None if below else log.take(at), held)
            made.events += len(reference)
            if not below:
                gone = positions.written(reference[reference["gone"]])
                count, checksum = count + len(gone), (checksum + int(gone.sum(dtype=np.uint64))) % 2**64
            made.differences += report.add(found)
            for name, tally in sides.tallies.items():
                one = positions.first_of_each(held.get(name, positions.empty())) if below else reference
                tally.feed(name if below else "the topic", one["offset"], one["raw"], positions.written(one))
            self._tell(f"{made.place} {at} of {until}")
        return count, checksum

    def _objects(self, partitions: list[PartitionReport], scope: Scope, listed: set[str]) -> Iterator[Finding]:
        """What is wrong in the bucket besides the events; of what was not asked for nothing."""
        stem, whole = manifest.stem_of(self.topic, self._topic_id), scope == Scope(None, 0, None, scope.window, scope.others)
        bounds = {p.partition: (p.since, min(p.until, p.archive_committed)) for p in partitions}

        def inside(named: manifest.ObjectName) -> bool:
            since, until = bounds.get(named.partition, (0, 0))
            return named.stem == stem and since < named.end and named.start < until

        for complaint in odd_versions(self._bucket):
            place = manifest.place_of(complaint.key)
            if whole or (place is not None and inside(place)):
                yield Finding(complaint.kind, complaint.key, complaint.text)
        for key in self._bucket.keys(manifest.EVENTS):
            named = manifest.object_of(key)
            if named is not None and deletions.unit_of(key) in self._deletions.units and (whole or inside(named)):
                yield Finding("not_deleted", key, "a certificate says that its class and month is deleted")
            elif named is None and whole:
                yield Finding("unknown_object", key, "its name is not one that the archive sink gives")
            elif named is not None and key not in listed and inside(named) and named.end <= bounds[named.partition][1]:
                yield Finding("stray_object", key, "no manifest lists it")


def _odd(found: deleted.Deletions) -> Iterator[Finding]:
    """What keeps a file about a deletion from counting."""
    for key, text in found.bad.items():
        yield Finding("bad_certificate", key, text)
    for unit, intent in found.begun.items():
        key = deletions.Place(unit.retention_class, unit.month, deletions.INTENT).key
        text = f"{intent.events} events, decided by {intent.by}: `auditwired retention run` finishes it"
        yield Finding("deletion_unfinished", key, text)


def _certified(place: str, archived: ArchivedPartition, certified: tuple[int, int]) -> Iterator[Finding]:
    """What manifests list of deleted classes and months is what certificates say."""
    listed = sum(part.count for part in archived.gone), sum(part.checksum for part in archived.gone) % 2**64
    if listed != certified:
        text = f"manifests list {listed[0]} events of deleted classes and months ({listed[1]:016x}), certificates {certified[0]}"
        yield Finding("certified_differs", place, f"{text} ({certified[1]:016x})")

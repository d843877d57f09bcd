"""The rebuilds on the real servers: opens them, rebuilds partition by partition, then has fsck look at the same positions."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from connectors import kafka_marks
from connectors.archive_restore import DamagedError
from connectors.clickhouse.client import ClickHouseError, Client
from connectors.clickhouse.store import ClickHouseStore, Safety
from connectors.kafka import cluster_of
from connectors.kafka_members import MembersError, members
from connectors.ranges import RejectedError, StoreError
from connectors.s3 import Bucket, S3Error
from connectors.spill import SpillError
from pipeline import settings
from pipeline.fsck import check
from pipeline.rebuild import archive, clickhouse, ledger
from pipeline.rebuild.task import RebuildError, Task
from pipeline.retention import deleted
from pipeline.retention.certificate import PublicKeys

Tell = Callable[[str], None]
FAILED = (RebuildError, DamagedError, StoreError, RejectedError, MembersError, SpillError, *check.UNREACHABLE)


class Servers:
    """What a rebuild reads and writes, opened; each with the rights that it needs and no more."""

    def __init__(self, values: settings.Operator, rights: settings.Rebuild, stack: ExitStack) -> None:
        self.namespace, self.topic = values.namespace, f"{values.namespace}.events"
        self.values = values
        self.cluster = cluster_of(values.model_dump())
        self.marks = kafka_marks.Positions(self.cluster)
        self.client = stack.enter_context(
            closing(Client(values.clickhouse_url, rights.clickhouse_user, rights.clickhouse_password.get_secret_value()))
        )
        secret = rights.s3_secret_access_key.get_secret_value()
        self.bucket = Bucket(values.s3_endpoint, values.s3_region, values.s3_bucket, rights.s3_access_key_id, secret)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="auditwire-rebuild-")))
        self.topic_id = self.marks.topic_id(self.topic)
        found = deleted.load(self.bucket, self.namespace, PublicKeys.of(values.public_keys))
        self.deleted = found.units
        """Retention classes and months that are deleted with a certificate: nothing makes them again."""
        self.begun = frozenset((unit.retention_class, unit.month) for unit in found.begun)
        """Those being deleted: an object of them that was made again would be one that their intent does not name."""

    def partitions(self, wanted: list[int] | None) -> list[int]:
        """Those asked for, or all. Raises RebuildError for one that is not there."""
        known = sorted(self.marks.replicated(self.topic))
        if missing := set(wanted or ()) - set(known):
            raise RebuildError(f"{self.topic} has the partitions {known}, not {sorted(missing)}: correct --partition")
        return known if wanted is None else sorted(set(wanted))

    def committed(self, sink: str, partitions: list[int]) -> dict[int, int | None]:
        """Partition → offset that a sink has committed."""
        return self.marks.committed(f"{self.namespace}-{sink}", self.topic, partitions)

    def runs(self, sink: str) -> bool:
        """Whether a sink's group has members now."""
        return members(self.cluster, f"{self.namespace}-{sink}") > 0


def run(
    args: argparse.Namespace,
    values: settings.Operator,
    rights: settings.Rebuild,
    tell: Tell,
    *,
    safety: Safety | None = None,
    points: Callable[[str], None] = lambda _: None,
    accounted: bool = True,
) -> int:
    """Exit code as `pipeline.rebuild` says. ``safety``, ``points``, ``accounted``: tests only."""
    step = max(1, args.window)
    task = Task(args.since, args.until, step, tell, points, accounted)
    try:
        with ExitStack() as stack:
            servers = Servers(values, rights, stack)
            if args.store == "clickhouse":
                store = ClickHouseStore(servers.client, servers.namespace, safety, points)
                wanted = servers.partitions(args.partition)
                whole = clickhouse.rebuild(servers, store, wanted, task)
                if (args.since, args.until) == (0, None):
                    ledger.rebuild(servers, wanted, task)
            else:
                wanted = servers.partitions([args.partition])
                whole = archive.rebuild(servers, args.partition, args.since, args.until, task)
    except FAILED as exc:
        sys.stderr.write(f"auditwired rebuild: {exc}\n")
        return 1
    looked = None if args.partition is None else wanted
    agrees = _fsck(values, check.Scope(looked, args.since, args.until, step, tuple(args.other_topics)), tell)
    return agrees or int(not whole)


def _fsck(values: settings.Operator, scope: check.Scope, tell: Tell) -> int:
    tell("fsck")
    try:
        with check.Checker(values, tell) as checker:
            report = checker.report(scope)
    except (*check.UNREACHABLE, ClickHouseError, S3Error) as exc:
        sys.stderr.write(f"auditwired rebuild: fsck cannot look: {exc}\n")
        return 2
    sys.stdout.write("\n".join(report.lines()) + "\n")
    return 0 if report.agrees else 1

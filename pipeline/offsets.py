"""`auditwired offsets`: how far each part's group is, and setting one back or forth by hand, as the runbooks say."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from rich.console import Console
from rich.table import Table

from connectors.kafka import cluster_of
from connectors.kafka_members import MembersError, members
from connectors.kafka_offsets import Committed, GroupOffsets, OffsetsError
from pipeline import settings

TOPICS = {"processor": "raw", "clickhouse-sink": "events", "archive-sink": "events", "ledger-sink": "ledger"}


class RefusedError(Exception):
    """It would do harm, or nothing; the text says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """show | set --group PART --partition N --to OFFSET."""
    parser.epilog = "Settings: AUDITWIRE_ADMIN_KAFKA_* (docs/configuration.md). When to use it: docs/runbooks"
    sub = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    sub.add_parser("show", help="what each group has committed, between which offsets its topic holds records, open plans")
    change = sub.add_parser("set", help="commit an offset for a part that is stopped; Kafka forgets its open plan")
    change.add_argument("--group", choices=list(TOPICS), required=True, help="the part")
    change.add_argument("--partition", type=int, required=True)
    change.add_argument("--to", type=int, required=True, metavar="OFFSET", help="the first record that the part is to read")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 done; 1 refused, or Kafka does not answer; the reason is on standard error."""
    values = settings.load(settings.Migrate)
    try:
        if args.action == "show":
            _show(values)
        else:
            _set(values, args.group, args.partition, args.to)
    except (RefusedError, OffsetsError, MembersError) as exc:
        sys.stderr.write(f"auditwired offsets: {exc}\n")
        return 1
    return 0


def _group(values: settings.Migrate, part: str) -> GroupOffsets:
    return GroupOffsets(cluster_of(dict(values)), f"{values.namespace}-{part}", f"{values.namespace}.{TOPICS[part]}")


def _show(values: settings.Migrate) -> None:
    table = Table(*("part", "topic[partition]", "committed", "log begins", "log ends", "members", "plan"), box=None)
    for part, topic in TOPICS.items():
        running = members(cluster_of(dict(values)), f"{values.namespace}-{part}")
        with closing(_group(values, part)) as group:
            for one in group.read():
                place = f"{values.namespace}.{topic}[{one.partition}]"
                shown = ("-" if one.offset is None else one.offset, one.low, one.high, running, _plan(one))
                table.add_row(part, place, *map(str, shown))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _plan(one: Committed) -> str:
    return "open" if '"end"' in one.text else ""


def _set(values: settings.Migrate, part: str, partition: int, to: int) -> None:
    if running := members(cluster_of(dict(values)), f"{values.namespace}-{part}"):
        raise RefusedError(
            f"{part} runs ({running} members of its group): stop all of its processes first, or wait for its session"
        )
    with closing(_group(values, part)) as group:
        known = {one.partition: one for one in group.read()}
        one = known.get(partition)
        if one is None:
            raise RefusedError(f"the topic has the partitions {sorted(known)}, not {partition}: correct --partition")
        if not one.low <= to <= one.high:
            raise RefusedError(f"partition {partition} holds {one.low}..{one.high}, not {to}: correct --to")
        group.commit(partition, to)
    plan = f"; Kafka forgets its open plan: {one.text}" if one.text else ""
    sys.stdout.write(f"{part}, partition {partition}: {'nothing' if one.offset is None else one.offset} -> {to}{plan}\n")

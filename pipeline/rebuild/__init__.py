"""`auditwired rebuild`: what one store has lost is made again from another one, never doubled, never overwritten.

`docs/rebuild.md`.
"""

from __future__ import annotations

import argparse

from pipeline import settings
from pipeline.fsck import add_other_topics, number, tell

__all__ = ["add_arguments", "run", "tell"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Exit code 0: rebuilt, and fsck agrees; 1: it does not, or something could not be rebuilt; 2: as for fsck."""
    sub = parser.add_subparsers(dest="store", required=True, metavar="STORE")
    clickhouse = sub.add_parser("clickhouse", help="events that are missing in ClickHouse, from the archive")
    clickhouse.add_argument("--partition", type=number, nargs="*", help="only these partitions (default: all)")
    clickhouse.add_argument("--since", type=number, default=0, metavar="OFFSET", help="first position (default 0)")
    clickhouse.add_argument("--until", type=number, metavar="OFFSET", help="position to stop before (default: as far as it goes)")
    archive = sub.add_parser("archive", help="ranges and objects that are missing in the archive, from Kafka or ClickHouse")
    archive.add_argument("--partition", type=number, required=True, help="the partition that lost something")
    archive.add_argument("--since", type=number, required=True, metavar="OFFSET", help="first position")
    archive.add_argument("--until", type=number, required=True, metavar="OFFSET", help="position to stop before")
    for each in (clickhouse, archive):
        add_other_topics(each)
        each.add_argument("--window", type=number, default=100_000, metavar="N", help="positions at once (default 100000)")
        each.epilog = (
            "It goes on where it stopped when it is run again. Ends with `auditwired fsck` of the range. docs/rebuild.md"
        )


def run(args: argparse.Namespace) -> int:
    """Rebuild, then fsck of the range; returns the exit code."""
    from pipeline.rebuild import command

    values, rights = settings.load(settings.Operator), settings.load(settings.Rebuild)
    return command.run(args, values, rights, tell)

"""`auditwired producer`: an operator's word that a producer will not be heard again, and the list of such statements."""

from __future__ import annotations

import argparse
import sys

from pipeline import settings
from pipeline.completeness_command import UNREACHABLE, producers, statements

EPILOG = """\
`auditwired completeness` names silent and unknown producers with id and epoch. A statement says that what such a producer has
not handed over is lost; it is kept for good, shown wherever it matters, and holds until the producer is heard again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """declare-dead, list."""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    sub = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = sub.add_parser(
        "declare-dead", help="record that a producer epoch is dead", epilog="Exit code 0: recorded, 1: not, 2: no answer."
    )
    one.add_argument("--tenant", required=True, help="whose events it sent")
    one.add_argument("--producer", required=True, metavar="ID", help="producer_id")
    one.add_argument("--epoch", required=True, type=int, help="producer_epoch")
    one.add_argument("--by", required=True, metavar="NAME", help="who says so")
    one.add_argument("--reason", required=True, metavar="TEXT", help="why, and what is known of what is lost")
    one = sub.add_parser("list", help="the statements about a tenant's producers, oldest first")
    one.add_argument("--tenant", required=True, help="whose events they sent")


def run(args: argparse.Namespace) -> int:
    """The exit code; problems go to standard error."""
    values = settings.load(settings.Operator)
    try:
        return _declare(values, args) if args.action == "declare-dead" else _list(values, args)
    except UNREACHABLE as exc:
        sys.stderr.write(f"auditwired producer: {exc}\n")
        return 2


def _declare(values: settings.Operator, args: argparse.Namespace) -> int:
    if not args.by.strip() or not args.reason.strip():
        sys.stderr.write("auditwired producer: --by and --reason must say something: they stay for good\n")
        return 1
    with producers(values, settle=0.0) as asked:  # who was heard a moment ago is not dead
        known = {p.seen.key: p for p in asked.of(args.tenant)[1].producers}
    found = known.get((args.producer, args.epoch))
    if found is None or found.standing in ("live", "closed"):
        why = "was never heard of" if found is None else f"is {found.standing}"
        sys.stderr.write(
            f"auditwired producer: {args.producer} epoch {args.epoch} of tenant {args.tenant} {why}: `auditwired completeness "
            f"--tenant {args.tenant}` names those that are silent or unknown\n"
        )
        return 1
    made = statements(values).declare_dead(args.tenant, args.producer, args.epoch, args.by, args.reason)
    print(f"recorded at {made.stated_at:%Y-%m-%dT%H:%M:%SZ}: {made.producer_id} epoch {made.producer_epoch} is dead")
    return 0


def _list(values: settings.Operator, args: argparse.Namespace) -> int:
    for one in statements(values).of(args.tenant):
        when = f"{one.stated_at:%Y-%m-%dT%H:%M:%SZ}"
        print(
            f"{when} {one.producer_id} epoch {one.producer_epoch} dead, says {one.stated_by} ({one.database_user}): {one.reason}"
        )
    return 0

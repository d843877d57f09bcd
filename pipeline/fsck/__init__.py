"""`auditwired fsck`: do the clean topic, ClickHouse and the archive hold the same events at the same positions?

Digests are computed anew from what each place holds, and the ledger is held against the topic. Reads only. `docs/fsck.md`.
"""

from __future__ import annotations

import argparse
import json
import sys

from pipeline import settings
from pipeline.fsck.findings import KINDS, Finding, Report

__all__ = ["KINDS", "Finding", "Report", "add_arguments", "add_other_topics", "number", "run", "tell"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Exit code 0: everything agrees; 1: differences, each named; 2: wrong arguments, or a server does not answer."""
    parser.add_argument("--partition", type=number, nargs="*", help="only these partitions (default: all)")
    parser.add_argument("--since", type=number, default=0, metavar="OFFSET", help="first position (default 0)")
    parser.add_argument(
        "--until", type=number, metavar="OFFSET", help="position to stop before (default: what each sink has committed)"
    )
    parser.add_argument("--window", type=number, default=100_000, metavar="N", help="positions compared at once (default 100000)")
    add_other_topics(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--progress", action="store_true", help="say on standard error how far it is")
    parser.epilog = "Exit code 0: everything agrees; 1: differences; 2: wrong arguments or a server that does not answer."


def add_other_topics(parser: argparse.ArgumentParser) -> None:
    """``--other-topics``, for each command that ends with what fsck says."""
    parser.add_argument(
        "--other-topics",
        nargs="+",
        default=[],
        metavar="ID",
        help="ids of earlier topics of this name: their rows in ClickHouse are said and are no difference",
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; returns the exit code."""
    from pipeline.fsck import check

    values = settings.load(settings.Operator)
    scope = check.Scope(args.partition, args.since, args.until, max(1, args.window), tuple(args.other_topics))
    try:
        with check.Checker(values, tell if args.progress else lambda _: None) as checker:
            report = checker.report(scope)
    except check.UNREACHABLE as exc:
        sys.stderr.write(f"auditwired fsck: {exc}\n")
        return 2
    sys.stdout.write(json.dumps(report.as_json(), indent=1) + "\n" if args.json else "\n".join(report.lines()) + "\n")
    return 0 if report.agrees else 1


def number(text: str) -> int:
    """An argument from 0 on."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return int(text)


def tell(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()

"""`auditwired explain`: why a stored event is as it is, until when it stays, and what may have deleted one that is gone."""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid

from pipeline import settings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Exit code 0: explained; 1: there is no such event; 2: wrong arguments, or a server does not answer."""
    parser.add_argument("event_id", type=_event_id, metavar="EVENT_ID", help="its UUID")
    parser.add_argument("--tenant", required=True, help="whose event")
    parser.add_argument(
        "--month", type=_month, metavar="YYYY-MM", help="of an event that is gone: the month in which it came in, if known"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.epilog = (
        "Exit code 0: explained; 1: there is no such event; 2: wrong arguments or settings, or a server does not answer."
    )


def run(args: argparse.Namespace) -> int:
    """Print the explanation; returns the exit code."""
    from pipeline.explain import command

    found = command.found(settings.load(settings.Operator), args.tenant, args.event_id, args.month)
    if isinstance(found, str):
        sys.stderr.write(f"auditwired explain: {found}\n")
        return 2
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if args.json else "\n".join(command.lines(found)) + "\n")
    return 0 if found["stored"] else 1


def _event_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no UUID: write it as the column event_id has it") from None


def _month(text: str) -> str:
    if re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        return text
    raise argparse.ArgumentTypeError(f"{text} is no month: write it like 2026-03")

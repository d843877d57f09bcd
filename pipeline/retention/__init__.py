"""`auditwired retention`: what is kept until when, and deleting what has reached its end, with a certificate.

`docs/retention.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Exit code 0: done, 1: refused or failed, 2: wrong arguments or settings."""
    sub = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = sub.add_parser("plan", help="every class and month: until when it stays, why, and what a run would delete now")
    one.add_argument("--json", action="store_true", help="print it as JSON")
    one = sub.add_parser("run", help="delete what a plan says is due; without --plan only finish what was begun")
    one.add_argument("--plan", metavar="ID", help="what `plan` printed; refused where anything of it has changed since")
    one.add_argument(
        "--by", type=_one_line, metavar="NAME", help="who decides it: kept in the certificate and in the audit event"
    )
    one.add_argument("--reason", type=_one_line, metavar="TEXT", help="why: kept there too")
    sub.add_parser("extend", help="lock archived objects until the end of their class and month where that is later")
    one = sub.add_parser("verify", help="check a certificate: its signature, and what it says")
    one.add_argument("file", type=Path, help="certificate.json out of the archive bucket")
    one.add_argument("--public-keys", required=True, metavar="KEYS", help="comma separated, in base64, or a file with PEM")
    sub.add_parser("key", help="print the public key of AUDITWIRE_RETENTION_SIGNING_KEY, for settings and for openssl")
    parser.epilog = "Exit code 0: done; 1: refused, stuck, or a server does not answer; 2: wrong arguments or settings."


def run(args: argparse.Namespace) -> int:
    """Run an action; returns the exit code."""
    from pipeline.retention import command

    return command.run(args)


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    # jq before 1.7 writes U+007F in another form than the signed bytes have it
    raise argparse.ArgumentTypeError("it has a line end or a control character: write it in one line of plain text")

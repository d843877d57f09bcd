"""`auditwired archive-sql`: the statement that makes the archive a table for DuckDB or ClickHouse."""

from __future__ import annotations

import argparse
import sys

from connectors import archive_sql


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--engine`` and ``--location``."""
    parser.add_argument("--engine", required=True, choices=list(archive_sql.ENGINES), help="who shall read it")
    parser.add_argument(
        "--location",
        default=".",
        help="where events/ lies: the folder of a copy (default: this one); s3://BUCKET for DuckDB;"
        " http://ENDPOINT/BUCKET for ClickHouse",
    )
    parser.epilog = "Prints CREATE VIEW events …; no credentials are asked for or printed. See docs/archive.md."


def run(args: argparse.Namespace) -> int:
    """Print the statement. Exit code 2: the location cannot be part of a statement."""
    try:
        sys.stdout.write(archive_sql.ENGINES[args.engine](args.location))
    except ValueError as exc:
        sys.stderr.write(f"auditwired archive-sql: {exc}\n")
        return 2
    return 0

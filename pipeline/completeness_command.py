"""`auditwired completeness`: up to when nothing of a tenant's events is missing, and what is. Reads only."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

from connectors.clickhouse.client import ClickHouseError, Client
from connectors.kafka import cluster_of
from connectors.kafka_marks import MarksError, Positions
from connectors.postgres import PostgresError
from connectors.postgres.producers import Statements
from pipeline import completeness_shown, settings
from pipeline.export.counted import Counted
from pipeline.export.producers import Producers
from pipeline.export.queries import micros
from pipeline.export.watermark import Watermark

UNREACHABLE = (ClickHouseError, MarksError, PostgresError, settings.SettingsError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Exit code 0: complete; 1: incomplete or unknown; 2: wrong arguments, or a server does not answer."""
    parser.add_argument("--tenant", required=True, help="whose events")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--settle", type=float, default=60.0, metavar="S", help="as AUDITWIRE_EXPORT_SETTLE_SECONDS (default 60)")
    parser.epilog = "Exit code 0: complete up to the moment shown; 1: incomplete or unknown; 2: a server does not answer."


def run(args: argparse.Namespace) -> int:
    """Print what is known; returns the exit code."""
    values = settings.load(settings.Operator)
    try:
        with producers(values, args.settle) as asked:
            complete, found = asked.of(args.tenant)
    except UNREACHABLE as exc:
        sys.stderr.write(f"auditwired completeness: {exc}\n")
        return 2
    shown = completeness_shown.answer(args.tenant, micros(complete.until), found)
    sys.stdout.write(json.dumps(shown, indent=1) + "\n" if args.json else "\n".join(completeness_shown.lines(shown)) + "\n")
    return 0 if found.state == "complete" else 1


@contextmanager
def producers(values: settings.Operator, settle: float) -> Iterator[Producers]:
    """With an operator's rights; ``settle`` in seconds. Raises SettingsError where the statements' database is not set."""
    cluster = cluster_of(dict(values))
    with closing(Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())) as client:
        watermark = Watermark(values.namespace, lambda: Positions(cluster), client, settle)
        yield Producers(values.namespace, client, watermark, statements(values).of, counted=Counted(values.namespace, client))


def statements(values: settings.Operator) -> Statements:
    """The operators' statements. Raises SettingsError."""
    if not (dsn := values.postgres_dsn.get_secret_value()):
        raise settings.SettingsError("AUDITWIRE_OPERATOR_POSTGRES_DSN is not set: statements about producers are in PostgreSQL.")
    return Statements(dsn, values.namespace)

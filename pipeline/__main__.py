"""`auditwired`: the command line of the service. Starts a part, or runs an operator's tool."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

from pipeline import allocators, log, settings

PARTS: dict[str, tuple[str, str]] = {
    "ingest": ("pipeline.ingest.app", "the receiver: GitLab, CloudEvents and Auditwire JSON over HTTP into Kafka"),
    "processor": ("pipeline.processor", "validate, deduplicate, redact: raw events into clean ones, exactly once"),
    "clickhouse-sink": ("pipeline.sink.clickhouse", "clean events into ClickHouse, exactly once"),
    "archive-sink": ("pipeline.sink.archive", "clean events into Parquet objects on S3, exactly once"),
    "ledger-sink": ("pipeline.ledger_sink", "what became of every raw record into ClickHouse tables"),
    "export": ("pipeline.export.app", "the export service: compliance extracts over REST"),
    "lag-exporter": ("pipeline.lag_exporter", "how far every consumer group is, for Prometheus, seen from outside"),
    "reference-publisher": ("pipeline.reference.publisher", "revisions of reference data and rules from PostgreSQL to Kafka"),
}
TOOLS: dict[str, tuple[str, str]] = {
    "migrate": ("pipeline.migrate", "provision topics, ACLs, schemas, tables and buckets; safe to repeat"),
    "fsck": ("pipeline.fsck", "compare clean topic, ClickHouse and archive by positions and digests"),
    "completeness": ("pipeline.completeness_command", "up to when nothing of a tenant's events is missing, and what is"),
    "producer": ("pipeline.producer_command", "declare a producer dead that will not be heard again; list such statements"),
    "rebuild": ("pipeline.rebuild", "make again what ClickHouse or the archive has lost, from the other one or from Kafka"),
    "offsets": ("pipeline.offsets", "how far each part's group is; set an offset by hand"),
    "reference": ("pipeline.reference.command", "check, compare and apply reference data: tenants, agents, tools, controls"),
    "retention": ("pipeline.retention", "what is kept until when; delete what has reached its end, with a certificate"),
    "rules": ("pipeline.rules.command", "check, try, compare and publish rules for data: redaction, capture, retention"),
    "explain": (
        "pipeline.explain",
        "why a stored event is as it is, until when it stays; what may have deleted one that is gone",
    ),
    "quarantine": ("pipeline.quarantine", "list, show and replay what could not be processed"),
    "redact": ("pipeline.redact_command", "mask secrets and personal data in texts of your own: JSON lines in, JSON lines out"),
    "archive-sql": ("pipeline.archive_sql", "print the statement that makes the archive a table for DuckDB or ClickHouse"),
    "token": ("pipeline.tokens", "make a token for the receiver or the export service"),
}


def parser(command: str) -> argparse.ArgumentParser:
    """The command line; the tool that is asked for adds its own arguments, the others are not even imported."""
    top = argparse.ArgumentParser(prog="auditwired", description=__doc__, epilog="Settings: docs/configuration.md")
    sub = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in PARTS.items():
        sub.add_parser(name, help=text, description=text)
    for name, (module, text) in TOOLS.items():
        tool = sub.add_parser(name, help=text, description=text)
        if name == command:
            _imported(module).add_arguments(tool)
    return top


def _imported(module: str) -> Any:
    """Nothing that is imported is garbage: looking through it meanwhile takes a tenth of the time, later it is for nothing."""
    gc.disable()
    # httpx would bring its command line along, and that rich: up to a tenth of a second of CPU at every start
    cast(dict[str, Any], sys.modules)["httpx._main"] = None
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 done, 1 the tool found a difference or a fault, 2 wrong arguments or settings."""
    faulthandler.enable(2)  # a crash inside a client library leaves at least its stack; sys.stderr may have no descriptor
    faulthandler.register(signal.SIGUSR1, 2)  # and `kill -USR1` shows what a part that hangs is doing
    allocators.few_heaps()
    argv = sys.argv[1:] if argv is None else argv
    args = parser(argv[0] if argv else "").parse_args(argv)
    try:
        if args.command in PARTS:
            values = settings.load(settings.PARTS[args.command])
            log.setup(values.log_format, args.command)
            run: Callable[[settings.Common], int] = _imported(PARTS[args.command][0]).run
            return run(values)
        tool: Callable[[argparse.Namespace], int] = _imported(TOOLS[args.command][0]).run
        log.setup("console")
        return tool(args)
    except settings.SettingsError as exc:
        sys.stderr.write(f"auditwired: {exc}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())

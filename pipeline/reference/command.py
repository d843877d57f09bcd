"""`auditwired reference`: check, compare, apply and look back at reference data (tenants, agents, tools, sources, controls)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from connectors.postgres.reference import Revisions
from connectors.series import REFERENCE
from pipeline import settings
from pipeline.counts import counted
from pipeline.reference import check, compare, source
from pipeline.reference.model import KINDS
from pipeline.reference.revisions_command import FAILED, Command

EPILOG = """\
A folder holds YAML files; each document begins with `kind: tenant`, agent, tool, source or control (docs/reference-data.md).
The folder is the whole truth: what it does not hold any more is removed by `apply`. To roll back, apply an older folder, or
the YAML that `history --revision N` prints.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """check FOLDER, diff FOLDER, apply FOLDER --reason TEXT, history."""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    sub = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = sub.add_parser("check", help="check the documents of a folder; needs no server", epilog="Exit code 0: in order, 1 not.")
    one.add_argument("folder", type=Path, help="folder with .yaml files, also in subfolders")
    COMMAND.add_arguments(sub)


def run(args: argparse.Namespace) -> int:
    """The exit code; problems go to standard error."""
    return _check(args) if args.action == "check" else COMMAND.run(args)


def _check(args: argparse.Namespace) -> int:
    text = COMMAND.document(args.folder)
    if text is None:
        return FAILED
    found = json.loads(text)
    print(f"in order: {', '.join(counted(len(found[f'{kind}s']), kind) for kind in sorted(KINDS))}")
    return 0


def _read(folder: Path) -> tuple[str, Sequence[object]]:
    documents, problems = source.read(folder)
    classes = [c.strip() for c in settings.load(settings.Retention).retention_classes.split(",") if c.strip()]
    problems = problems + check.problems(documents, classes)
    if problems:
        return "", problems
    text, large = check.document_of(documents)
    return text, [large] if large else []


def _text_of(document: str, heading: str) -> str:
    return source.text_of(json.loads(document), heading)


def _store() -> Revisions:
    values = settings.load(settings.Reference)
    return Revisions(values.postgres_dsn.get_secret_value(), values.namespace, REFERENCE)


COMMAND = Command(REFERENCE, _read, compare.changes, _text_of, _store)

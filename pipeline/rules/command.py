"""`auditwired rules`: check, try, compare, publish and look back at the rules for data."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from connectors.postgres import PostgresError
from connectors.postgres.reference import Revisions
from connectors.series import RULES
from pipeline import settings
from pipeline.counts import counted
from pipeline.reference import source
from pipeline.reference.revisions_command import FAILED, WRONG, Command
from pipeline.reference.source import Document, Problem
from pipeline.rules import check, compare, preview
from pipeline.rules.model import KINDS, PUBLISHED, parse

EPILOG = """\
A folder holds YAML files; each document begins with `kind: redaction`, capture, retention, retention_class, detector or example
(docs/rules.md). The folder is the whole truth: what it does not hold any more is gone with `publish`. To roll back, publish an
older folder, or the YAML that `history --revision N` prints.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """check FOLDER, test FOLDER, preview FOLDER, diff FOLDER, publish FOLDER --reason TEXT, history."""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    sub = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = sub.add_parser("check", help="check the documents of a folder; needs no server", epilog="Exit code 0: in order, 1 not.")
    one.add_argument("folder", type=Path, help="folder with .yaml files, also in subfolders")
    end = "Exit code 0: all become what they should, 1 not."
    one = sub.add_parser("test", help="run the examples of a folder through the processor's stages; needs no server", epilog=end)
    one.add_argument("folder", type=Path, help="folder with .yaml files, also in subfolders")
    preview.add_arguments(sub)
    COMMAND.add_arguments(sub)


def run(args: argparse.Namespace) -> int:
    """The exit code; problems go to standard error."""
    if args.action == "check":
        return _check(args.folder)
    if args.action == "test":
        return _test(args.folder)
    if args.action == "preview":
        return _preview(args)
    return (replace(COMMAND, read=_read_and_test) if args.action == RULES.apply else COMMAND).run(args)


def _check(folder: Path) -> int:
    text = COMMAND.document(folder)
    if text is None:
        return FAILED
    found = json.loads(text)
    print(
        f"in order: {', '.join(counted(len(found[listed]), *_names(kind, listed)) for kind, listed in sorted(PUBLISHED.items()))}"
    )
    return 0


def _names(kind: str, listed: str) -> tuple[str, str]:
    return kind.replace("_", " "), listed.replace("_", " ")


def _test(folder: Path) -> int:
    examples, text, problems = _all(folder)
    problems = problems or _failures(examples, text)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        return FAILED
    if not examples:
        sys.stderr.write("there are no examples: add documents with kind: example (docs/rules.md)\n")
        return FAILED
    print("the example becomes what it should" if len(examples) == 1 else f"all {len(examples)} examples become what they should")
    return 0


def _preview(args: argparse.Namespace) -> int:
    text = COMMAND.document(args.folder)
    if text is None:
        return FAILED
    try:
        newest = _store().newest()
    except PostgresError as exc:
        sys.stderr.write(f"auditwired rules preview: {exc}\n")
        return WRONG
    return preview.run(text, args.days, newest)


def _all(folder: Path) -> tuple[list[Document], str, list[Problem]]:
    documents, problems = source.read(folder, KINDS)
    problems = problems + check.problems(documents, _classes())
    if problems:
        return [], "", problems
    text, large = check.document_of(documents)
    return [d for d in documents if d.kind == "example"], text, [large] if large else []


def _read(folder: Path) -> tuple[str, Sequence[object]]:
    _, text, problems = _all(folder)
    return text, problems


def _read_and_test(folder: Path) -> tuple[str, Sequence[object]]:
    """What is published does what its examples say."""
    examples, text, problems = _all(folder)
    return text, problems or _failures(examples, text)


def _failures(examples: Sequence[Document], text: str) -> list[Problem]:
    from auditwire.redaction import detectors_for
    from pipeline.rules.decide import Rules  # the stages take a second to import, and most actions need none
    from pipeline.rules.examples import failures

    rules = Rules(parse("", text), detectors=detectors_for(settings.load(settings.Redaction).redact_encoded))
    return failures(examples, rules, settings.load(settings.Retention).retention_class)


def _classes() -> list[str]:
    return [name.strip() for name in settings.load(settings.Retention).retention_classes.split(",") if name.strip()]


def _text_of(document: str, heading: str) -> str:
    """A revision as YAML that `_read` reads back; its conditions as they were written."""
    content = json.loads(document)
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    whole = [{"kind": kind, **_as_written(one)} for kind, listed in PUBLISHED.items() for one in content[listed]]
    parts = [yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=120) for one in whole]
    return comment + "".join(f"---\n{part}" for part in parts)


def _as_written(document: dict[str, object]) -> dict[str, object]:
    found = {key: value["text"] if isinstance(value, dict) else value for key, value in document.items()}
    first = [key for key in ("name", "tenant", "when") if key in found]
    return {key: found[key] for key in (*first, *(key for key in found if key not in first))}


def _store() -> Revisions:
    values = settings.load(settings.Rules)
    return Revisions(values.postgres_dsn.get_secret_value(), values.namespace, RULES)


COMMAND = Command(RULES, _read, compare.changes, _text_of, _store)

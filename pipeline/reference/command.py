"""`auditwired reference`: check, compare, apply and look back at reference data (tenants, agents, tools, sources, controls)."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from connectors.postgres import PostgresError
from connectors.postgres.reference import OutdatedError, Revision, Revisions
from pipeline import settings
from pipeline.reference import check, compare, source

FAILED, WRONG = 1, 2
REASON_CHARS = 2000
POLL_SECONDS = 0.05
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
    end = "Exit code 0: nothing, 1: something, 2: it could not be compared."
    one = sub.add_parser("diff", help="what `apply` would change", epilog=end)
    one.add_argument("folder", type=Path, help="folder with .yaml files")
    one.add_argument("--revision", type=int, metavar="N", help="compare with revision N (default: the newest)")
    end = "Exit code 0: it holds, 1: refused, or stored but not published yet (apply again to wait on)."
    one = sub.add_parser("apply", help="make the folder the newest revision; processors use it within seconds", epilog=end)
    one.add_argument("folder", type=Path, help="folder with .yaml files")
    one.add_argument("--reason", required=True, metavar="TEXT", help="why: kept with the revision and in its audit event")
    one.add_argument("--by", metavar="NAME", help="who applies it (default: the user of this shell)")
    one.add_argument("--expect", type=int, metavar="N", help="refuse unless N is the newest revision (0: there is none)")
    one.add_argument("--wait", type=float, default=10.0, metavar="S", help="seconds to wait until published (10; 0: do not wait)")
    one = sub.add_parser("history", help="who applied what, when and why; newest first")
    one.add_argument("--revision", type=int, metavar="N", help="print revision N as YAML that can be applied again")
    one.add_argument("--most", type=int, default=20, metavar="M", help="list so many (default 20)")


def run(args: argparse.Namespace) -> int:
    """The exit code; problems go to standard error."""
    try:
        return {"check": _check, "diff": _diff, "apply": _apply, "history": _history}[args.action](args)
    except (PostgresError, OutdatedError) as exc:
        return _say(str(exc), FAILED if args.action != "diff" else WRONG)


def _check(args: argparse.Namespace) -> int:
    text = _document(args.folder)
    if text is None:
        return FAILED
    counts = {kind: len(found) for kind, found in json.loads(text).items() if isinstance(found, list)}
    print(f"in order: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")
    return 0


def _diff(args: argparse.Namespace) -> int:
    text = _document(args.folder)
    if text is None:
        return WRONG
    store = _store()
    old = store.newest() if args.revision is None else store.get(args.revision)
    if old is None and args.revision is not None:
        return _say(f"there is no revision {args.revision}: `history` lists them", WRONG)
    found = compare.changes(old.document if old else "", text)
    _show(found)
    print(f"{len(found) or 'no'} differences from {f'revision {old.revision}' if old else 'nothing: no revision is there yet'}")
    return 1 if found else 0


def _apply(args: argparse.Namespace) -> int:
    wrong = _wrong(args)
    if wrong:
        return _say(wrong, WRONG)
    text = _document(args.folder)
    if text is None:
        return FAILED
    store = _store()
    before = store.newest()
    revision, new = store.apply(text, args.by or getpass.getuser(), args.reason.strip(), args.expect)
    if new:
        old = store.get(revision.revision - 1) if before and before.revision != revision.revision - 1 else before
        _show(compare.changes(old.document if old else "", text))
        print(f"revision {revision.revision} is stored ({revision.sha256[:12]})")
    else:
        print(f"nothing changes: revision {revision.revision} of {_utc(revision.applied_at)} is the same")
    return _published(store, revision, args.wait)


def _published(store: Revisions, revision: Revision, seconds: float) -> int:
    """Wait until Kafka has it; 1 where nobody published it in time."""
    end, number = time.monotonic() + seconds, revision.revision
    found: Revision | None = revision
    while found is not None and found.published_at is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        found = store.get(number)
    if found is not None and found.published_at is not None:
        print(f"revision {number} is published: processors use it from their next batch on")
        return 0
    said = f"revision {number} is stored, but not published yet: "
    if seconds <= 0:
        print(said + "the part reference-publisher does that by itself (`history` shows when)")
        return 0
    why = f"nobody did in {seconds:g} s. Processors go on with the revision before. Is the part reference-publisher running and"
    return _say(f"{said}{why} healthy? It publishes the revision as soon as it can; do not change the folder for that.", FAILED)


def _history(args: argparse.Namespace) -> int:
    store = _store()
    if args.revision is None:
        for one in store.history(args.most):
            state = f"published {_utc(one.published_at)}" if one.published_at else "NOT PUBLISHED YET"
            who = f"{one.applied_by} (database user {one.database_user})"
            print(f"{one.revision}\t{_utc(one.applied_at)}\t{state}\t{one.sha256[:12]}\t{who}\t{one.reason}")
        return 0
    found = store.get(args.revision)
    if found is None:
        return _say(f"there is no revision {args.revision}: `history` lists them", FAILED)
    heading = f"Revision {found.revision}, applied {_utc(found.applied_at)} by {found.applied_by}: {found.reason}"
    sys.stdout.write(source.text_of(json.loads(found.document), heading))
    return 0


def _document(folder: Path) -> str | None:
    """The canonical text of a folder; None after its problems were said."""
    documents, problems = source.read(folder)
    classes = [c.strip() for c in settings.load(settings.Retention).retention_classes.split(",") if c.strip()]
    problems = problems + check.problems(documents, classes)
    text = ""
    if not problems:
        text, large = check.document_of(documents)
        problems = [large] if large else []
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        sys.stderr.write(f"{len(problems)} to correct; nothing was changed\n")
    return None if problems else text


def _wrong(args: argparse.Namespace) -> str | None:
    for name, text in (("--reason", args.reason), ("--by", args.by)):
        if text is not None and (not text.strip() or len(text) > REASON_CHARS or not text.isprintable()):
            return f"{name} must be one line of 1 to {REASON_CHARS} characters"
    return None


def _store() -> Revisions:
    values = settings.load(settings.Reference)
    return Revisions(values.postgres_dsn.get_secret_value(), values.namespace)


def _show(found: list[compare.Change]) -> None:
    for change in found:
        for line in change.lines():
            print(line)


def _utc(time_: datetime) -> str:
    return time_.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"auditwired reference: {text}\n")
    return code

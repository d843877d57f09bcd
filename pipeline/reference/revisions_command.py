"""What `auditwired reference` and `auditwired rules` share: compare with, add to and look back at the revisions of a series."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from connectors.postgres import PostgresError
from connectors.postgres.reference import OutdatedError, Revision, Revisions
from connectors.series import Series
from pipeline.counts import counted
from pipeline.reference.compare import Change

FAILED, WRONG = 1, 2
REASON_CHARS = 2000
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Command:
    """A series as its command knows it. ``read``: folder → canonical document and problems, each a line for people; ``changes``:
    between two canonical documents, the first empty where there is none; ``text_of``: a canonical document and a heading as YAML
    that `read` reads back; ``store``: reads the settings.
    """

    series: Series
    read: Callable[[Path], tuple[str, Sequence[object]]]
    changes: Callable[[str, str], Sequence[Change]]
    text_of: Callable[[str, str], str]
    store: Callable[[], Revisions]

    def add_arguments(self, actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """diff FOLDER, apply (as the series calls it) FOLDER --reason TEXT, history."""
        apply, applied = self.series.apply, self.series.applied
        end = "Exit code 0: nothing, 1: something, 2: it could not be compared."
        one = actions.add_parser("diff", help=f"what `{apply}` would change", epilog=end)
        one.add_argument("folder", type=Path, help="folder with .yaml files")
        one.add_argument("--revision", type=int, metavar="N", help="compare with revision N (default: the newest)")
        end = f"Exit code 0: it holds, 1: refused, or stored but not published yet ({apply} again to wait on)."
        text = "make the folder the newest revision; processors use it within seconds"
        one = actions.add_parser(apply, help=text, epilog=end)
        one.add_argument("folder", type=Path, help="folder with .yaml files")
        one.add_argument("--reason", required=True, metavar="TEXT", help="why: kept with the revision and in its audit event")
        one.add_argument("--by", metavar="NAME", help="who does it (default: the user of this shell)")
        one.add_argument("--expect", type=int, metavar="N", help="refuse unless N is the newest revision (0: there is none)")
        text = "seconds to wait until published (10; 0: do not wait)"
        one.add_argument("--wait", type=float, default=10.0, metavar="S", help=text)
        one = actions.add_parser("history", help=f"who {applied} what, when and why; newest first")
        one.add_argument("--revision", type=int, metavar="N", help=f"print revision N as YAML that can be {applied} again")
        one.add_argument("--most", type=int, default=20, metavar="M", help="list so many (default 20)")

    def run(self, args: argparse.Namespace) -> int:
        """The exit code of an action added above; problems go to standard error."""
        try:
            return {"diff": self._diff, self.series.apply: self._apply, "history": self._history}[args.action](args)
        except (PostgresError, OutdatedError) as exc:
            return self._say(str(exc), FAILED if args.action != "diff" else WRONG)

    def document(self, folder: Path) -> str | None:
        """The canonical text of a folder; None after its problems were said."""
        text, problems = self.read(folder)
        for problem in problems:
            sys.stderr.write(f"{problem}\n")
        if problems:
            sys.stderr.write(f"{len(problems)} to correct; nothing was changed\n")
        return None if problems else text

    def _diff(self, args: argparse.Namespace) -> int:
        text = self.document(args.folder)
        if text is None:
            return WRONG
        store = self.store()
        old = store.newest() if args.revision is None else store.get(args.revision)
        if old is None and args.revision is not None:
            return self._say(f"there is no revision {args.revision}: `history` lists them", WRONG)
        found = self.changes(old.document if old else "", text)
        _show(found)
        from_ = f"revision {old.revision}" if old else "nothing: no revision is there yet"
        print(f"{counted(len(found), 'difference') if found else 'no differences'} from {from_}")
        return 1 if found else 0

    def _apply(self, args: argparse.Namespace) -> int:
        wrong = _wrong(args)
        if wrong:
            return self._say(wrong, WRONG)
        text = self.document(args.folder)
        if text is None:
            return FAILED
        store = self.store()
        before = store.newest()
        revision, new = store.apply(text, args.by or getpass.getuser(), args.reason.strip(), args.expect)
        if new:
            old = store.get(revision.revision - 1) if before and before.revision != revision.revision - 1 else before
            _show(self.changes(old.document if old else "", text))
            print(f"revision {revision.revision} is stored ({revision.sha256[:12]})")
        else:
            print(f"nothing changes: revision {revision.revision} of {_utc(revision.applied_at)} is the same")
        return self._published(store, revision, args.wait)

    def _published(self, store: Revisions, revision: Revision, seconds: float) -> int:
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
        why = f"nobody did in {seconds:g} s. Processors go on with the revision before. Is the part reference-publisher running"
        rest = "and healthy? It publishes the revision as soon as it can; do not change the folder for that."
        return self._say(f"{said}{why} {rest}", FAILED)

    def _history(self, args: argparse.Namespace) -> int:
        store = self.store()
        if args.revision is None:
            for one in store.history(args.most):
                print("\t".join(_line(one)))
            return 0
        found = store.get(args.revision)
        if found is None:
            return self._say(f"there is no revision {args.revision}: `history` lists them", FAILED)
        what = f"Revision {found.revision}, {self.series.applied} {_utc(found.applied_at)} by {found.applied_by}"
        sys.stdout.write(self.text_of(found.document, f"{what}: {found.reason}"))
        return 0

    def _say(self, text: str, code: int) -> int:
        sys.stderr.write(f"auditwired {self.series.name}: {text}\n")
        return code


def _line(one: Revision) -> Sequence[str]:
    state = f"published {_utc(one.published_at)}" if one.published_at else "NOT PUBLISHED YET"
    who = f"{one.applied_by} (database user {one.database_user})"
    return str(one.revision), _utc(one.applied_at), state, one.sha256[:12], who, one.reason


def _wrong(args: argparse.Namespace) -> str | None:
    for name, text in (("--reason", args.reason), ("--by", args.by)):
        if text is not None and (not text.strip() or len(text) > REASON_CHARS or not text.isprintable()):
            return f"{name} must be one line of 1 to {REASON_CHARS} characters"
    return None


def _show(found: Sequence[Change]) -> None:
    for change in found:
        for line in change.lines():
            print(line)


def _utc(time_: datetime) -> str:
    return time_.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

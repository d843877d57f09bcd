"""`auditwired redact`: texts on standard input without the secrets and personal data in them; needs no server."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auditwire.redaction import Detector, detectors_for, redacted, spans
from schemas import event_fields, fields_of_class

LINE_BYTES = 16 << 20
EPILOG = """\
Each line of the input is {"id": …, "field": …, "text": …}. Without a field, or with one that no event has, the text is searched
as content, that is, for personal data too. Each line of the output is {"id": …, "redacted_text": …, "spans": [{"start": …,
"end": …, "kind": …}]}; start and end count code points of the text. A line that is wrong is named on standard error; the
others go on.

  echo '{"id": 1, "field": "prompt", "text": "mail bob@example.com"}' | auditwired redact

Exit code 0: all lines were redacted, 1: some were not, 2: the detectors of --rules are not in order.
"""


class LineError(Exception):
    """A line that cannot be redacted; the text says what to change."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """[--rules PATH] [--encoded percent|base64]"""
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rules", type=Path, metavar="PATH", help="folder or file of rule documents: its detectors search, too")
    parser.add_argument(
        "--encoded",
        choices=("percent", "base64"),
        default="percent",
        help="look behind percent escapes (the default), or behind base64 too, as AUDITWIRE_PROCESSOR_REDACT_ENCODED says",
    )


def run(args: argparse.Namespace) -> int:
    """The exit code; problems go to standard error."""
    try:
        detectors = (*detectors_for(args.encoded), *(_own(args.rules) if args.rules else ()))
    except LineError as exc:
        sys.stderr.write(f"auditwired redact: {exc}\n")
        return 2
    secrets = tuple(detector for detector in detectors if not detector.personal)
    facts = frozenset(event_fields()) - frozenset(fields_of_class("content"))
    wrong, number, lines, out = 0, 0, sys.stdin.buffer, sys.stdout
    while line := lines.readline(LINE_BYTES + 1):
        number += 1
        try:
            given = _read(line, lines)
            if given is not None:
                found = spans([given["text"]], secrets if given.get("field") in facts else detectors)[0]
                kinds = [{"start": one.start, "end": one.end, "kind": one.kind} for one in found]
                answer = {"id": given["id"], "redacted_text": redacted(given["text"], found), "spans": kinds}
                out.write(json.dumps(answer, ensure_ascii=False) + "\n")
                out.flush()
        except LineError as exc:
            wrong += 1
            sys.stderr.write(f"auditwired redact: line {number}: {exc}\n")
    return 1 if wrong else 0


def _read(line: bytes, rest: Any) -> dict[str, Any] | None:
    """What a line holds, None of an empty one. Raises LineError."""
    if len(line) > LINE_BYTES:
        while not line.endswith(b"\n") and (line := rest.readline(LINE_BYTES)):
            pass
        raise LineError(f"is longer than {LINE_BYTES >> 20} MiB: split the text")
    if not line.strip():
        return None
    try:
        given = json.loads(line)
    except ValueError:  # of bytes that are no UTF-8, too
        raise LineError('is no JSON: write {"id": …, "text": …} in one line, in UTF-8') from None
    if not isinstance(given, dict) or not isinstance(given.get("text"), str) or "id" not in given:
        raise LineError('lacks an id or a text: write {"id": …, "text": "…"}')
    try:
        given["text"].encode()
    except UnicodeEncodeError:
        raise LineError("holds half of a character (\\ud800 to \\udfff alone): leave it out") from None
    return given


def _own(path: Path) -> Sequence[Detector]:
    """The detectors among the documents of a folder or a file. Raises LineError with all that is wrong."""
    from pipeline.reference import source
    from pipeline.rules.check import SHAPES
    from pipeline.rules.model import KINDS
    from pipeline.rules.patterns import Unusable
    from pipeline.stages.own import own

    if not path.exists():
        raise LineError(f"{path} is not there: give --rules a folder of rule documents, or one of its files")
    if path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise LineError(f"{path} does not end in .yaml or .yml: nothing else is read as rule documents, so rename it")
    documents, problems = source.read(path.parent if path.is_file() else path, KINDS)
    if path.is_file():
        documents = [document for document in documents if document.file == path.name]
        problems = [problem for problem in problems if problem.file == path.name]
    wrong, found = [str(problem) for problem in problems], list[Detector]()
    for document in (one for one in documents if one.kind == "detector" or one.kind not in KINDS):
        content = document.content
        if shape := [str(problem) for problem in SHAPES.problems(document)]:
            wrong += shape
            continue
        try:
            found.append(own(str(content.get("name", "")), str(content.get("pattern", "")), content.get("personal") is True))
        except Unusable as exc:
            wrong.append(str(document.problem(("pattern",), str(exc))))
    if wrong:
        raise LineError("\n".join(wrong))
    return found

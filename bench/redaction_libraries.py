"""`auditwired redact` beside the best existing libraries, over the labelled corpus, by the same judge.

    python -m bench.redaction_libraries [NAME | NAME+NAME …] [--corpus FILE] [--runs 1] [--misses]

Installs the libraries once, into a venv of their own under .cache/ (bench/libraries/requirements.txt), and builds gitleaks where
there is Go. Each is a program that reads {"id", "text"} lines and writes what it found; the runner masks that as `redact`
does. NAME+NAME masks what either finds. --misses lists, by kind, the secrets that a library finds and `redact` misses.

CPU is that of the whole process over all texts less that of the same process over the first text alone, so without start and
loading; the median of --runs, which take turns.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.compiled_peer import LeftOutError, build
from tests.corpus.judge import CORPUS, Score, judge, read

HERE = Path(__file__).parent / "libraries"
PINNED = HERE / "requirements.txt"
VENV = HERE.parent.parent / ".cache" / "redaction-libraries"
OURS = "auditwired"
GITLEAKS = "gitleaks"
SECRETS = (GITLEAKS, "betterleaks", "kingfisher", "detect-secrets")
PERSONAL = ("presidio", "presidio-wide")
DEFAULT = (*SECRETS, *PERSONAL, "euredact", "betterleaks+presidio", "+".join((*SECRETS, "presidio-wide", "euredact")))
HEAD = ["", "formatted % (plain)", "context %", "personal %", "precision %", "harmless tokens altered %", "clean texts touched %"]
HEAD += ["CPU s per 1,000 texts, without loading (times ours)"]
Answers = dict[str, dict[str, Any]]


@dataclass
class Run:
    """What a program answered, by id of the text, and its CPU seconds without start and loading, one for each run."""

    answers: Answers = field(default_factory=dict)
    cpu: list[float] = field(default_factory=list)


def install() -> Path:
    """The Python of the libraries' venv, installed anew when what is pinned has changed."""
    python, stamp = VENV / "bin" / "python", VENV / "installed"
    wanted = hashlib.sha256(PINNED.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(PINNED)], check=True
        )
        stamp.write_text(wanted, encoding="utf-8")
    return python


def command(name: str) -> list[str]:
    """The program that stands for ``name``. Raises LeftOutError."""
    if name == OURS:
        return [sys.executable, "-m", "pipeline", "redact"]
    if name == GITLEAKS:
        return [str(build(source=HERE / "gitleaks"))]
    return [str(install()), str(HERE / "worker.py"), name]


def answered(argv: list[str], texts: list[dict[str, Any]]) -> tuple[Answers, float]:
    """The program's answers to these texts, and its CPU seconds as a whole. Ends this program where it fails."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write("".join(json.dumps(text) + "\n" for text in texts).encode())
        given.seek(0)
        process = subprocess.Popen(argv, stdin=given, stdout=said)
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}: its last lines say why")
        said.seek(0)
        lines = [json.loads(line) for line in said]
    return {line["id"]: line for line in lines}, spent.ru_utime + spent.ru_stime


def spans(text: str, answer: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Where the findings stand: an answer has spans in code points, or values that are looked for wherever they stand."""
    found = [(one["start"], one["end"], one["kind"]) for one in answer.get("spans", ())]
    for one in answer.get("values", ()):
        found += [(m.start(), m.end(), one["kind"]) for m in re.finditer(re.escape(one["value"]), text)]
    return sorted(one for one in found if one[0] < one[1])


def masked(text: str, found: list[tuple[int, int, str]]) -> str:
    """The text with a mask for each finding; those that overlap are one, of the first one's kind."""
    out, at = [], 0
    merged: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
        else:
            merged.append((start, end, kind))
    for start, end, kind in merged:
        out += [text[at:start], f"[REDACTED:{re.sub(r'[^A-Za-z0-9_-]+', '_', kind)[:60]}]"]
        at = end
    return "".join([*out, text[at:]])


def score(corpus: list[dict[str, Any]], runs: list[Run]) -> Score:
    """What the judge says where all these programs' findings are masked together."""
    texts = {}
    for entry in corpus:
        found = [one for run in runs for one in spans(entry["text"], run.answers[entry["id"]])]
        texts[entry["id"]] = masked(entry["text"], found)
    return judge(corpus, texts)


def versions() -> dict[str, str]:
    """The version of each library, as pinned."""
    out = {}
    for line in PINNED.read_text(encoding="utf-8").splitlines():
        if m := re.match(r"(\S+)==(\S+)", line):
            out[re.sub(r"-(py|secret-scanner|analyzer)$", "", m[1])] = m[2]
    if m := re.search(r"gitleaks/v8 v(\S+)", (HERE / "gitleaks" / "go.mod").read_text(encoding="utf-8")):
        out[GITLEAKS] = m[1]
    return out


def row(name: str, one: Score, cpu: float, ours: float, texts: int) -> str:
    """A line of the table."""
    known = versions()
    title = " + ".join(
        f"{part} {known[part.removesuffix('-wide')]}" if part.removesuffix("-wide") in known else part for part in name.split("+")
    )
    classes = [f"{one.recall['formatted'].percent:.1f} ({one.recall_plain['formatted'].percent:.1f})"]
    classes += [f"{one.recall[c].percent:.1f}" for c in ("context", "personal")]
    rest = [f"{value:.2f}" for value in (one.precision, one.altered_percent, one.clean_touched.percent)]
    times = f"{1000 * cpu / texts:.2f} ({cpu / ours:.2g})"
    return "| " + " | ".join([title, *classes, *rest, times]) + " |"


def misses(name: str, theirs: Score, ours: Score, show: int) -> None:
    """Prints by kind which secrets they find and we miss, and the other way round how many."""
    left, others = set(ours.missed), set(theirs.missed)
    found = Counter(kind for _, kind, _ in left - others)
    print(f"\n{name} finds {sum(found.values())} that {OURS} misses, and misses {len(others - left)} that {OURS} finds")
    for kind, count in found.most_common():
        print(f"  {kind}: {count}")
        for number, _, text in sorted(one for one in left - others if one[1] == kind)[:show]:
            print(f"    {number} {text[:100]!r}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.redaction_libraries", description="Redaction beside existing libraries."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (default: {' '.join(DEFAULT)})")
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--misses", action="store_true", help=f"what each finds that {OURS} misses")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="with --misses: up to N of each kind")
    options = parser.parse_args(arguments)
    names = list(dict.fromkeys([OURS, *(options.names or DEFAULT)]))
    corpus = read(options.corpus)
    texts = [{"id": entry["id"], "field": entry["field"], "text": entry["text"]} for entry in corpus]
    runs: dict[str, Run] = {}
    for part in dict.fromkeys(part for name in names for part in name.split("+")):
        try:
            answered(command(part), texts[:1])  # some write caches when they first start
            runs[part] = Run()
        except LeftOutError as exc:
            print(f"{part} is left out: {exc}", file=sys.stderr)
    for _ in range(options.runs):
        for part, run in runs.items():
            _, start = answered(command(part), texts[:1])
            run.answers, whole = answered(command(part), texts)
            run.cpu.append(whole - start)
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    cpu = {part: statistics.median(run.cpu) for part, run in runs.items()}
    scores = {}
    for name in names:
        parts = name.split("+")
        if all(part in runs for part in parts):
            scores[name] = score(corpus, [runs[part] for part in parts])
            print(row(name, scores[name], sum(cpu[part] for part in parts), cpu[OURS], len(texts)), flush=True)
    if options.misses:
        for name in list(scores)[1:]:
            misses(name, scores[name], scores[OURS], options.show)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Judges a redaction by the corpus: `python -m tests.corpus.judge REDACTED`, a file of {"id", "redacted_text"} lines.

Prints recall, precision and what harmless text was altered. Exits with 1 where a limit of limits.json is missed, with 2 where
the file does not answer every text of the corpus.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.corpus.alignment import AlignmentError, Span, changed, masked
from tests.corpus.leaks import leaked

HERE = Path(__file__).parent
CORPUS = HERE / "corpus.jsonl"
LIMITS = HERE / "limits.json"
CLASSES = ("formatted", "context", "personal")


@dataclass
class Tally:
    """So many of so many."""

    hits: int = 0
    total: int = 0

    def add(self, hit: bool) -> None:
        self.hits += hit
        self.total += 1

    @property
    def percent(self) -> float:
        """100 where there was nothing to count: nothing was missed."""
        return 100 * self.hits / self.total if self.total else 100.0


@dataclass
class Score:
    """What a redaction did with the corpus; every tally counts what its name says."""

    recall: dict[str, Tally] = field(default_factory=lambda: {c: Tally() for c in CLASSES})
    recall_plain: dict[str, Tally] = field(default_factory=lambda: {c: Tally() for c in CLASSES})
    kinds: dict[str, Tally] = field(default_factory=dict)
    kinds_plain: dict[str, Tally] = field(default_factory=dict)
    masks_on_secrets: Tally = field(default_factory=Tally)
    masked_characters_of_secrets: Tally = field(default_factory=Tally)
    harmless_altered: Tally = field(default_factory=Tally)
    harmless_kinds: dict[str, Tally] = field(default_factory=dict)
    clean_touched: Tally = field(default_factory=Tally)
    not_aligned: list[str] = field(default_factory=list)
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    """Id of the text, kind and text of each secret that leaked."""
    altered: list[tuple[str, str, str]] = field(default_factory=list)
    """The same of harmless tokens; the kind `mask` is a mask that touches no secret."""

    @property
    def precision(self) -> float:
        return self.masks_on_secrets.percent

    @property
    def altered_percent(self) -> float:
        return self.harmless_altered.percent if self.harmless_altered.total else 0.0


def _overlap(span: Span, others: list[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


def judged(entry: dict[str, Any], redacted: str, score: Score) -> None:
    """One text counted."""
    original = entry["text"]
    secrets = [(s["start"], s["end"]) for s in entry["secrets"]]
    if not secrets:
        score.clean_touched.add(redacted != original)
    for secret, leak in zip(entry["secrets"], leaked(entry, redacted) if secrets else [], strict=True):
        _count_secret(entry, secret, leak, score)
    try:
        masks = masked(original, redacted, secrets)
    except AlignmentError:
        score.not_aligned.append(entry["id"])
        masks = changed(original, redacted)
    for mask in masks:
        hit = _overlap(mask, secrets)
        score.masks_on_secrets.add(hit)
        if not hit:
            score.altered.append((entry["id"], "mask", original[slice(*mask)]))
        score.masked_characters_of_secrets.total += mask[1] - mask[0]
        score.masked_characters_of_secrets.hits += sum(max(0, min(mask[1], e) - max(mask[0], s)) for s, e in secrets)
    for token in entry["harmless"]:
        touched = _overlap((token["start"], token["end"]), masks)
        score.harmless_altered.add(touched)
        score.harmless_kinds.setdefault(token["kind"], Tally()).add(touched)
        if touched:
            score.altered.append((entry["id"], token["kind"], original[token["start"] : token["end"]]))


def _count_secret(entry: dict[str, Any], secret: dict[str, Any], leak: bool, score: Score) -> None:
    kind, group = secret["kind"], secret["class"]
    score.recall[group].add(not leak)
    score.kinds.setdefault(f"{group} {kind}", Tally()).add(not leak)
    if secret["plain"]:
        score.recall_plain[group].add(not leak)
        score.kinds_plain.setdefault(f"{group} {kind}", Tally()).add(not leak)
    if leak:
        score.missed.append((entry["id"], kind, entry["text"][secret["start"] : secret["end"]]))


def judge(corpus: list[dict[str, Any]], redacted: dict[str, str]) -> Score:
    """Raises KeyError with the id of a text of the corpus that has no redacted one."""
    score = Score()
    for entry in corpus:
        judged(entry, redacted[entry["id"]], score)
    return score


def shortfalls(score: Score, limits: dict[str, Any]) -> list[str]:
    """A sentence for every limit that is missed."""
    found = [("recall", c, score.recall[c].percent, least) for c, least in limits["recall"].items()]
    found += [("recall of plain ones", c, score.recall_plain[c].percent, least) for c, least in limits["recall_plain"].items()]
    for start, least in limits["recall_of_kinds"].items():
        some = [t for kind, t in score.kinds.items() if kind.split()[1].startswith(start)]
        share = 100 * sum(t.hits for t in some) / (sum(t.total for t in some) or 1) if some else 100.0
        found.append(("recall of kinds", start + "*", share, least))
    found.append(("precision", "masks", score.precision, limits["precision"]))
    out = [f"{what}, {of}: {value:.2f} %, at least {least} % are asked for" for what, of, value, least in found if value < least]
    above = [("harmless tokens altered", "all", score.altered_percent, limits["harmless_altered"])]
    above += [
        ("harmless tokens altered", kind, t.percent, limits["harmless_altered_kind"]) for kind, t in score.harmless_kinds.items()
    ]
    above.append(
        ("clean texts touched", "all", score.clean_touched.percent if score.clean_touched.total else 0.0, limits["clean_touched"])
    )
    out += [f"{what}, {of}: {value:.2f} %, at most {most} % are allowed" for what, of, value, most in above if value > most]
    if score.not_aligned:
        out.append(f"{len(score.not_aligned)} texts were changed outside their masks, the first is {score.not_aligned[0]}")
    return out


def table(score: Score, kinds: bool) -> str:
    """The figures as text; with `kinds` a line for each kind."""
    rows = ["class        all %  plain %   secrets"]
    rows += [
        f"{c:<10} {score.recall[c].percent:>7.2f} {score.recall_plain[c].percent:>8.2f} {score.recall[c].total:>9}"
        for c in CLASSES
    ]
    if kinds:
        rows += ["", "class kind                                 all %  plain %   secrets"]
        for kind, tally in sorted(score.kinds.items()):
            rows.append(f"{kind:<40} {tally.percent:>7.1f} {score.kinds_plain.get(kind, Tally()).percent:>8.1f} {tally.total:>9}")
    touched = score.clean_touched
    rows += ["", f"precision: {score.precision:.2f} % of {score.masks_on_secrets.total} masks touch a secret"]
    rows.append(f"masked characters that belong to a secret: {score.masked_characters_of_secrets.percent:.2f} %")
    altered = score.harmless_altered
    rows.append(f"harmless tokens altered: {score.altered_percent:.2f} % ({altered.hits} of {altered.total})")
    rows.append(f"clean texts touched: {touched.percent if touched.total else 0:.2f} % ({touched.hits} of {touched.total})")
    for kind, tally in sorted(score.harmless_kinds.items()):
        if tally.hits or kinds:
            rows.append(f"  {kind:<30} {tally.percent:>7.2f} % ({tally.hits} of {tally.total})")
    return "\n".join(rows)


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.corpus.judge", description="Judge redacted texts by the labelled corpus."
    )
    parser.add_argument("redacted", type=Path, help='lines of {"id", "redacted_text"}, one for each text of the corpus')
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--limits", type=Path, default=LIMITS)
    parser.add_argument("--kinds", action="store_true", help="a line for each kind")
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="up to N missed secrets and N altered tokens of each kind"
    )
    options = parser.parse_args(arguments)
    corpus = read(options.corpus)
    answers = {line["id"]: line["redacted_text"] for line in read(options.redacted)}
    absent = [entry["id"] for entry in corpus if entry["id"] not in answers]
    if absent:
        print(
            f"{options.redacted} lacks {len(absent)} texts of the corpus, the first is {absent[0]}: redact them all",
            file=sys.stderr,
        )
        return 2
    score = judge(corpus, answers)
    print(table(score, options.kinds))
    for name, cases in (("missed", score.missed), ("altered", score.altered)):
        shown: Counter[str] = Counter()
        for number, kind, text in cases:
            shown[kind] += 1
            if shown[kind] <= options.show:
                print(f"{name} {number} {kind}: {text[:100]!r}")
    missed = shortfalls(score, json.loads(options.limits.read_text(encoding="utf-8")))
    print("\n" + ("\n".join(missed) if missed else "every limit is kept"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

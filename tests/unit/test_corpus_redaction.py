"""The detectors against the labelled corpus: what they reached is held, a fifth of the texts at a time."""

from __future__ import annotations

import json

from auditwire.redaction import DETECTORS, redacted, spans
from pipeline.stages.detectors import chosen
from tests.corpus.judge import CORPUS, LIMITS, judge, read, shortfalls

PART = 5  # of the texts one in so many; `python -m tests.corpus.judge` judges them all


def test_the_limits_are_kept() -> None:
    corpus = read(CORPUS)[::PART]
    texts = [entry["text"] for entry in corpus]
    found = spans(texts, DETECTORS, choose=chosen)
    answers = {e["id"]: redacted(text, one) for e, text, one in zip(corpus, texts, found, strict=True)}
    limits = json.loads(LIMITS.read_text(encoding="utf-8"))
    limits |= {"recall_of_kinds": {}, "harmless_altered_kind": 100.0}  # too few of each in a part
    assert shortfalls(judge(corpus, answers), limits) == []
    without = tuple(detector for detector in DETECTORS if detector.name != "secret")
    worse = spans(texts, without, choose=chosen)
    answers = {e["id"]: redacted(text, one) for e, text, one in zip(corpus, texts, worse, strict=True)}
    assert any("context" in line for line in shortfalls(judge(corpus, answers), limits))

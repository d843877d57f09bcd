"""The detectors as columns are searched with them: patterns for RE2 that find the few texts worth a closer look."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from auditwire.redaction import DETECTORS, Detector, revision_of
from auditwire.redaction.views import DASHES, INVISIBLE, SPACES
from pipeline.stages.linear import matches

__all__ = ["DETECTORS", "RULES_REVISION", "Detector", "chosen", "filter_of", "revision_of"]

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)  # a list of characters is one
_LEFT = re.compile(r"\(\?:\\b(?:\|(?:_|\[a-z\](?:\{3\})?|ID|x))*\)")  # what a token may be glued to
# What may hide a secret from the patterns: a text with one of these is always looked at.
DISGUISES = (
    r"\\[ux][0-9A-Fa-f]",
    r"\\\\\\+r?n|\\\r?\n",
    r"\\/",
    r"\x1b\[",
    f"[{INVISIBLE}{SPACES}{DASHES}]",
    r"&(?:#|quot;|amp;|lt;|gt;|apos;)",
    r"%[2-7][0-9A-Fa-f]",
)


@lru_cache(32)
def filter_of(detectors: tuple[Detector, ...]) -> str:
    """A pattern for RE2 that matches every text in which a detector finds something, or in which something may be hidden. It asks
    for no border of a word or line, so that it also sees texts that stand one after the other without one.
    """
    return "|".join([_union([replace(one, rough=_anywhere(one.rough)) for one in detectors]), *DISGUISES])


def _anywhere(pattern: str) -> str:
    """The pattern without what it asks of the characters around."""
    return "".join("(?:)" if token in (r"\b", "^", "$") else token for token in _TOKEN.findall(_LEFT.sub("(?:)", pattern)))


def _union(detectors: Iterable[Detector]) -> str:
    """A pattern that matches where one of the detectors may find something."""
    hints = dict.fromkeys(hint for detector in detectors if not detector.rough for hint in detector.hints)
    rough = dict.fromkeys(detector.rough for detector in detectors if detector.rough)
    literal = f"(?i:{'|'.join(re.escape(hint) for hint in hints)})"
    return "|".join([*([literal] if hints else []), *rough])


def chosen(texts: Sequence[str], detectors: Sequence[Detector]) -> Iterable[tuple[int, list[int]]]:
    """For the rank of each detector the places of the texts in which it may find something."""
    patterns, ranks = _hints(tuple(detectors))
    found: dict[int, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for number in matches(text, patterns):
            found[number].append(place)
    return [(rank, places) for number, places in found.items() for rank in ranks[number]]


@lru_cache(32)
def _hints(detectors: tuple[Detector, ...]) -> tuple[tuple[str, ...], list[list[int]]]:
    """The patterns of the detectors, each once, and the ranks of those that share it."""
    ranks: dict[str, list[int]] = {}
    for rank, detector in enumerate(detectors):
        ranks.setdefault(_union([detector]), []).append(rank)
    return tuple(ranks), list(ranks.values())


RULES_REVISION = revision_of(DETECTORS)

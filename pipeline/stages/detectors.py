"""The detectors as columns are searched with them: patterns for RE2 that find the few texts worth a closer look."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditwire.redaction import DETECTORS, Detector, revision_of
from auditwire.redaction.views import DASHES, INVISIBLE, SPACES
from pipeline.batch import Indices

__all__ = ["DETECTORS", "RULES_REVISION", "Detector", "chosen", "filter_of", "filter_of_columns", "revision_of"]

GROUP = 16  # detectors that are asked about together first
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)  # a list of characters is one
_LITERAL = re.compile(r"[A-Za-z0-9_:/-]+")
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


@lru_cache(8)
def filter_of(detectors: tuple[Detector, ...]) -> str:
    """A pattern for RE2 that matches every text in which a detector finds something, or in which something may be hidden."""
    return "|".join([_union([replace(one, rough=_loose(one)) for one in detectors]), *DISGUISES])


@lru_cache(8)
def filter_of_columns(detectors: tuple[Detector, ...]) -> str:
    """The same for columns as one string each, where a value may begin or end in the middle of a word or line."""
    return "|".join([_union([replace(one, rough=_anywhere(_loose(one))) for one in detectors]), *DISGUISES])


def _anywhere(pattern: str) -> str:
    return "".join("(?:)" if token in (r"\b", "^", "$") else token for token in _TOKEN.findall(pattern))


def _loose(detector: Detector) -> str:
    """Its pattern for texts as they stand, where a word may follow an escape. Boundaries make whole columns dear, so those of
    secrets go; digits of persons would have too many hits without.
    """
    if r"\\b" in detector.rough:  # a backslash and a b
        return detector.rough
    if detector.personal:
        return detector.rough.replace(r"\b", r"(?:\b|\\[bfnrt])")
    return re.sub(r"\(\?:\\b\|_\|\[a-z\](?:\{3\})?\|ID\)|\\b", "", detector.rough)


def _union(detectors: Iterable[Detector]) -> str:
    """A pattern that matches where one of the detectors may find something."""
    hints = dict.fromkeys(hint for detector in detectors if not detector.rough for hint in detector.hints)
    rough = dict.fromkeys(detector.rough for detector in detectors if detector.rough)
    literal = f"(?i:{'|'.join(re.escape(hint) for hint in hints)})"
    return "|".join([*([literal] if hints else []), *rough])


def chosen(texts: Sequence[str], detectors: Sequence[Detector]) -> Iterator[tuple[int, list[int]]]:
    """For the rank of each detector the places of the texts in which it may find something."""
    if not texts:
        return
    values = pa.array(texts, pa.large_string())
    for group, pattern, alone in _groups(tuple(detectors)):
        rows = _matching(values, pattern)
        if not len(rows):
            continue
        some = values.take(pa.array(rows))
        known = {one: rows[_matching(some, one)].tolist() for one in dict.fromkeys(alone)}
        for rank, one in zip(group, alone, strict=True):
            if known[one]:
                yield rank, known[one]


@lru_cache(8)
def _groups(detectors: tuple[Detector, ...]) -> list[tuple[range, str, list[str]]]:
    """Ranks of some detectors, the pattern of all of them, that of each."""
    found = []
    for start in range(0, len(detectors), GROUP):
        group = range(start, min(start + GROUP, len(detectors)))
        found.append((group, _union([detectors[rank] for rank in group]), [_union([detectors[rank]]) for rank in group]))
    return found


def _matching(values: pa.Array[Any], pattern: str) -> Indices:
    """Places of the values in which the pattern matches."""
    search = pc.match_substring if _LITERAL.fullmatch(pattern) else pc.match_substring_regex
    return np.flatnonzero(search(values, pattern=pattern).to_numpy(zero_copy_only=False))


RULES_REVISION = revision_of(DETECTORS)

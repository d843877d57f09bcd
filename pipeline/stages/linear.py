"""Searches by RE2 with patterns that stay compiled: Arrow compiles anew in each call, which costs more than the search."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import re2

from pipeline.batch import Indices
from pipeline.stages.texts import Text

MEMORY = 32 << 20  # bytes that the states of a pattern may take; they are made as texts ask for them
KEPT = 32  # patterns, and sets of them: each tenant with detectors of its own has four
_ALWAYS = r"\z"  # RE2 says of a text without a match the same as of one for which its memory was too small


def values_with(texts: Sequence[Text], pattern: str) -> Indices:
    """Places of the values in which the pattern may match, counted through all texts. It sees the values as one, without borders:
    it must not ask for any, and a match that goes on in the next value counts.
    """
    parts = [text.data() for text in texts]
    data = np.concatenate(parts)
    bounds = [0, *accumulate(map(len, parts))]
    firsts = [0, *accumulate(len(text.values) for text in texts)]
    search, found, at, last, number = _compiled(pattern).search, list[int](), 0, 0, -1
    while at < len(data) and (match := search(data, at)) and (start := match.start()) < len(data):
        if start >= last:
            number = bisect_right(bounds, start) - 1
            first, last = bounds[number], bounds[number + 1]
            begins = texts[number].value_offsets().data
            first -= begins[0]
        place = bisect_right(begins, start - first) - 1
        found.append(firsts[number] + place)
        at = first + begins[place + 1]
    return np.array(found, np.int64)


def matches(text: str, patterns: tuple[str, ...]) -> Sequence[int]:
    """Which of the patterns match somewhere in the text, in one pass over it; all of them where RE2 lacks the memory to tell."""
    found = _set(patterns).Match(text)
    return range(len(patterns)) if found is None else [number for number in found if number < len(patterns)]


@lru_cache(KEPT)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern, _options())


@lru_cache(KEPT)
def _set(patterns: tuple[str, ...]) -> Any:
    found = re2.Set.SearchSet(_options())
    for pattern in (*patterns, _ALWAYS):
        found.Add(pattern)
    found.Compile()
    return found


def _options() -> Any:
    options = re2.Options()
    options.max_mem, options.never_capture, options.log_errors = MEMORY, True, False
    return options

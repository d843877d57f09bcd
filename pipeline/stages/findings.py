"""Texts in which rules have other detectors search than everywhere, or have findings hashed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditwire.redaction import Found, spans
from pipeline.rules.search import Mask, Search
from pipeline.stages.detectors import chosen, filter_of

Hash = Callable[[int, str], str]


class Changed(NamedTuple):
    """A text with findings: its place, what it is now, and the rules' labels of them, empty for those that no rule is about."""

    place: int
    text: str
    labels: frozenset[str]


def searched(values: Any, cut: Mask, search: Search, hashed: Hash) -> list[Changed]:
    """The texts in which something is found. ``cut``: whose end may be half a secret. ``hashed``: place and text → its hash."""
    suspect = pc.match_substring_regex(values, pattern=filter_of(search.detectors)).to_numpy(zero_copy_only=False) | cut
    places = np.flatnonzero(suspect)
    texts = values.take(pa.array(places)).to_pylist()
    found = spans(texts, search.detectors, cut[places].tolist(), chosen)
    return [
        Changed(place, _without(text, one, search, partial(hashed, place)), _labels(one, search))
        for place, text, one in zip(places.tolist(), texts, found, strict=True)
        if one
    ]


def _without(text: str, found: Sequence[Found], search: Search, hashed: Callable[[str], str]) -> str:
    parts, end = list[str](), 0
    for one in found:
        masked = f"[REDACTED:{one.kind}]" if one.kind not in search.hashed else hashed(text[one.start : one.end])
        parts += (text[end : one.start], masked)
        end = one.end
    return "".join([*parts, text[end:]])


def _labels(found: Sequence[Found], search: Search) -> frozenset[str]:
    return frozenset(search.labels.get(one.kind, "") for one in found)

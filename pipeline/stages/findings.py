"""Texts in which rules have other detectors search than everywhere, or have findings hashed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from auditwire.redaction import Detector, Found, spans
from pipeline.rules.search import Mask, Search
from pipeline.stages.detectors import chosen, filter_of
from pipeline.stages.linear import values_with
from pipeline.stages.texts import Text


class Texts(NamedTuple):
    """Texts that are searched alike. ``cut``: those whose end may be half a secret."""

    values: pa.Array[Any]
    cut: Mask
    search: Search


class Hit(NamedTuple):
    """A text with findings, and its place among the values."""

    place: int
    text: str
    found: Sequence[Found]


def searched(given: Sequence[Texts]) -> list[list[Hit]]:
    """The texts of each in which something is found. Those of equal detectors are searched at once, as patterns cost a start."""
    hits: list[list[Hit]] = [[] for _ in given]
    alike: dict[tuple[Detector, ...], list[int]] = {}
    for number, one in enumerate(given):
        alike.setdefault(one.search.detectors, []).append(number)
    for detectors, numbers in alike.items():
        values = pa.concat_arrays([given[number].values for number in numbers])
        cut = np.concatenate([given[number].cut for number in numbers])
        starts = np.cumsum([0, *(len(given[number].values) for number in numbers)])
        places = np.union1d(values_with([Text("", "", values, None)], filter_of(detectors)), np.flatnonzero(cut))
        texts = values.take(pa.array(places)).to_pylist()
        found = spans(texts, detectors, cut[places].tolist(), chosen)
        owners = np.searchsorted(starts, places, side="right") - 1
        for place, owner, text, one_found in zip(places.tolist(), owners.tolist(), texts, found, strict=True):
            if one_found:
                hits[numbers[owner]].append(Hit(place - int(starts[owner]), text, one_found))
    return hits


def without(hit: Hit, search: Search, hashed: Callable[[str], str]) -> str:
    """The text with its findings masked, or hashed where the search says so."""
    parts, end = list[str](), 0
    for one in hit.found:
        masked = hashed(hit.text[one.start : one.end]) if one.kind in search.hashed else f"[REDACTED:{one.kind}]"
        parts += (hit.text[end : one.start], masked)
        end = one.end
    return "".join([*parts, hit.text[end:]])


def labels(hit: Hit, search: Search) -> frozenset[str]:
    """What its findings are called by the rules about them, empty for those that no rule is about."""
    return frozenset(search.labels.get(one.kind, "") for one in hit.found)

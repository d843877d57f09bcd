"""Finds what detectors look for in texts, and masks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from auditwire.redaction.detector import Detector
from auditwire.redaction.views import MASK, View, joined, readable, unquoted


class Found(NamedTuple):
    """A finding: where it stands in the text, in code points, and the kind it is masked as."""

    start: int
    end: int
    kind: str


class _Encoded(NamedTuple):
    """Where in which text another stands encoded, and what it says. ``cut``: its end may be half a secret."""

    place: int
    start: int
    end: int
    text: str
    cut: bool


Raw = tuple[int, int, int, str]  # start, end, rank of the detector, its name
Chosen = Iterable[tuple[int, Iterable[int]]]
"""For ranks of detectors the places of the texts in which each may find something."""
Choose = Callable[[Sequence[str], Sequence[Detector]], Chosen]


def hinted(texts: Sequence[str], detectors: Sequence[Detector]) -> Chosen:
    """The texts worth a look for each detector, by their hints, one text at a time."""
    chosen: dict[int, list[int]] = {}
    for place, text in enumerate(texts):
        lower, seen = text.lower(), dict[str, bool]()
        for rank, detector in enumerate(detectors):
            if detector.hinted(text, lower, seen):
                chosen.setdefault(rank, []).append(place)
    return chosen.items()


def all_of(texts: Sequence[str], detectors: Sequence[Detector]) -> Chosen:
    """Every text for every detector: what hints must not fall short of."""
    return [(rank, range(len(texts))) for rank in range(len(detectors))]


def spans(
    texts: Sequence[str], detectors: Sequence[Detector], cut: Sequence[bool] = (), choose: Choose = hinted
) -> list[list[Found]]:
    """What the detectors find in each text, in order and without overlaps. ``cut``: the text's end may be half a secret."""
    found, encoded = _raw(texts, detectors, cut, choose)
    if encoded:
        within, _ = _raw([one.text for one in encoded], detectors, [one.cut for one in encoded], choose)
        for one, raw in zip(encoded, within, strict=True):
            if raw and merged(one.text, raw):
                found[one.place].append((one.start, one.end, *min((rank, name) for _, _, rank, name in raw)))
    return [merged(text, raw) if raw else [] for text, raw in zip(texts, found, strict=True)]


def _raw(
    texts: Sequence[str], detectors: Sequence[Detector], cut: Sequence[bool], choose: Choose
) -> tuple[list[list[Raw]], list[_Encoded]]:
    """What the detectors find in each text, in any order, and what stands encoded in them."""
    found: list[list[Raw]] = [[] for _ in texts]
    encoded = dict[_Encoded, None]()
    views, owners, lines = list[View](), list[int](), list[int]()
    for place, text in enumerate(texts):
        view = readable(text)
        plain = unquoted(view)
        if "\n" in view.text:
            lines.append(len(views))
        views.append(view)
        owners.append(place)
        if plain is not view:
            views.append(plain)
            owners.append(place)
        if cut and cut[place]:
            found[place] += [(*view.span(start, end), len(detectors), "cut") for start, end in _cut_end(view.text)]
    broken = {place: list[int]() for place in lines}
    for rank, hits in choose([view.text for view in views], detectors):
        detector = detectors[rank]
        for hit in hits:
            view, place = views[hit], owners[hit]
            if detector.decode is not None:
                for start, end, said in detector.decode(view.text):
                    ends = bool(cut) and cut[place] and end == len(view.text)
                    encoded[_Encoded(place, *view.span(start, end), said, ends)] = None
                continue
            found[place] += _placed(view, detector.find(view.text), rank, detector.name)
            if detector.exact and hit in broken:
                broken[hit] = [*broken[hit], rank]
    for hit, ranks in broken.items():
        if ranks:
            found[owners[hit]] += _broken(views[hit], sorted(ranks), detectors)
    return found, list(encoded)


def _placed(view: View, found: Iterable[tuple[int, int]], rank: int, name: str) -> list[Raw]:
    """Findings of a detector in a reading, as they stand in the text."""
    if view.places is None:
        return [(start, end, rank, name) for start, end in found]
    return [(*view.span(start, end), rank, name) for start, end in found]


def redacted(text: str, found: Sequence[Found]) -> str:
    """The text with every finding replaced by ``[REDACTED:<kind>]``."""
    if not found:
        return text
    if len(found) == 1:
        start, end, kind = found[0]
        return f"{text[:start]}[REDACTED:{kind}]{text[end:]}"
    parts, at = list[str](), 0
    for start, end, kind in found:
        parts += (text[at:start], f"[REDACTED:{kind}]")
        at = end
    parts.append(text[at:])
    return "".join(parts)


def _broken(view: View, ranks: Sequence[int], detectors: Sequence[Detector]) -> Iterator[Raw]:
    """Tokens of a telling form that go on in the next line."""
    whole = joined(view)
    if whole is view:
        return
    lower, seen = view.text.lower(), dict[str, bool]()
    for rank in ranks:
        detector = detectors[rank]
        if not detector.hinted(view.text, lower, seen):
            continue
        for start, end in detector.find(whole.text):
            first, last = whole.span(start, end)
            if last - first > end - start:
                stop = _continued(whole, start, end)
                if stop > start:
                    yield first, whole.span(start, stop)[1], rank, detector.name


def _continued(whole: View, start: int, end: int) -> int:
    """How far a token goes that lines break: a line that follows belongs to it if it does not begin with a word."""
    places = whole.places
    if places is None:
        return start
    at, goes_on = start, start
    for place in range(start + 1, end + 1):
        if place == end or places[place] - places[place - 1] > 1:
            piece = whole.text[at:place]
            if at > start and not _part(piece):
                return goes_on if goes_on > at else start if goes_on == start else goes_on
            goes_on, at = place, place
    return goes_on


def _part(piece: str) -> bool:
    return len(piece) >= 2 and (
        any(c.isdigit() for c in piece)
        or not piece.isalpha()
        or (piece.isupper() and len(piece) > 3)
        or sum(a.islower() and b.isupper() for a, b in pairwise(piece)) > 1
    )


_CUT_USER = re.compile(r"://[^\s/?#:@\"'<>]{0,200}(?:@[^\s/?#:@\"'<>]{0,200})?:(\S+)\Z")


_CUT_NUMBER = re.compile(r"(?<![A-Za-z0-9])[+(]{0,2}[A-Z]{0,2}[0-9](?:[ ./()-]{0,3}[A-Z0-9]){3,}[ ./()-]{0,3}\Z")


def _cut_end(text: str) -> Iterator[tuple[int, int]]:
    """What the cut may have left of a secret."""
    start = end = len(text)
    while start > 0 and text[start - 1] not in ' \t\r\n\f\v"`<>(){}[],;|':
        start -= 1
    if end - start >= 8:
        yield start, end
    if match := _CUT_NUMBER.search(text, max(0, end - 60)):
        yield match.span()
    if match := _CUT_USER.search(text, max(0, end - 4096)):
        yield match.span(1)


def merged(text: str, found: list[Raw]) -> list[Found]:
    """Findings that overlap become one, named after the detector that comes first; masks of an earlier redaction stay."""
    masks = [match.span() for match in MASK.finditer(text)] if "[REDACTED:" in text else ()
    if len(found) == 1 and not masks:
        start, end, _, name = found[0]
        return [Found(start, end, name)] if start < end else []
    found.sort()
    out, ranks = list[Found](), list[int]()
    for start, end, rank, name in found:
        if start >= end or (masks and any(first <= start and end <= last for first, last in masks)):
            continue
        if out and start < out[-1].end:
            last = out[-1]
            first_named = rank < ranks[-1]
            out[-1] = Found(last.start, max(last.end, end), name if first_named else last.kind)
            ranks[-1] = min(rank, ranks[-1])
        else:
            out.append(Found(start, end, name))
            ranks.append(rank)
    return out

"""Redaction of one event, as the processor's columnar form does it where no rules are published."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from auditwire._errors import ConfigurationError
from auditwire._event import CONTENT, KINDS, AuditEvent
from auditwire._redact_hints import pieces_of
from auditwire.redaction import DETECTORS, Detector, redacted, spans
from auditwire.redaction.views import DASHES, INVISIBLE, SPACES

_IDENTITY = ("event_id", "tenant_id")  # they must not change and are no place for text
_TEXTS = tuple((name, kind) for name, kind in KINDS.items() if kind in ("string", "strings", "pairs") and name not in _IDENTITY)
_CONTENT = frozenset(CONTENT)
_DISGUISED = re.compile(rf"[\\\x1b&%{INVISIBLE}{SPACES}{DASHES}]")
_BETWEEN = "\0"  # stands in no text of an event


class _Cell(NamedTuple):
    """One text of an event: its field, for lists and attributes the item and "key" or "value"."""

    name: str
    item: int
    part: str
    text: str


class Redactor:
    """Masks secrets in every text of an event and personal data in its content. Give no detectors for the built-in ones.

    Raises ConfigurationError where a library that the detectors need is not installed.
    """

    def __init__(self, detectors: tuple[Detector, ...] = DETECTORS) -> None:
        for library in ("phonenumbers", "stdnum"):
            _needed(library)
        self._all = _Search(detectors)
        self._secrets = _Search(tuple(detector for detector in detectors if not detector.personal))

    def masked(self, event: AuditEvent) -> AuditEvent:
        """The event itself where nothing is found, else a copy with ``[REDACTED:<kind>]`` in the place of what is.

        The event has values that `encode` takes, and what `truncated_fields` names is a text that ends in the middle. Keys of
        attributes that masks make equal get ``#<index>``, so that no pair is lost.
        """
        cut = _cuts(event.truncated_fields)
        free, facts = list[_Cell](), list[_Cell]()
        for cell in _cells(event):
            (free if cell.name in _CONTENT and cell.part != "key" else facts).append(cell)
        changed = {**self._all.changed(free, cut), **self._secrets.changed(facts, cut)}
        return _with(event, changed) if changed else event


class _Search:
    """Detectors, and what tells in which texts they may find something.

    Pieces of text that stand in every finding are asked for, and patterns of detectors that have none: all in linear time.
    """

    def __init__(self, detectors: tuple[Detector, ...]) -> None:
        self._detectors = detectors
        self._hints: dict[str, list[int]] = {}
        self._rough: dict[re.Pattern[str], list[int]] = {}
        for rank, detector in enumerate(detectors):
            for hint in detector.hints:
                self._hints.setdefault(hint, []).append(rank)
            if not detector.hints:
                self._rough.setdefault(re.compile(detector.rough, re.ASCII), []).append(rank)
        self._pieces = [(pieces_of(pattern.pattern), pattern) for pattern in self._rough]

    def changed(self, cells: Sequence[_Cell], cut: dict[str, set[int]]) -> dict[_Cell, str]:
        """The new texts of those that change. ``cut``: by field the items that were cut, empty for all."""
        some = [(cell, _is_cut(cell, cut)) for cell in cells] if cut else [(cell, False) for cell in cells]
        suspects = self._suspects(some)
        if not suspects:
            return {}
        texts = [cell.text for cell, _ in suspects]
        found = spans(texts, self._detectors, [ends for _, ends in suspects], self._chosen)
        return {cell: redacted(cell.text, one) for (cell, _), one in zip(suspects, found, strict=True) if one}

    def _suspects(self, cells: Sequence[tuple[_Cell, bool]]) -> list[tuple[_Cell, bool]]:
        """Those worth a closer look: all texts are searched as one first, then each for what stands somewhere."""
        whole = _BETWEEN.join([cell.text for cell, _ in cells])
        lower = whole.lower()
        hints = [hint for hint in self._hints if hint in lower]
        rough = self._matching(whole, lower)
        if not hints and not rough and not _DISGUISED.search(whole):
            return [one for one in cells if one[1]]
        return [one for one in cells if one[1] or _may_hold(one[0].text, hints, rough)]

    def _chosen(self, texts: Sequence[str], _: Sequence[Detector]) -> Iterable[tuple[int, Iterable[int]]]:
        """For ranks of detectors the places of the texts in which each may find something."""
        chosen: dict[int, set[int]] = {}
        for place, text in enumerate(texts):
            lower = text.lower()
            for hint, ranks in self._hints.items():
                if hint in lower:
                    for rank in ranks:
                        chosen.setdefault(rank, set()).add(place)
            for pattern in self._matching(text, lower):
                for rank in self._rough[pattern]:
                    chosen.setdefault(rank, set()).add(place)
        return chosen.items()

    def _matching(self, text: str, lower: str) -> list[re.Pattern[str]]:
        """The patterns that match in a text, also given in lower case."""
        return [
            pattern
            for pieces, pattern in self._pieces
            if (not pieces or any(piece in lower for piece in pieces)) and pattern.search(text)
        ]


def _may_hold(text: str, hints: Sequence[str], rough: Sequence[re.Pattern[str]]) -> bool:
    lower = text.lower()
    return (
        _DISGUISED.search(text) is not None
        or any(hint in lower for hint in hints)
        or any(pattern.search(text) for pattern in rough)
    )


def _needed(library: str) -> None:
    try:
        importlib.import_module(library)
    except ImportError:
        raise ConfigurationError(
            f"redact=True (AUDITWIRE_REDACT) needs {library}, which is not installed: run "
            "pip install './connectors/sdk[redact]', or leave redaction to the processor"
        ) from None


def _cells(event: AuditEvent) -> Iterator[_Cell]:
    for name, kind in _TEXTS:
        value = getattr(event, name)
        if not value:
            continue
        if kind == "string":
            yield _Cell(name, 0, "", value)
        elif kind == "strings":
            yield from (_Cell(name, item, "item", text) for item, text in enumerate(value))
        else:
            for item, (key, text) in enumerate(value.items()):
                yield _Cell(name, item, "key", key)
                yield _Cell(name, item, "value", text)


def _cuts(marks: Iterable[str]) -> dict[str, set[int]]:
    """By field the items that marks such as ``prompt=70000`` and ``attributes[2]=70000`` name, empty for all."""
    cuts: dict[str, set[int]] = {}
    for mark in marks:
        name, _, item = mark.partition("=")[0].partition("[")
        item = item.rstrip("]")
        known = cuts.get(name)
        if not (item.isdecimal() and len(item) < 9):
            cuts[name] = set()
        elif known is None:
            cuts[name] = {int(item)}
        elif known:
            known.add(int(item))
    return cuts


def _is_cut(cell: _Cell, cuts: dict[str, set[int]]) -> bool:
    items = cuts.get(cell.name)
    return items is not None and (not items or not cell.part or cell.item in items)


def _with(event: AuditEvent, changed: dict[_Cell, str]) -> AuditEvent:
    """A copy of the event with some texts exchanged."""
    other = event.copy()
    by_field: dict[str, dict[tuple[int, str], str]] = {}
    for cell, text in changed.items():
        by_field.setdefault(cell.name, {})[cell.item, cell.part] = text
    for name, texts in by_field.items():
        value = getattr(event, name)
        if KINDS[name] == "string":
            setattr(other, name, texts[0, ""])
        elif KINDS[name] == "strings":
            setattr(other, name, [texts.get((item, "item"), text) for item, text in enumerate(value)])
        else:
            pairs: dict[str, str] = {}
            for item, (key, text) in enumerate(value.items()):
                new = texts.get((item, "key"), key)
                while new in pairs or (new != key and new in value):
                    new = f"{new}#{item}"
                pairs[new] = texts.get((item, "value"), text)
            setattr(other, name, pairs)
    return other

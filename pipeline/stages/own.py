"""Detectors that people write themselves: a pattern out of the common subset of RE2, Rust's regex and Python's `re`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from auditwire.redaction import DETECTORS, Detector
from pipeline.rules.patterns import Unusable, usable

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_BUILT_IN = frozenset(detector.name for detector in DETECTORS)


@dataclass(frozen=True)
class Own(Detector):
    """Its pattern is run by RE2 alone, so that no text takes long."""

    def hinted(self, text: str, lower: str, seen: dict[str, bool]) -> bool:
        """Always: the search itself is linear."""
        return True


def own(name: str, pattern: str, personal: bool = False) -> Detector:
    """A detector of somebody's own; ``personal``: it looks in columns of class content only.

    Raises Unusable, with a way out, for a pattern beyond the subset that docs/rules.md describes, one that finds the empty
    text, and a name that is none or a built-in detector's.
    """
    if not _NAME.fullmatch(name):
        raise Unusable(f"{name[:70]!r} is no name of a detector: write a to z, 0 to 9, _ and -, at most 64")
    if name in _BUILT_IN:
        raise Unusable(f"{name!r} is a built-in detector: choose another name")
    usable(pattern)
    return Own(name, (), finder=partial(_found, f"(?:{pattern})"), rough=f"(?:{pattern})", personal=personal)


def _found(pattern: str, text: str) -> Iterator[tuple[int, int]]:
    """RE2 puts marks around what it finds; they tell where it stands."""
    marked = pc.replace_substring_regex(pa.array([text.replace("\0", " ")]), pattern=pattern, replacement="\0\\0\0")[0].as_py()
    at = 0
    for number, piece in enumerate(marked.split("\0")):
        if number % 2 and piece:
            yield at, at + len(piece)
        at += len(piece)

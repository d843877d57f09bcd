"""One kind of text that is masked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

Spans = Iterable[tuple[int, int]]


@lru_cache(512)
def _rough(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


@dataclass(frozen=True)
class Detector:
    """One kind of text that is replaced by ``[REDACTED:<name>]``.

    ``hints`` are lower-case pieces of text of which one stands in every text with a finding, in any case of letters. ``rough``
    is a pattern, the same to RE2 and `re`, that matches in every text with a finding; columns are searched for it, or for
    the hints where there is none. ``pattern`` is for `re` with its flag ASCII; its group
    ``s`` is what goes, without one all of it; ``check`` sees each match and says whether it is one. ``finder`` gives stretches
    of a text in the place of both.
    ``exact``: a token that its form gives away even where a line breaks it. ``decode`` gives stretches of a text and what they
    say once decoded: they are masked as what the other detectors find in that, and `find` is not asked.
    """

    name: str
    hints: tuple[str, ...]
    pattern: str = ""
    check: Callable[[re.Match[str]], bool] | None = None
    finder: Callable[[str], Iterable[tuple[int, int]]] | None = None
    rough: str = ""
    personal: bool = False
    exact: bool = False
    decode: Callable[[str], Iterable[tuple[int, int, str]]] | None = None
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _group: int | str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        compiled = re.compile(self.pattern, re.ASCII)
        object.__setattr__(self, "_compiled", compiled)
        object.__setattr__(self, "_group", "s" if "s" in compiled.groupindex else 0)

    def hinted(self, text: str, lower: str, seen: dict[str, bool]) -> bool:
        """Whether there may be a finding in a text, also given in lower case. ``seen``: what is known of it, by ``rough``."""
        if self.hints:  # `re` may take long for what RE2 takes in linear time
            return any(hint in lower for hint in self.hints)
        if not self.rough:
            return True
        known = seen.get(self.rough)
        if known is None:
            known = seen[self.rough] = _rough(self.rough).search(text) is not None
        return known

    def find(self, text: str) -> Spans:
        """Where its findings stand in one reading of a text."""
        if self.finder is not None:
            return self.finder(text)
        group, check = self._group, self.check
        if check is None:
            return [match.span(group) for match in self._compiled.finditer(text)]
        return [match.span(group) for match in self._compiled.finditer(text) if check(match)]

    def whole(self) -> re.Pattern[str]:
        """The pattern, compiled."""
        return self._compiled

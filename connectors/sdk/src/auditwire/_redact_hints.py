"""Pieces of text of which one stands in whatever a pattern matches: cheaper to ask for than the pattern."""

from __future__ import annotations

import re

_FIRST = re.compile(
    r"(?:\\b|(?:\[[^\]]+\]|\(\?:[^()]*\))(?![*?{]))*(?P<piece>(?:[^\\\[\](){}.*+?|^$]|\\[.+]|\[[^\\^]\])+)(?P<times>[*+?{]?)"
)
_ANY_CASE = "(?i:"


def pieces_of(pattern: str) -> tuple[str, ...]:
    """In lower case: one of them stands in every text, in lower case, that holds a match. None where that is not easy to say.

    It understands patterns of `re` with its flag ASCII whose alternatives begin with characters, ``[…]``, ``(?:…)``, ``(?i:…)``
    or a boundary of a word.
    """
    pieces = list[str]()
    for one in _alternatives(pattern):
        if one.startswith(_ANY_CASE):
            inner = pieces_of(one[len(_ANY_CASE) : _closing(one)])
            if not inner or one[_closing(one) + 1 :][:1] in ("*", "?", "{"):
                return ()
            pieces += inner
            continue
        first = _FIRST.match(one)
        piece = _plain(first["piece"])[: -1 if first["times"] else None] if first else ""
        if not piece:
            return ()
        pieces.append(piece.lower())
    return tuple(dict.fromkeys(pieces))


def _plain(piece: str) -> str:
    """Characters without what makes them ordinary ones."""
    return re.sub(r"\\(.)|\[(.)\]", lambda match: match[1] or match[2], piece)


def _alternatives(pattern: str) -> list[str]:
    """What the outermost bars part."""
    parts, depth, at = list[str](), 0, 0
    for place, character, literal in _read(pattern):
        if literal:
            continue
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            parts.append(pattern[at:place])
            at = place + 1
    return [*parts, pattern[at:]]


def _closing(pattern: str) -> int:
    """Where the bracket ends with which the pattern begins."""
    depth = 0
    for place, character, literal in _read(pattern):
        if not literal:
            depth += (character == "(") - (character == ")")
            if depth == 0:
                return place
    return len(pattern)


def _read(pattern: str) -> list[tuple[int, str, bool]]:
    """Each character with its place, and whether a backslash or square brackets make it an ordinary one."""
    found, within, place = list[tuple[int, str, bool]](), False, 0
    while place < len(pattern):
        character = pattern[place]
        if character == "\\":
            found += [(place, character, True), (place + 1, pattern[place + 1], True)]
            place += 2
            continue
        found.append((place, character, within))
        within = (within and character != "]") or character == "["
        place += 1
    return found

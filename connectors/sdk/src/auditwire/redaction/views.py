"""How a text may be read: as it stands, and with what hides a secret undone; each reading knows the positions in the text.

Undone are JSON's escapes at any depth, entities of HTML, characters that nobody sees, colours of a terminal, broken lines and
percent escapes. Nothing here asks whether a text is JSON or a URL: an escape that is none hides nothing either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

INVISIBLE = "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
DASHES = "\u2010\u2011\u2012\u2013\u2212\uff0d"
DEPTH = 4  # levels of JSON in JSON

MASK = re.compile(r"\[REDACTED:[A-Za-z0-9_:.-]{1,80}\]")
_MASKED = "\ufffc"  # what an earlier redaction has masked is nothing to read

_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/", "'": "'"}
_JSON = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([nrtbf\"\\/']))")
_ODD = re.compile(
    rf"\x1b\[[0-9;]{{0,20}}[A-Za-z]|\\\r?\n[ \t]*|[{INVISIBLE}]+|[{SPACES}]|[{DASHES}]|&(?:amp|lt|gt|quot|apos|#x?[0-9A-Fa-f]{{1,4}});"
)
_HALVES = frozenset("89abcdefABCDEF")  # of the first byte of half a character
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_BREAK = re.compile(r"=?\r?\n[ \t]*(?:[>+|-][ \t]?)?")
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}


class View:
    """A reading of a text. ``places`` holds where each character began in the text; None: the text itself."""

    __slots__ = ("ends", "places", "text")

    def __init__(self, text: str, places: list[int] | None = None, ends: list[int] | None = None) -> None:
        self.text, self.places, self.ends = text, places, ends

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the text that this stretch of the reading stands for."""
        if self.places is None or self.ends is None:
            return start, end
        return self.places[start], self.ends[end - 1]

    def changed(self, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str]) -> View:
        """Another reading, with what the pattern finds exchanged; itself where it finds nothing."""
        parts: list[str] = []
        places: list[int] = []
        ends: list[int] = []
        own = self.places if self.places is not None else range(len(self.text))
        own_ends = self.ends if self.ends is not None else range(1, len(self.text) + 1)
        at = 0
        for match in pattern.finditer(self.text):
            start, end = match.span()
            new = by(match)
            if new == match[0]:
                continue
            parts += (self.text[at:start], new)
            places += own[at:start]
            ends += own_ends[at:start]
            places += [own[start]] * len(new)
            ends += [own_ends[end - 1]] * len(new)
            at = end
        if not parts:
            return self
        parts.append(self.text[at:])
        places += own[at:]
        ends += own_ends[at:]
        return View("".join(parts), places, ends)


def _plain(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    if code is None:
        return _SHORT[match[3]]
    return match[0] if code[0] in "dD" and code[1:2] in _HALVES and len(code) == 4 else chr(int(code, 16))


def _seen(match: re.Match[str]) -> str:
    """What a reader sees of it."""
    found = match[0]
    if found[0] in SPACES or found[0] in DASHES:
        return " " if found[0] in SPACES else "-"
    if found[0] != "&":
        return ""
    return _entity(found) if found[1] == "#" else _ENTITIES.get(found, found)


def _entity(found: str) -> str:
    digits = found[2:-1]
    base = 16 if digits[0] in "xX" else 10
    try:
        code = int(digits.lstrip("xX"), base)
    except ValueError:
        return found
    return found if not code or 0xD800 <= code <= 0xDFFF else chr(code)


def _decoded(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(match[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return match[0]


_ASCII_TELLS = re.compile(r"[\\\x1b&]")
_TELLS = re.compile(rf"[\\\x1b&{INVISIBLE}{SPACES}{DASHES}]")


def readable(text: str) -> View:
    """The text as a reader sees it: without escapes, colours, invisible characters and lines that a backslash breaks."""
    view = View(text)
    if "[REDACTED:" in text:
        view = view.changed(MASK, lambda _: _MASKED)
    if not (_ASCII_TELLS if text.isascii() else _TELLS).search(text):
        return view
    view = view.changed(_ODD, _seen)
    for _ in range(DEPTH):
        if "\\" not in view.text:
            break
        before = view
        view = view.changed(_JSON, _plain).changed(_ODD, _seen)
        if view is before:
            break
    return view


def unquoted(view: View) -> View:
    """The reading without percent escapes; itself where there are none."""
    return view.changed(_PERCENT, _decoded) if "%" in view.text else view


def joined(view: View) -> View:
    """The reading with its lines, soft breaks of mail and prefixes of diffs and quotations included, made one."""
    return view.changed(_BREAK, lambda _: "") if "\n" in view.text else view


def readings(text: str) -> Iterator[View]:
    """The readings in which whole secrets are searched: at most two."""
    view = readable(text)
    yield view
    plain = unquoted(view)
    if plain is not view:
        yield plain

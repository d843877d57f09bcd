"""What of a secret is still there to be read in a redacted text, in its decoded forms too."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any
from urllib.parse import unquote

MASK = re.compile(r"\[REDACTED:[^\[\]\s]{1,60}\]")
GAP = "\0"
"""Stands where something was taken out, so that no piece is found across it."""

_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\\u001b\[[0-9;]*[A-Za-z]")
_BROKEN = re.compile(r"(?:\\|=)?\r?\n[ \t]*")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def unescaped(text: str) -> str:
    """JSON's escapes undone wherever they stand, without asking whether the text is JSON."""
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _SHORT.get(m[2], m[2]), text)


def _base64_read(text: str) -> str:
    """The readable ones among the runs that may be base64, one a line."""
    out = []
    for run in _BASE64.findall(text):
        body = run.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            read = base64.b64decode(body[: len(body) // 4 * 4] if len(body) % 4 == 1 else body + "=" * (-len(body) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        out.append(read)
    return "\n".join(out)


def _forms(text: str) -> Iterator[str]:
    """The text as it is and as somebody may read it: escapes undone up to three times, encodings twice, broken lines joined."""
    yield text
    steps = [_COLOUR.sub("", _INVISIBLE.sub("", text))]
    while "\\" in steps[-1] and len(steps) <= 3:
        steps.append(_COLOUR.sub("", _INVISIBLE.sub("", unescaped(steps[-1]))))
    for form in steps:
        yield form
        yield _BROKEN.sub("", form)
        if "%" in form:
            yield (decoded := unquote(form))
            yield unquote(decoded)
        if "&" in form:
            yield html.unescape(form)
        yield _base64_read(form)


def compact(text: str) -> str:
    """Letters and digits only: what is left of a number without its separators."""
    return "".join(c for c in text if c.isalnum() or c == GAP)


class Readable:
    """All forms of a text, searched together."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.forms = {form for text in texts for form in _forms(text) if form}
        self.compact = {compact(form) for form in self.forms}
        self._pieces: dict[tuple[bool, int], set[str]] = {}

    def has(self, piece: str, packed: bool) -> bool:
        return any(piece in form for form in (self.compact if packed else self.forms))

    def pieces(self, size: int, packed: bool) -> set[str]:
        """All pieces of this size: cheaper than `has` where many are asked for."""
        if (packed, size) not in self._pieces:
            forms = self.compact if packed else self.forms
            self._pieces[packed, size] = {form[i : i + size] for form in forms for i in range(len(form) - size + 1)}
        return self._pieces[packed, size]


def least_piece(length: int) -> int:
    """How long a piece of a secret of this length must be to count as a leak: half of it, or 8 characters from 12 on."""
    return 8 if length >= 12 else (length + 1) // 2


def pieces(secret: dict[str, Any], original: str) -> Iterator[tuple[str, bool]]:
    """The pieces that must be gone, of the secret as it stands and of its own value; True: without separators."""
    for source in {original[secret["start"] : secret["end"]], secret["decoded"]}:
        own = reduce(lambda text, part: text.replace(part, GAP), secret.get("public", ()), source)
        for packed in (False, True):
            text = compact(own) if packed else own
            size = least_piece(len(text.replace(GAP, "")))
            for at in range(len(text) - size + 1):
                piece = text[at : at + size]
                if size and GAP not in piece and piece.strip():
                    yield piece, packed


def cut_out(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with a gap in place of each span."""
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + GAP + text[end:]
    return text


def survives(piece: tuple[str, bool], text: Readable, many: bool) -> bool:
    part, packed = piece
    return part in text.pieces(len(part), packed) if many else text.has(part, packed)


def leaked(entry: dict[str, Any], redacted: str) -> list[bool]:
    """For each secret of a corpus line whether a piece of it survives.

    A piece that stands in the rest of the original text, or in another secret, tells nothing about this one: it does not count.
    """
    original, secrets = entry["text"], entry["secrets"]
    rest = Readable([cut_out(original, [(s["start"], s["end"]) for s in secrets])])
    after = Readable([MASK.sub(GAP, redacted)])
    out = []
    for secret in secrets:
        wanted = set(pieces(secret, original))
        many = len(wanted) > 150
        found = {p for p in wanted if survives(p, after, many) and not survives(p, rest, many)}
        if found:
            others = {
                t for s in secrets if s["decoded"] != secret["decoded"] for t in (s["decoded"], original[s["start"] : s["end"]])
            }
            elsewhere = Readable(others)
            found = {p for p in found if not survives(p, elsewhere, many)}
        out.append(bool(found))
    return out

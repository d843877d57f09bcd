"""How secrets get into texts in another shape than their own: broken lines, invisible characters, escapes, glue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from tests.corpus.draw import Draw
from tests.corpus.marks import HARMLESS, Line, Mark, Part

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


def _changed(mark: Mark, text: str) -> list[Part]:
    return [replace(mark, text=text, disguised=True)]


def _split(d: Draw, text: str, joint: str) -> str:
    at = d.number(len(text) * 3 // 10, len(text) * 7 // 10)
    return text[:at] + joint + text[at:]


def invisible(d: Draw, mark: Mark) -> list[Part]:
    text = mark.text
    for _ in range(d.number(1, 2)):
        text = _split(d, text, d.pick(INVISIBLE))
    return _changed(mark, text)


def broken(d: Draw, mark: Mark) -> list[Part]:
    """A line break in the middle, as terminals, mails and people with a backslash make it."""
    return _changed(mark, _split(d, mark.text, d.pick(["\\\n", "\n", "\\\n    ", "=\n", "\n    "])))


def glued(d: Draw, mark: Mark) -> list[Part]:
    """A word directly before or behind. Not where the token has no mark of its own: nobody could tell where it begins."""
    if mark.group == "formatted" and not mark.public:
        return invisible(d, mark)
    if d.chance(0.7):
        return [d.pick(["old", "x", "token_", "new", "value", "key", "_", "ID"]), mark]
    return [mark, d.pick(["_old", "_EOF", "_v2"])]


def coloured(d: Draw, mark: Mark) -> list[Part]:
    """What a terminal's colours leave in a captured output. Not in the middle of a link."""
    if mark.kind.startswith(("url_", "connection_")):
        return invisible(d, mark)
    return [d.pick(["\x1b[31m", "\x1b[1;32m", "\x1b[01;31m\x1b[K"]), mark, "\x1b[0m"]


def percent(d: Draw, mark: Mark) -> list[Part]:
    """In a link within a link; without special characters some letters are encoded for no reason."""
    text = quote(mark.text, safe="")
    if text == mark.text:
        at = d.number(1, len(text) - 2)
        text = f"{text[:at]}%{ord(text[at]):02X}{text[at + 1 :]}" if text[at].isascii() else quote(text)
    return _changed(mark, text)


def unicode_escaped(d: Draw, mark: Mark) -> list[Part]:
    """JSON may write any character as \\uXXXX; some writers do so for a dash, a plus, a quote, an at sign."""
    odd = [c for c in "-_+&='@/.<>" if c in mark.text]
    if not odd:
        return invisible(d, mark)
    c = d.pick(odd)
    return _changed(mark, mark.text.replace(c, f"\\u{ord(c):04x}" if c != "/" else "\\/"))


def odd_separators(d: Draw, mark: Mark) -> list[Part]:
    """No-break and thin spaces, no-break hyphens where a space or a hyphen is usual; or a dot."""
    if not any(c in " -" for c in mark.text):
        return invisible(d, mark)
    odd = d.pick("\u00a0\u202f\u2009\u2011\u2013")
    return _changed(mark, "".join(odd if c in " -" else c for c in mark.text))


Way = Callable[[Draw, Mark], list[Part]]
_WAYS: dict[str, tuple[Way, ...]] = {
    "formatted": (invisible, broken, glued, glued, coloured, percent, unicode_escaped),
    "context": (coloured, unicode_escaped, invisible),
    "personal": (odd_separators, odd_separators, invisible, percent, coloured, glued),
}
_SHARE = {"formatted": 0.22, "context": 0.08, "personal": 0.17}
# Where a way of writing comes about; the others are found in every form.
_FORMS: dict[Way, str] = {
    broken: "shell prose log file trace code env",
    coloured: "shell log trace file table",
    percent: "http log shell prose json trace",
    unicode_escaped: "json http log code trace",
}


def disguised(d: Draw, form: str, line: Line) -> Line:
    """Now and then a secret of the line is disguised; keys in files and what is disguised already stay as they are."""
    out: Line = []
    for part in line:
        if isinstance(part, str) or part.group == HARMLESS or part.disguised or part.text != part.own or "\n" in part.text:
            out.append(part)
        elif d.chance(_SHARE[part.group]):
            way = d.pick([w for w in _WAYS[part.group] if form in _FORMS.get(w, form).split()])
            if way is broken and len(part.text) < 20:
                way = glued
            out.extend(way(d, part))
        else:
            out.append(part)
    return out

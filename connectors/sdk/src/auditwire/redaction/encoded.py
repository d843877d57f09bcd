"""Text that stands in another in base64: where, and what it says. Only what decodes to text is read, and only once."""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator

from auditwire.redaction.detector import Detector

SHORTEST = 16  # characters of base64 that are read, 12 of what they say

# Four characters of base64 that say three of ASCII which stand in text; hashes, ids and words have few of them in a row.
_FOUR = "[CDGI-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
ROUGH = f"(?:{_FOUR}){{3}}"
_ROUGH = re.compile(ROUGH)


def _runs(one: str) -> re.Pattern[str]:
    """In one line, or in several as mail and PEM break them: all but the last are long. ``one``: a character of it."""
    return re.compile(rf"{one}{{{SHORTEST},}}+(?:(?<={one}{{40}})\r?\n[ \t>|]{{0,40}}+{one}++)*+={{0,2}}")


_RUNS = (_runs("[A-Za-z0-9+/]"), _runs("[A-Za-z0-9_-]"))
_LINE = re.compile(rf"[A-Za-z0-9+/_-]{{{SHORTEST},}}+={{0,2}}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_STANDARD = str.maketrans({"-": "+", "_": "/", **dict.fromkeys("=\r\n\t >|")})
_UTF_8 = codecs.getincrementaldecoder("utf-8")


def decoded(text: str) -> Iterator[tuple[int, int, str]]:
    """Where text stands in base64 or base64url, and what it says. Takes time in proportion to the text."""
    read = set[tuple[int, int]]()
    for runs in _RUNS:
        for match in runs.finditer(text):
            if match.span() not in read and _ROUGH.search(match[0]):
                read.add(match.span())
                yield from _of_run(match[0], match.start())


def _of_run(run: str, start: int) -> Iterator[tuple[int, int, str]]:
    """Its lines together; else without the last, which may be what follows; else each by itself."""
    if said := _said(run):
        yield start, start + len(run), said
        return
    last = run.rfind("\n")
    if last < 0:
        return
    head = run[:last].rstrip()
    if said := _said(head):
        yield start, start + len(head), said
    for line in _LINE.finditer(run, last if said else 0):
        if _ROUGH.search(line[0]) and (alone := _said(line[0])):
            yield start + line.start(), start + line.end(), alone


def _said(run: str) -> str:
    """What it says, empty where that is no text. Of a run that was cut as far as it goes."""
    body = run.translate(_STANDARD)
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        text = _UTF_8().decode(binascii.a2b_base64(body + "=" * (-len(body) % 4)))
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return "" if _CONTROL.search(text) else text


BASE64 = Detector("base64", (), rough=ROUGH, decode=decoded)

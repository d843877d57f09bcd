"""Private keys: PEM, OpenSSH, PGP, PuTTY; with prefixes on their lines, in one line, cut off, in base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from auditwire.redaction.detector import Detector

_LINE = r"-{4,5} ?%s (?:[A-Z0-9]{1,20} ){0,5}PRIVATE KEY(?: BLOCK)? ?-{0,5}"
_BEGIN = re.compile(_LINE % "BEGIN" + r"|Private-Lines: ?[0-9]+|-{4,5} ?BEGIN (?:[A-Z0-9]{1,20} ){0,5}PRIV[A-Z ]{0,14}\Z")
_END = re.compile(_LINE % "END")


def _body_end(text: str, start: int) -> int:
    """Where the key ends that has no last line: behind what looks like lines of it."""
    end = at = start
    before = text.rfind("\n", 0, start) + 1
    margin = max(0, text.find("-----BEGIN", before) - before) + 4
    while at < len(text):
        stop = text.find("\n", at)
        stop = len(text) if stop < 0 else stop
        line = text[at:stop]
        if not line.strip() and end > start + 80 and not text[stop : stop + 1]:
            break
        run = _longest(line)
        if line.strip(" \t\r>+|-#*\"',"):
            if run is None:
                if at > start and len(line) > margin:
                    break
                if stop == len(text):
                    return stop
            elif stop == len(text):
                return at + run[1] if run[1] < len(line.rstrip()) - 3 else stop
            else:
                end = at + run[1]
        elif stop == len(text):
            return stop
        at = stop + 1
    return end


_RUN = re.compile(r"[A-Za-z0-9+/]{12,}={0,2}(?: [A-Za-z0-9+/]{12,}={0,2})*")
_HEADER = re.compile(r"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|MessageID|Private-MAC): .*")
_TAIL = re.compile(r"^[\s>+|\"'#*\d:-]*(-{0,5}(?:E(?:N(?:D.*)?)?)?|[A-Za-z0-9+/=]{1,75})[\"',\\\s]*$")


def _longest(line: str) -> tuple[int, int] | None:
    """The stretch of a line that belongs to a key."""
    if match := _HEADER.search(line):
        return match.span()
    found = None
    for match in _RUN.finditer(line):
        if found is None or match.end() - match.start() > found[1] - found[0]:
            found = match.span()
    if found is not None and (
        found[1] - found[0] >= 40 or not line[found[1] :].strip(" \t\r\"',+\\;)") or line[found[1]] in "<\"'`"
    ):
        return found
    if match := _TAIL.match(line):
        return match.span(1)
    return None


def _keys(text: str) -> Iterator[tuple[int, int]]:
    at, ends = 0, True
    while begin := _BEGIN.search(text, at):
        start, body = begin.span()
        end = _END.search(text, body) if ends else None
        ends = end is not None
        if end is not None:
            again = _BEGIN.search(text, body, end.start())
            at = end.end() if again is None else min(_body_end(text[: again.start()], body), again.start())
        else:
            at = _body_end(text, body)
        at = max(at, body)
        yield start, at


_ENCODED = re.compile(r"(?<![A-Za-z0-9+/])LS0tLS1CRUdJTi[A-Za-z0-9+/\s]{20,}={0,2}")


def _private(match: re.Match[str]) -> bool:
    head = re.sub(r"\s", "", match[0][:80])
    try:
        return b"PRIV" in base64.b64decode(head[: len(head) // 4 * 4])
    except binascii.Error:
        return False


KEYS: tuple[Detector, ...] = (
    Detector("private_key", ("private key", "private-lines", "begin "), finder=_keys),
    Detector("private_key", ("ls0tls1crudjti",), _ENCODED.pattern, check=_private),
)

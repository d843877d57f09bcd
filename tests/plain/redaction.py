"""Redaction of one event, as docs/redaction.md tells it, with the table of detectors and `re`."""

from __future__ import annotations

import re
from typing import Any

from pipeline.stages.detectors import CUT, DETECTORS, Detector
from schemas import event_fields, fields_of_class

IDENTITY = ("event_id", "tenant_id", "producer_id")
WRITTEN = "processed_"
SPACE = r"\t\n\f\r "
FOLDED = {"k": "k\u212a", "s": "s\u017f"}  # letters beyond ASCII that RE2 takes for these where case does not matter
_TOKEN = re.compile(r"\\.|\(\?[a-z]*:|.", re.DOTALL)
_KEPT = "\0"  # no validated text holds one


def spelled(pattern: str) -> str:
    """A pattern of RE2 as `re` (with its flag ASCII) reads it: the end of the text, spaces, letters in any case."""
    out, groups, within = [], [False], False
    for token in _TOKEN.findall(pattern):
        new = {r"\z": r"\Z", r"\s": SPACE if within else f"[{SPACE}]", r"\S": f"[^{SPACE}]"}.get(token, token)
        if token == "[":
            within = True
        elif token == "]":
            within = False
        elif token.startswith("(") and not within:
            groups.append(groups[-1] or "i" in token)
        elif token == ")" and not within:
            groups.pop()
        elif groups[-1] and token.lower() in FOLDED:
            new = FOLDED[token.lower()] if within else f"[{FOLDED[token.lower()]}]"
        out.append(new)
    return "".join(out)


def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(spelled(pattern), re.ASCII)


PATTERNS = [(detector, compiled(detector.pattern)) for detector in DETECTORS]
CUT_PATTERNS = [(compiled(form.pattern), form.replacement) for form in CUT]
KEEP = {d.name: compiled("|".join(f"({before})@({after})" for before, after in d.keep)) for d in DETECTORS if d.keep}


def masked(text: str, personal: bool) -> str:
    """The text without what the detectors find; e-mail addresses too where ``personal``."""
    for detector, pattern in PATTERNS:
        if personal or not detector.personal:
            text = _replaced(text, detector, pattern)
    return text


def _replaced(text: str, detector: Detector, pattern: re.Pattern[str]) -> str:
    if detector.keep:
        text = KEEP[detector.name].sub(_hidden, text)
    return pattern.sub(detector.replacement, text).replace(_KEPT, "@")


def _hidden(look_alike: re.Match[str]) -> str:
    """A look-alike, its ``@`` put out of sight."""
    parts = [part for part in look_alike.groups() if part is not None]
    return _KEPT.join(parts)


def unescaped(text: str) -> str:
    """The text with JSON's escapes of ASCII characters made plain, at any depth of nesting.

    ``n`` backslashes in front of ``u0022``: a quote needs its own backslash at each depth, and so does a backslash itself.
    """
    text = re.sub(r"(\\+)u0022", lambda m: "\\" * (2 * len(m[1]) - 1) + '"', text)
    text = re.sub(r"(\\+)u005[cC]", lambda m: "\\" * (2 * len(m[1])), text)
    return re.sub(r"\\+u00([2-7][0-9A-Fa-f])", lambda m: chr(int(m[1], 16)), text)


def redacted(text: str, personal: bool, cut: bool) -> str:
    """One text. ``cut``: its end may be half a secret."""
    if not text:
        return text
    readable = unescaped(text)
    clean = masked(readable, personal)
    stored = text if clean == readable else clean
    for pattern, replacement in CUT_PATTERNS if cut else ():
        stored = pattern.sub(replacement, stored)
    return stored


def cuts(marks: list[str], column: str, items: int) -> set[int]:
    """Which of the column's items (one, 0, of a text) these entries of truncated_fields name."""
    found: set[int] = set()
    for mark in marks:
        name, _, item = mark.partition("=")[0].partition("[")
        if name == column:
            number = item.rstrip("]")
            found |= {int(number)} if re.fullmatch(r"\d{1,8}", number) else set(range(items))
    return found


def redact(event: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The event without secrets, and the names of the columns that changed."""
    after, content, marks = dict(event), fields_of_class("content"), event["truncated_fields"]
    for name in event_fields():
        value, personal = event[name], name in content
        if name in IDENTITY or name.startswith(WRITTEN):
            continue
        if isinstance(value, str):
            after[name] = redacted(value, personal, any(m.partition("=")[0].partition("[")[0] == name for m in marks))
        elif isinstance(value, list):
            cut = cuts(marks, name, len(value))
            after[name] = [_item(item, personal, place in cut) for place, item in enumerate(value)]
    return after, [name for name in event_fields() if after[name] != event[name]]


def _item(item: Any, personal: bool, cut: bool) -> Any:
    """An item of a list: a text, or an attribute, whose key is a fact."""
    if isinstance(item, str):
        return redacted(item, personal, cut)
    return {"key": redacted(item["key"], personal=False, cut=cut), "value": redacted(item["value"], personal, cut)}

"""Redaction of one event, as docs/redaction.md tells it: every detector over every text, without hints and columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from auditwire.redaction import DETECTORS, Detector
from auditwire.redaction import redacted as masked
from auditwire.redaction.engine import all_of, spans
from schemas import event_fields, fields_of_class

IDENTITY = ("event_id", "tenant_id", "producer_id")
WRITTEN = "processed_"


def redacted(text: str, personal: bool, cut: bool, detectors: Sequence[Detector] = DETECTORS) -> str:
    """One text. ``personal``: personal data goes too. ``cut``: its end may be half a secret."""
    searching = [detector for detector in detectors if personal or not detector.personal]
    return masked(text, spans([text], searching, [cut], all_of)[0])


def cuts(marks: list[str], column: str, items: int) -> set[int]:
    """Which of the column's items (one, 0, of a text) these entries of truncated_fields name."""
    found: set[int] = set()
    for mark in marks:
        name, _, item = mark.partition("=")[0].partition("[")
        if name == column:
            number = item.rstrip("]")
            found |= {int(number)} if re.fullmatch(r"\d{1,8}", number) else set(range(items))
    return found


def redact(event: dict[str, Any], detectors: Sequence[Detector] = DETECTORS) -> tuple[dict[str, Any], list[str]]:
    """The event without secrets, and the names of the columns that changed."""
    after, content, marks = dict(event), fields_of_class("content"), event["truncated_fields"]
    for name in event_fields():
        value, personal = event[name], name in content
        if name in IDENTITY or name.startswith(WRITTEN):
            continue
        if isinstance(value, str):
            after[name] = redacted(value, personal, any(m.partition("=")[0].partition("[")[0] == name for m in marks), detectors)
        elif isinstance(value, list):
            cut = cuts(marks, name, len(value))
            after[name] = [_item(item, personal, place in cut, detectors) for place, item in enumerate(value)]
    return after, [name for name in event_fields() if after[name] != event[name]]


def _item(item: Any, personal: bool, cut: bool, detectors: Sequence[Detector]) -> Any:
    """An item of a list: a text, or an attribute, whose key is a fact."""
    if isinstance(item, str):
        return redacted(item, personal, cut, detectors)
    key, value = (
        redacted(item["key"], personal=False, cut=cut, detectors=detectors),
        redacted(item["value"], personal, cut, detectors),
    )
    return {"key": key, "value": value}

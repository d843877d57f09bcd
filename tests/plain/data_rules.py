"""What rules do to one event, written as docs/rules.md says it, one event and one field at a time. Findings are left out."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

CONTENT = "message target_details prompt response tool_args tool_result reason error_message attributes".split()  # noqa: SIM905
PERSONAL = "actor_id actor_name human_principal_id human_principal_name delegation_chain ip_address approver_id".split()  # noqa: SIM905
LEVELS = {"metadata": CONTENT, "request": ["response", "tool_result", "error_message"], "request_response": []}
STRENGTH = ["drop", "mask", "hash", "cut"]
Document = Mapping[str, Any]


def ruled(event: dict[str, Any], rules: Mapping[str, Sequence[Document]], key: bytes) -> tuple[dict[str, Any], set[str]]:
    """The event afterwards, and what it says was changed. A document's ``when`` is (field, value), None for every event."""
    after, entries = dict(event), set[str]()
    level = next(matching(event, rules["capture"]), None)
    dropped = LEVELS[level["level"]] if level else []
    redactions = sorted(matching(event, rules["redaction"]), key=lambda rule: STRENGTH.index(rule["action"]))
    for column in [*CONTENT, *PERSONAL]:
        rule = next((rule for rule in redactions if column in _columns(rule["fields"])), None)
        if column in dropped and level:
            rule = {"name": level["name"], "action": "drop"}
        if rule is None:
            continue
        after[column] = _acted(event[column], rule, key)
        if after[column] != event[column]:
            entries.add(f"{column}=rule:{rule['name']}")
            gone = rule["action"] != "cut"
            after["content_length"] = None if gone and column in CONTENT else after["content_length"]
            after["truncated_fields"] = [m for m in after["truncated_fields"] if not (gone and m.startswith(f"{column}="))]
    kept = next(matching(event, rules["retention"]), None)
    after["processed_retention_class"] = kept["class"] if kept else event["processed_retention_class"]
    return after, entries


def matching(event: Mapping[str, Any], rules: Sequence[Document]) -> Any:
    """The rules that are for the event, in the order in which they are asked."""
    own = [rule for rule in rules if rule.get("tenant") == event["tenant_id"]]
    every = [rule for rule in rules if not rule.get("tenant")]
    return (rule for rule in [*own, *every] if rule["when"] is None or event[rule["when"][0]] == rule["when"][1])


def _columns(fields: Sequence[str]) -> list[str]:
    return [column for field in fields for column in {"content": CONTENT, "personal": PERSONAL}.get(field, [field])]


def _acted(value: Any, rule: Document, key: bytes) -> Any:
    if rule["action"] == "drop":
        return [] if isinstance(value, list) else ""
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            return [{**pair, "value": _text(pair["value"], rule, key)} for pair in value]
        return [_text(item, rule, key) for item in value]
    return _text(value, rule, key)


def _text(text: str, rule: Document, key: bytes) -> str:
    actions: dict[str, Callable[[], str]] = {
        "mask": lambda: f"[REDACTED:{rule['name']}]",
        "hash": lambda: f"[HASH:{hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]}]",
        "cut": lambda: text[: rule["length"]],
    }
    return actions[rule["action"]]() if text else ""

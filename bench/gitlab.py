"""GitLab audit events for load: payloads as GitLab streams them, and the event id the receiver gives each."""

from __future__ import annotations

from typing import Any

from connectors.sources import gitlab
from connectors.sources.fields import Origin

KINDS = ("repository_git_operation", "ai_tool_invoked", "ai_llm_response_received", "duo_session_started")


TEXT = "Refactor the import of the module, then run the tests of the changed files again and report what they said. "


def event(seed: int, number: int, size: int = 0) -> dict[str, Any]:
    """One payload; the same arguments give the same payload, as a retry of GitLab does. ``size``: about so many bytes of JSON."""
    kind = KINDS[number % len(KINDS)]
    details: dict[str, Any] = {"author_name": "Ana Example", "target_details": f"session {number}"}
    if kind == "repository_git_operation":
        details["custom_message"] = {"protocol": "ssh", "action": "git-upload-pack"}
    elif kind == "ai_tool_invoked":
        details |= {"workflow_id": str(number // 8), "tool_name": "read_file", "tool_args": {"path": f"src/{number}.py"}}
    elif kind == "ai_llm_response_received":
        details |= {
            "workflow_id": str(number // 8),
            "model_name": "claude-sonnet",
            "response_content": "done",
            "prompt_token_count": number,
        }
    if size:
        field = "response_content" if kind == "ai_llm_response_received" else "target_details"
        details[field] += " " + (TEXT * (size // len(TEXT)))[: max(0, size - 560)]
    return {
        "id": f"{seed}-{number}",
        "author_id": 7 if number % 5 else -3,
        "author_name": "Ana Example",
        "created_at": f"2026-03-{1 + number % 28:02d}T05:43:53.{number % 1000:03d}Z",
        "details": details,
        "entity_id": 29,
        "entity_type": "Project",
        "entity_path": "example-group/example-project",
        "event_type": kind,
        "ip_address": "192.0.2.7",
        "target_id": 29,
        "target_type": "Project",
        "target_details": "example-project",
    }


def event_id(payload: dict[str, Any]) -> str:
    """What the receiver makes of it for tenant ``demo`` and source ``gitlab``."""
    found: str = gitlab.event(payload, Origin("demo", "gitlab", b""))["event_id"]
    return found

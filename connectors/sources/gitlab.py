"""GitLab audit event streaming: classic audit events, the eleven AI events and session events of Duo.

One element of a body (object, or item of an array) is one event. Its type stands in the body; older ones name it in the header
``X-Gitlab-Audit-Event-Type`` only. ``details`` repeats fields of the envelope; an equal repetition is not kept twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from connectors.sources.attributes import attributes_of
from connectors.sources.fields import (
    GITLAB_IDS,
    Fields,
    Json,
    Origin,
    Unmappable,
    as_text,
    identify,
    micros,
    put,
    source_id,
    with_length,
)

WORKFLOW = "Ai::DuoWorkflows::Workflow"
ENVELOPE = MappingProxyType(
    {
        "author_name": "actor_name",
        "ip_address": "ip_address",
        "entity_type": "entity_type",
        "entity_id": "entity_id",
        "entity_path": "entity_path",
        "target_type": "target_type",
        "target_id": "target_id",
        "target_details": "target_details",
    }
)
# Negative authors are no users: https://docs.gitlab.com names deploy tokens and keys; the rest is GitLab itself.
SERVICE_AUTHORS = frozenset({-2, -3})
SERVICE_CLASSES = ("DeployKey", "DeployToken", "RunnerToken", "AccessToken", "ServiceAccount")


@dataclass(frozen=True)
class Kind:
    """What a type of GitLab means: our name, what is known from the type alone, and columns for its ``details``."""

    name: str
    activity: str = ""
    outcome: str = ""
    status: str = ""
    columns: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))


def _kind(name: str, activity: str = "", outcome: str = "", status: str = "", **columns: str) -> Kind:
    return Kind(name, activity, outcome, status, MappingProxyType(columns))


MODEL = {"model_name": "model_name", "latency_ms": "duration_ms"}
ERROR = {"error_type": "error_type", "error_message": "error_message"}
AI_KINDS: dict[str, Kind] = {
    "ai_agent_session_started": _kind(
        "session.started", "execute", status="running", workflow_type="flow_definition", goal="prompt"
    ),
    "ai_agent_session_ended": _kind("session.ended", status="ended", error_message="error_message"),
    "ai_user_input_received": _kind("user.input", content="prompt"),
    "ai_user_output_displayed": _kind("user.output", content="response"),
    "ai_llm_input_sent": _kind("model.requested", "execute", prompt_content="prompt", tools_bound="tools_offered", **MODEL),
    "ai_llm_response_received": _kind(
        "model.responded",
        "execute",
        "success",
        response_content="response",
        prompt_token_count="input_tokens",  # noqa: S106
        completion_token_count="output_tokens",  # noqa: S106
        finish_reason="reason",
        **MODEL,
    ),
    "ai_llm_request_failed": _kind("model.failed", "execute", "error", **MODEL, **ERROR),
    "ai_tool_invoked": _kind("tool.invoked", "execute", tool_name="tool_name", tool_args="tool_args"),
    "ai_tool_response_received": _kind(
        "tool.responded", "execute", "success", tool_name="tool_name", response_content="tool_result", latency_ms="duration_ms"
    ),
    "ai_tool_execution_failed": _kind("tool.failed", "execute", "error", tool_name="tool_name", **ERROR),
    "ai_tool_execution_retried": _kind("tool.retried", "execute", tool_name="tool_name", previous_error="error_message"),
}
KINDS: dict[str, Kind] = {
    **AI_KINDS,
    "duo_session_created": Kind("session.created", "create", "success", "created"),
    "duo_session_started": Kind("session.started", "execute", "success", "running"),
    "duo_session_finished": Kind("session.ended", "", "success", "finished"),
    "duo_session_failed": Kind("session.failed", "", "failure", "failed"),
    "duo_session_stopped": Kind("session.stopped", "", "", "stopped"),
    "duo_session_resumed": Kind("session.resumed", "execute", "success", "running"),
    "duo_tool_call_approved": _kind("approval.approved", "", "success", tool_name="tool_name", tool_call_id="tool_call_id"),
    "repository_git_operation": Kind("repository.git_operation"),
}
ENDINGS = MappingProxyType(
    {"finished": "success", "completed": "success", "success": "success", "failed": "failure", "error": "error"}
)
GIT_ACTIVITIES = MappingProxyType({"git-upload-pack": "read", "git-upload-archive": "read", "git-receive-pack": "update"})
# Facts that newer AI events may carry in `details` under the very names of our columns.
OWN_NAMES = (
    "agent_id",
    "agent_name",
    "agent_version",
    "agent_type",
    "parent_session_id",
    "flow_definition",
    "trace_id",
    "model_provider",
    "tool_server",
    "tool_version",
    "tool_category",
    "tool_call_id",
)


def event(payload: Json, origin: Origin, header_type: str = "") -> Fields:
    """Fields of the event for one element of a body; absent ones are left out. Raises Unmappable: quarantine the element."""
    if not isinstance(payload, dict):
        raise Unmappable("not_an_object", "an element of the body is no JSON object")
    rest = dict(payload)
    details = dict(rest.pop("details")) if isinstance(rest.get("details"), dict) else {}
    fields = identify(origin, GITLAB_IDS, payload_for_id(payload, header_type), own_id(rest))
    fields["occurred_at"] = micros(rest.pop("created_at", None), "created_at")
    kind = _type(fields, rest, details, header_type)
    _envelope(fields, rest, details)
    _author(fields, rest, details)
    _workflow(fields, rest, details)
    sent_length = from_details(fields, kind, rest, details)
    _meaning(fields, kind, details)
    attributes = attributes_of({**rest, "details": details} if details else rest)
    if attributes:
        fields["attributes"] = attributes
    return with_length(fields, sent_length)


def payload_for_id(payload: dict[str, Json], header_type: str) -> Json:
    """What a missing id is derived from: the element, and the header's type as it is part of the event."""
    return [header_type, payload]


def own_id(rest: dict[str, Json]) -> str:
    """GitLab's id, taken out of ``rest``; AI events carry it twice."""
    first = source_id(rest.pop("id", None), "id")
    second = source_id(rest.get("cloud_event_id"), "cloud_event_id")
    if second in {first, ""} or not first:
        rest.pop("cloud_event_id", None)
    return first or second


def _type(fields: Fields, rest: dict[str, Json], details: dict[str, Json], header_type: str) -> Kind:
    names = [_text(rest.pop("event_type", None), "event_type"), _text(rest.get("event_name"), "event_name")]
    name = names[0] or names[1] or _text(details.get("event_name"), "details.event_name") or header_type
    for place in (rest, details):
        if place.get("event_name") in (name, None, ""):
            place.pop("event_name", None)
    if header_type and header_type != name:
        rest["header.event_type"] = header_type
    kind = KINDS.get(name) or Kind(name or "unknown")
    start(fields, kind, name)
    return kind


def start(fields: Fields, kind: Kind, name: str) -> None:
    """What the type alone says; ``name`` is the source's own."""
    fields["event_type"], fields["source_event_type"] = kind.name, name
    for column, value in (("activity", kind.activity), ("outcome", kind.outcome), ("session_status", kind.status)):
        if value:
            fields[column] = value


def _envelope(fields: Fields, rest: dict[str, Json], details: dict[str, Json]) -> None:
    for key, column in ENVELOPE.items():
        value, repeated = rest.pop(key, None), details.get(key)
        if type(value) is str and value:  # nearly all of them
            fields[column] = value
            if repeated == value:
                del details[key]
            continue
        if value in (None, "") and not isinstance(repeated, dict | list):
            value = repeated
        if repeated == value:
            details.pop(key, None)
        if value not in (None, "") and (isinstance(value, dict | list) or not put(fields, column, value)):
            raise Unmappable("bad_type", f"{key} must be text or a number")


def _author(fields: Fields, rest: dict[str, Json], details: dict[str, Json]) -> None:
    number = rest.pop("author_id", None)
    author = _text(number, "author_id")
    if author:
        fields["actor_id"] = author
    fields["actor_type"] = actor_type(number, str(details.get("author_class") or ""))
    human = details.get("human_author_id")
    if human in (None, "") or not put(fields, "human_principal_id", human):
        return
    del details["human_author_id"]
    name = details.get("human_author_name")
    if name is not None and put(fields, "human_principal_name", name):
        del details["human_author_name"]
    fields["actor_type"] = "service_account"
    fields["delegation_chain"] = [f"human:{fields['human_principal_id']}", f"service_account:{author}"]


def actor_type(author: Json, author_class: str) -> str:
    """``human``, ``service_account``, ``system`` or "" (unknown) for an author that is not under composite identity."""
    if any(name in author_class for name in SERVICE_CLASSES):
        return "service_account"
    if type(author) is not int:
        return "human" if author_class == "User" else ""
    if author > 0:
        return "human"
    return "service_account" if author in SERVICE_AUTHORS and not author_class else "system"


def _workflow(fields: Fields, rest: dict[str, Json], details: dict[str, Json]) -> None:
    """Session and flow of an event whose target is a session of Duo."""
    if fields.get("target_type") != WORKFLOW:
        return
    if rest.get("workflow_id") is None and details.get("workflow_id") is None:
        fields["session_id"] = fields.get("target_id", "")
    fields["agent_type"] = "duo-workflow"
    flow, found, _ = str(fields.get("target_details", "")).rpartition(" session ")
    if found and flow != "Unknown" and not details.get("verification_run"):
        fields["flow_definition"] = flow


def from_details(fields: Fields, kind: Kind, rest: dict[str, Json], details: dict[str, Json]) -> int:
    """The columns of an AI event, taken out of ``details``; returns the content length that the source names itself."""
    for place, key in ((rest, "workflow_id"), (details, "workflow_id"), (details, "session_id")):
        value = place.get(key)
        if value is not None and not fields.get("session_id"):
            put(fields, "session_id", value)
        if value is not None and fields.get("session_id") == as_text(value):
            del place[key]
    for key, column in kind.columns.items():
        if details.get(key) is not None and put(fields, column, details[key]):
            del details[key]
    if fields["source_event_type"] in AI_KINDS:
        for name in OWN_NAMES:
            if details.get(name) is not None and put(fields, name, details[name]):
                del details[name]
    if fields["source_event_type"] == "ai_agent_session_ended":
        _ending(fields, details)
    lengths = [details.get(key) for key in ("content_length", "response_length")]
    return max((n for n in lengths if type(n) is int and 0 <= n < 1 << 53), default=0)


def _meaning(fields: Fields, kind: Kind, details: dict[str, Json]) -> None:
    """What the type alone does not say: direction of a git operation, who approved, the message."""
    message = details.get("custom_message")
    if type(message) is str:
        fields["message"] = details.pop("custom_message")
    if kind.name == "repository.git_operation" and isinstance(message, dict):
        fields["activity"] = GIT_ACTIVITIES.get(str(message.get("action")), "")
    elif kind.name == "approval.approved":
        fields["approval_status"], fields["approver_id"] = "approved", fields.get("actor_id", "")


def _ending(fields: Fields, details: dict[str, Json]) -> None:
    status: Any = details.get("status")
    if type(status) is str and status:
        fields["session_status"] = details.pop("status")
        fields["outcome"] = ENDINGS.get(status, "")
    seconds: Any = details.get("duration_seconds")
    if type(seconds) in (int, float) and put(fields, "duration_ms", round(seconds * 1000, 3)):
        del details["duration_seconds"]


def _text(value: Json, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise Unmappable("bad_type", f"{name} must be text or a number")
    return as_text(value)

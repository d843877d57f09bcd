"""The event types that agents usually record, and when. Other dotted names are taken too: the list is an offer, no fence."""

from __future__ import annotations

from typing import Final, NamedTuple


class EventType(NamedTuple):
    """``name`` for AuditEvent.event_type; ``when`` to record it; ``fields`` to fill beyond agent, session and person."""

    name: str
    when: str
    fields: tuple[str, ...]


_TOOL = ("tool_name", "tool_call_id")
_ERROR = ("error_type", "error_message")
_APPROVAL = ("approval_id", "approval_status", "tool_name", "tool_call_id")

_OFFERED = (
    EventType("session.created", "A run of the agent was asked for and has not begun.", ("flow_definition", "session_status")),
    EventType(
        "session.started", "A run begins: a conversation, a job, a workflow.", ("flow_definition", "session_status", "prompt")
    ),
    EventType("session.resumed", "A run that waited goes on, after an approval or a pause.", ("session_status",)),
    EventType("session.ended", "A run reached its end.", ("session_status", "outcome", "duration_ms")),
    EventType("session.failed", "A run ended by an error.", ("session_status", *_ERROR)),
    EventType("session.stopped", "A person or a policy stopped a run.", ("session_status", "reason", "actor_id")),
    EventType("user.input", "A person said something to the agent.", ("prompt", "actor_type", "actor_id")),
    EventType("user.output", "The agent showed something to a person.", ("response",)),
    EventType("model.requested", "Before a call to a model.", ("model_provider", "model_name", "prompt", "tools_offered")),
    EventType(
        "model.responded",
        "The model answered: tokens and cost are counted from this event.",
        ("model_provider", "model_name", "input_tokens", "output_tokens", "cost_usd", "duration_ms", "response"),
    ),
    EventType("model.failed", "A call to a model failed.", ("model_provider", "model_name", "duration_ms", *_ERROR)),
    EventType(
        "tool.invoked",
        "Before a tool runs. Wait for its receipt where the action must not happen unaudited.",
        (*_TOOL, "tool_server", "tool_category", "tool_definition_digest", "tool_args", "target_type", "target_id"),
    ),
    EventType("tool.responded", "The tool gave a result.", (*_TOOL, "outcome", "duration_ms", "tool_result")),
    EventType("tool.failed", "The tool raised an error or ran out of time.", (*_TOOL, "duration_ms", *_ERROR)),
    EventType("tool.retried", "The same call is tried again.", (*_TOOL, "error_message")),
    EventType("tool.denied", "A policy refused a call: the tool did not run.", (*_TOOL, "decision", "policy_id", "reason")),
    EventType("approval.requested", "The agent waits for a person's decision.", (*_APPROVAL, "reason")),
    EventType("approval.approved", "A person let it happen.", (*_APPROVAL, "approver_id")),
    EventType("approval.rejected", "A person refused.", (*_APPROVAL, "approver_id", "reason")),
    EventType("approval.modified", "A person let it happen with other arguments.", (*_APPROVAL, "approver_id", "tool_args")),
    EventType("approval.expired", "Nobody decided in time.", _APPROVAL),
    EventType(
        "auditwire.producer.heartbeat",
        "Nobody does: the SDK, every minute in each lane that was used (tenant and mode). `dropped` counts what was not taken.",
        ("attributes",),
    ),
    EventType(
        "auditwire.producer.closed",
        "Nobody does: the SDK, as the last event of a lane whose client was closed, or whose spool another process took over.",
        ("attributes",),
    ),
    EventType("repository.git_operation", "Code was fetched, cloned or pushed.", ("activity", "entity_path", "target_details")),
)
EVENT_TYPES: Final[dict[str, EventType]] = {offered.name: offered for offered in _OFFERED}

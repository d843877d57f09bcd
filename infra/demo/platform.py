"""A small agent platform: what its agents do in their sessions, as audit events. Same seed and start, same story."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from auditwire import AuditEvent

# A made-up token in the documented form of a GitLab personal access token: redaction must catch it.
PLANTED_SECRET = "glpat-" + "Zk3qXw9-tLm2Vb7RcYp4"


@dataclass(frozen=True)
class Agent:
    """An agent as its platform knows it."""

    agent_id: str
    name: str
    kind: str
    version: str
    model: str


@dataclass(frozen=True)
class Tool:
    """A tool an agent may call; ``verdict`` is what the platform's policy says to it."""

    name: str
    server: str
    category: str
    verdict: str = "allow"


AGENTS = (
    Agent("agent-triage", "Issue triage", "duo-workflow", "1.4.0", "claude-sonnet-4-5"),
    Agent("agent-mr", "Merge request author", "claude-code", "2.0.31", "claude-opus-4-1"),
    Agent("agent-deploy", "Deployment helper", "langgraph", "0.9.2", "gpt-5"),
    Agent("agent-support", "Support desk", "autogen", "3.2.0", "mistral-large"),
)
TOOLS = (
    Tool("read_file", "workspace", "read"),
    Tool("search_issues", "gitlab-mcp", "read"),
    Tool("run_sql", "warehouse-mcp", "read"),
    Tool("create_merge_request", "gitlab-mcp", "write", "escalate"),
    Tool("post_comment", "gitlab-mcp", "write"),
    Tool("read_secret", "vault-mcp", "read", "deny"),
    Tool("delete_branch", "gitlab-mcp", "delete", "deny"),
)
PEOPLE = ("ana@example.com", "bo@example.com", "chi@example.com", "dee@example.com")


def sessions(tenant: str, count: int, seed: int, start: datetime) -> Iterator[AuditEvent]:
    """Events of ``count`` sessions of one tenant, in order of time; about nine events a session. ``start`` has a time zone."""
    dice = random.Random(f"{tenant}/{seed}")
    for number in range(count):
        yield from _session(tenant, number, dice, start + timedelta(seconds=7 * number))


def _session(tenant: str, number: int, dice: random.Random, at: datetime) -> Iterator[AuditEvent]:
    agent, person = dice.choice(AGENTS), dice.choice(PEOPLE)
    trace = f"{dice.getrandbits(128):032x}"
    step = 0

    def event(event_type: str, **fields: object) -> AuditEvent:
        nonlocal step
        step += 1
        common = {
            "tenant_id": tenant,
            "occurred_at": at + timedelta(milliseconds=180 * step),
            "event_type": event_type,
            "actor_type": "agent",
            "actor_id": agent.agent_id,
            "human_principal_id": person,
            "delegation_chain": [f"human:{person}", f"agent:{agent.agent_id}"],
            "agent_id": agent.agent_id,
            "agent_name": agent.name,
            "agent_type": agent.kind,
            "agent_version": agent.version,
            "session_id": f"{tenant}-session-{number}",
            "trace_id": trace,
            "outcome": "success",
        }
        return AuditEvent(**{**common, **fields})  # type: ignore[arg-type]

    offered = [t.name for t in TOOLS]
    yield event("session.started", session_status="running", ip_address=f"192.0.2.{dice.randrange(1, 255)}")
    yield event(
        "model.requested",
        model_name=agent.model,
        prompt=f"Please look at issue {number} and propose a fix.",
        tools_offered=offered,
    )
    yield event(
        "model.responded",
        model_name=agent.model,
        response="I will read the file first.",
        input_tokens=dice.randrange(200, 9000),
        output_tokens=dice.randrange(20, 900),
        cost_usd=round(dice.uniform(0.001, 0.2), 6),
        duration_ms=dice.uniform(300, 4000),
    )
    for call in range(dice.randrange(1, 4)):
        yield from _call(event, dice, dice.choice(TOOLS), f"{tenant}-{number}-{call}")
    yield event("session.ended", session_status="finished", duration_ms=180.0 * step)


def _call(make: Callable[..., AuditEvent], dice: random.Random, tool: Tool, call_id: str) -> Iterator[AuditEvent]:
    about = {
        "tool_name": tool.name,
        "tool_server": tool.server,
        "tool_category": tool.category,
        "tool_call_id": call_id,
        "activity": {"read": "read", "write": "update", "delete": "delete"}[tool.category],
        "target_type": "repository",
        "target_id": f"group/project-{dice.randrange(20)}",
    }
    arguments = {"path": f"src/module_{dice.randrange(50)}.py", "ref": "main"}
    if dice.random() < 0.1:
        arguments["token"] = PLANTED_SECRET
    if tool.verdict == "deny":
        yield make(
            "tool.denied",
            **{
                **about,
                "outcome": "denied",
                "decision": "deny",
                "policy_id": f"no-{tool.category}-{tool.name}",
                "reason": "tools of this class are not open to agents",
            },
        )
        return
    if tool.verdict == "escalate":
        approval = {"approval_id": f"approval-{call_id}", "decision": "escalate", "policy_id": "write-needs-approval"}
        yield make("approval.requested", **about, **approval, approval_status="requested")
        yield make("approval.approved", **about, **approval, approval_status="approved", approver_id=dice.choice(PEOPLE))
    yield make("tool.invoked", **about, tool_args=json.dumps(arguments), decision="allow", policy_id="default-allow")
    if dice.random() < 0.08:
        yield make(
            "tool.failed", **{**about, "outcome": "failure", "error_type": "Timeout", "error_message": "no answer within 30 s"}
        )
    else:
        yield make(
            "tool.responded",
            **about,
            tool_result=json.dumps({"ok": True, "bytes": dice.randrange(100_000)}),
            duration_ms=dice.uniform(5, 900),
        )

"""What a revision of the reference data says about one event, as docs/reference-data.md tells it."""

from __future__ import annotations

from typing import Any

from pipeline.reference.model import Snapshot, Tool


def enriched(event: dict[str, Any], snapshot: Snapshot, retention_class: str = "standard") -> dict[str, Any]:
    """The columns that the stage fills; registered documents are looked for one after the other."""
    flags, owners = [], []
    tenant = next((t for t in snapshot.tenants if t.id == event["tenant_id"]), None)
    if snapshot.tenants and tenant is None:
        flags.append("tenant_unknown")
    source = next((s for s in snapshot.sources if s.name == event["source"]), None)
    if snapshot.sources and source is None:
        flags.append("source_unknown")
    elif source and source.tenants and event["tenant_id"] not in source.tenants:
        flags.append("source_not_of_tenant")
    agent = _best(snapshot.agents, event, lambda a: a.id == event["agent_id"])
    if event["agent_id"] and agent is None and snapshot.agents:
        flags.append("agent_unknown")
    if event["agent_id"] and agent and agent.versions and agent.versions.get(event["agent_version"]) != "approved":
        flags.append("agent_version_" + agent.versions.get(event["agent_version"], "unknown"))
    tool = _best(snapshot.tools, event, lambda t: t.name == event["tool_name"] and t.server in ("", event["tool_server"]))
    if event["tool_name"] and tool is None and snapshot.tools:
        flags.append("tool_unknown")
    tool = tool if event["tool_name"] else None
    if tool:
        flags += _about_tool(event, tool)
        owners += [f"tool:{tool.owner}"] * bool(tool.owner)
    if event["agent_id"] and agent:
        owners += [f"agent:{agent.owner}"] * bool(agent.owner)
    return {
        "tool_category": event["tool_category"] or (tool.category if tool else ""),
        "processed_tool_risk": tool.risk_tier if tool else "",
        "processed_tenant_region": tenant.region if tenant else "",
        "processed_retention_class": (tenant.retention_class if tenant else "") or retention_class,
        "processed_owners": owners,
        "processed_controls": [c.id for c in snapshot.controls if any(_covers(t, event["event_type"]) for t in c.event_types)],
        "processed_flags": flags,
        "processed_reference_revision": snapshot.revision,
    }


def _covers(pattern: str, event_type: str) -> bool:
    return event_type.startswith(pattern[:-1]) if pattern.endswith("*") else event_type == pattern


def _best(documents: Any, event: dict[str, Any], fits: Any) -> Any:
    """The tenant's own before the one for every tenant, in each that of the very server."""
    found = [d for d in documents if fits(d) and d.tenant in ("", event["tenant_id"])]
    return max(found, key=lambda d: (d.tenant != "", getattr(d, "server", "") != ""), default=None)


def _about_tool(event: dict[str, Any], tool: Tool) -> list[str]:
    flags = []
    if event["tool_category"] and tool.category and event["tool_category"] != tool.category:
        flags.append(f"tool_category_differs={tool.category}")
    if tool.definitions:
        seen, version = event["tool_definition_digest"], event["tool_version"]
        right = {tool.definitions[version]} if version in tool.definitions else set(tool.definitions.values())
        if seen not in right:
            flags.append(f"tool_definition_{'differs' if seen else 'unstated'}={tool.definitions.get(version, '')}")
    return flags

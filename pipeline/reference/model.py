"""One revision of the reference data as an immutable snapshot, and the canonical JSON document that stands for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

FORM = 1
KINDS = ("tenant", "agent", "tool", "source", "control")
EVERY_TENANT = ""
BUILT_IN_CONTROLS = Path(__file__).with_name("controls.yaml")


class ModelError(Exception):
    """A text is not a canonical document of reference data. Keep the snapshot in use and look at what published this one."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer. Empty ``retention_class``: the processor's setting holds."""

    id: str
    region: str
    retention_class: str


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent of one tenant, or of every tenant (``tenant`` empty). ``versions``: version → approved, deprecated, retired."""

    id: str
    tenant: str
    owner: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of a server (empty: any). ``definitions``: version → digest of the approved definition; all may be empty."""

    name: str
    server: str
    tenant: str
    owner: str
    risk_tier: str
    category: str
    definitions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Source:
    """A system that emits events. ``tenants`` it may speak for; empty: every tenant."""

    name: str
    tenants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Control:
    """A control of a law or standard, and the event types that are evidence for it (``tool.*``: all that begin so)."""

    id: str
    title: str
    event_types: tuple[str, ...]

    def covers(self, event_type: str) -> bool:
        """Whether events of that type are evidence for this control."""
        return any(event_type.startswith(t[:-1]) if t.endswith("*") else event_type == t for t in self.event_types)


@dataclass(frozen=True)
class Snapshot:
    """One revision, whole. A kind that is empty has no document in the revision; ``controls`` are then the built-in ones."""

    revision: str
    tenants: tuple[Tenant, ...] = ()
    agents: tuple[Agent, ...] = ()
    tools: tuple[Tool, ...] = ()
    sources: tuple[Source, ...] = ()
    controls: tuple[Control, ...] = ()
    _tenants: Mapping[str, Tenant] = field(init=False, repr=False, compare=False)
    _agents: Mapping[tuple[str, str], Agent] = field(init=False, repr=False, compare=False)
    _tools: Mapping[tuple[str, str, str], Tool] = field(init=False, repr=False, compare=False)
    _sources: Mapping[str, Source] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "_tenants", {t.id: t for t in self.tenants})
        put(self, "_agents", {(a.tenant, a.id): a for a in self.agents})
        put(self, "_tools", {(t.tenant, t.server, t.name): t for t in self.tools})
        put(self, "_sources", {s.name: s for s in self.sources})

    def tenant(self, tenant_id: str) -> Tenant | None:
        """The tenant, None where it is not registered."""
        return self._tenants.get(tenant_id)

    def agent(self, tenant_id: str, agent_id: str) -> Agent | None:
        """The tenant's own agent of that id, else the one of every tenant, else None."""
        return self._agents.get((tenant_id, agent_id)) or self._agents.get((EVERY_TENANT, agent_id))

    def tool(self, tenant_id: str, server: str, name: str) -> Tool | None:
        """The tenant's own tool first, then the one of every tenant; in each, that server's before the one of any server."""
        wanted = ((tenant_id, server), (tenant_id, ""), (EVERY_TENANT, server), (EVERY_TENANT, ""))
        return next((found for t, s in wanted if (found := self._tools.get((t, s, name)))), None)

    def source(self, name: str) -> Source | None:
        """The source, None where it is not registered."""
        return self._sources.get(name)

    def controls_of(self, event_type: str) -> tuple[str, ...]:
        """Ids of the controls that events of that type are evidence for, in order of id."""
        return tuple(c.id for c in self.controls if c.covers(event_type))


def canonical(documents: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Documents by kind (each without ``kind``) → the text that is stored, hashed and published.

    The same documents give the same text, whatever their order, files and spelling in YAML.
    """
    content = {f"{kind}s": [_plain(d) for d in sorted(documents.get(kind, ()), key=_order)] for kind in KINDS}
    return json.dumps({"form": FORM, **content}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Lists are sets here: in order and once each. What is empty says as much as what is left out."""
    found = {k: sorted(set(v)) if isinstance(v, list) else v for k, v in document.items() if k != "kind"}
    return {k: v for k, v in found.items() if v not in ("", [], {})}


def _order(document: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(document.get(k, "")) for k in ("tenant", "server", "id", "name"))


def parse(revision: str, text: str) -> Snapshot:
    """The snapshot of a canonical document. Raises ModelError, also for a form that only a newer release understands."""
    try:
        found = json.loads(text)
        if found["form"] != FORM:
            raise ModelError(f"revision {revision} of the reference data has form {found['form']}: upgrade this part")
        return Snapshot(
            revision,
            tenants=tuple(_tenant(d) for d in found["tenants"]),
            agents=tuple(_agent(d) for d in found["agents"]),
            tools=tuple(_tool(d) for d in found["tools"]),
            sources=tuple(Source(d["name"], tuple(d.get("tenants", ()))) for d in found["sources"]),
            controls=_controls(found["controls"]) or built_in_controls(),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelError(f"revision {revision} of the reference data is no canonical document ({type(exc).__name__})") from None


def _tenant(d: Mapping[str, Any]) -> Tenant:
    return Tenant(d["id"], d.get("region", ""), d.get("retention_class", ""))


def _agent(d: Mapping[str, Any]) -> Agent:
    return Agent(d["id"], d.get("tenant", ""), d.get("owner", ""), MappingProxyType(dict(d.get("versions", {}))))


def _tool(d: Mapping[str, Any]) -> Tool:
    server, tenant, owner, risk, category = (d.get(k, "") for k in ("server", "tenant", "owner", "risk_tier", "category"))
    return Tool(d["name"], server, tenant, owner, risk, category, MappingProxyType(dict(d.get("definitions", {}))))


def _controls(documents: Sequence[Mapping[str, Any]]) -> tuple[Control, ...]:
    return tuple(Control(d["id"], d["title"], tuple(d["event_types"])) for d in sorted(documents, key=lambda d: str(d["id"])))


@cache
def built_in_controls() -> tuple[Control, ...]:
    """The controls that ship with the release; a revision with controls of its own replaces all of them."""
    return _controls(list(yaml.safe_load_all(BUILT_IN_CONTROLS.read_text(encoding="utf-8"))))


EMPTY = Snapshot("", controls=built_in_controls())

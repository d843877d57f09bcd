"""Stage enrich: what the reference data says about an event's tenant, source, agent, tool and type, and where they disagree.

It works on distinct values: each combination of names in a batch is looked up once, and remembered while the revision is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors import avro
from pipeline.batch import Batch, Indices
from pipeline.reference.model import EVERY_TENANT, Snapshot, Tool

LONGEST = 257  # characters; every registered name is shorter, and what is remembered must be bounded
REMEMBERED = 10_000
TOOL = ("tool_server", "tool_name", "tool_version", "tool_definition_digest", "tool_category")


class Found(NamedTuple):
    """What one kind of document adds to an event."""

    flags: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    category: str = ""
    risk: str = ""
    region: str = ""
    retention_class: str = ""


NOTHING = Found()


class Lookup:
    """One revision of the reference data, with what was looked up in it so far. Safe from several threads."""

    def __init__(self, snapshot: Snapshot) -> None:
        remember = lru_cache(REMEMBERED)
        self.revision = snapshot.revision
        self.classes = frozenset(tenant.retention_class for tenant in snapshot.tenants) - {""}
        self.tenant = remember(partial(_tenant, snapshot))
        self.source = remember(partial(_source, snapshot))
        self.agent = remember(partial(_agent, snapshot))
        self.tool = remember(partial(_tool, snapshot))
        self.event_type = remember(partial(_event_type, snapshot))
        self.with_agents = frozenset(agent.tenant for agent in snapshot.agents)
        self.with_tools = frozenset(tool.tenant for tool in snapshot.tools)


def enrich(batch: Batch, lookup: Lookup, retention_class: str) -> Batch:
    """The batch with the columns that the reference data fills. What they held before is gone; else only an empty tool_category
    changes. ``retention_class`` is that of tenants without one of their own. Reads facts only; docs/reference-data.md lists the
    flags.
    """
    tenant = _coded(batch, "tenant_id")
    tenants = _each(lookup.tenant, tenant)
    sources = _each(lookup.source, tenant, _coded(batch, "source"))
    agent = (_coded(batch, name) for name in ("agent_id", "agent_version"))
    agents = _each(lookup.agent, _narrowed(tenant, lookup.with_agents), *agent)
    tools = _each(lookup.tool, _narrowed(tenant, lookup.with_tools), *(_coded(batch, name) for name in TOOL))
    types = _each(lookup.event_type, _coded(batch, "event_type"))
    category = batch.column("tool_category")
    return batch.replace(
        {
            "tool_category": pc.if_else(pc.equal(category, ""), tools.texts("category"), category),
            "processed_retention_class": tenants.texts("retention_class", retention_class),
            "processed_tool_risk": tools.texts("risk"),
            "processed_tenant_region": tenants.texts("region"),
            "processed_owners": _lists("owners", tools, agents),
            "processed_controls": _lists("controls", types),
            "processed_flags": _lists("flags", tenants, sources, agents, tools),
            "processed_reference_revision": pa.repeat(pa.scalar(lookup.revision), len(batch)),
        }
    )


def _tenant(snapshot: Snapshot, tenant_id: str) -> Found:
    tenant = snapshot.tenant(tenant_id)
    if tenant is None:
        return Found(flags=("tenant_unknown",)) if snapshot.tenants else NOTHING
    return Found(region=tenant.region, retention_class=tenant.retention_class)


def _source(snapshot: Snapshot, tenant_id: str, name: str) -> Found:
    source = snapshot.source(name)
    if source is None:
        return Found(flags=("source_unknown",)) if snapshot.sources else NOTHING
    mine = not source.tenants or tenant_id in source.tenants
    return NOTHING if mine else Found(flags=("source_not_of_tenant",))


def _agent(snapshot: Snapshot, tenant_id: str, agent_id: str, version: str) -> Found:
    if not agent_id:
        return NOTHING
    agent = snapshot.agent(tenant_id, agent_id)
    if agent is None:
        return Found(flags=("agent_unknown",)) if snapshot.agents else NOTHING
    status = agent.versions.get(version, "unknown") if agent.versions else "approved"
    return Found(
        flags=() if status == "approved" else (f"agent_version_{status}",),
        owners=(f"agent:{agent.owner}",) if agent.owner else (),
    )


def _tool(snapshot: Snapshot, tenant_id: str, *seen: str) -> Found:
    server, name, version, digest, category = seen  # the columns in TOOL
    if not name:
        return NOTHING
    tool = snapshot.tool(tenant_id, server, name)
    if tool is None:
        return Found(flags=("tool_unknown",)) if snapshot.tools else NOTHING
    differs = category and tool.category and category != tool.category
    return Found(
        flags=(*((f"tool_category_differs={tool.category}",) if differs else ()), *_definition(tool, version, digest)),
        owners=(f"tool:{tool.owner}",) if tool.owner else (),
        category=tool.category,
        risk=tool.risk_tier,
    )


def _definition(tool: Tool, version: str, digest: str) -> tuple[str, ...]:
    """A version that is not registered has no approved digest of its own: any that is approved for the tool will do."""
    if not tool.definitions:
        return ()
    approved = tool.definitions.get(version, "")
    if digest and digest in ((approved,) if approved else tool.definitions.values()):
        return ()
    return (f"tool_definition_{'differs' if digest else 'unstated'}={approved}",)


def _event_type(snapshot: Snapshot, event_type: str) -> Found:
    return Found(controls=snapshot.controls_of(event_type))


@dataclass(frozen=True)
class _Coded:
    """A column as codes of its distinct texts."""

    codes: Indices
    texts: list[str]


@dataclass(frozen=True)
class _Answers:
    """What was found for each row: ``found[codes[row]]``."""

    codes: pa.Array[Any]
    found: list[Found]

    def texts(self, field: str, otherwise: str = "") -> pa.Array[Any]:
        return pa.array([getattr(found, field) or otherwise for found in self.found], pa.string()).take(self.codes)

    def lists(self, field: str, kind: pa.DataType) -> Any:
        return pa.array([getattr(found, field) for found in self.found], kind).take(self.codes)


def _coded(batch: Batch, name: str) -> _Coded:
    encoded: Any = batch.column(name).dictionary_encode()
    return _Coded(encoded.indices.to_numpy().astype(np.int64), [text[:LONGEST] for text in encoded.dictionary.to_pylist()])


def _narrowed(tenant: _Coded, own: Collection[str]) -> _Coded:
    """Tenants without documents of their own count as one: what holds for every tenant is looked up once."""
    names = [text if text in own else EVERY_TENANT for text in tenant.texts]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return _Coded(np.array([places[name] for name in names], np.int64)[tenant.codes], list(places))


def _each(look_up: Callable[..., Found], *columns: _Coded) -> _Answers:
    """Every combination that occurs, looked up once."""
    codes, chosen = columns[0].codes, [np.arange(len(columns[0].texts))]
    for column in columns[1:]:
        encoded: Any = pa.array(codes * len(column.texts) + column.codes).dictionary_encode()
        before, here = np.divmod(encoded.dictionary.to_numpy(), max(1, len(column.texts)))
        codes, chosen = encoded.indices.to_numpy().astype(np.int64), [*(of[before] for of in chosen), here]
    keys = ([column.texts[i] for i in of.tolist()] for column, of in zip(columns, chosen, strict=True))
    return _Answers(pa.array(codes), [look_up(*key) for key in zip(*keys, strict=True)])


def _lists(field: str, *answers: _Answers) -> pa.Array[Any]:
    """Per row the items of all answers, in their order."""
    kind = avro.event_arrow_schema().field(f"processed_{field}").type
    filled = [answer.lists(field, kind) for answer in answers if any(getattr(found, field) for found in answer.found)]
    if len(filled) == 1:
        return filled[0]
    rows = len(answers[0].codes)
    owner = np.concatenate([np.empty(0, np.int64), *(pc.list_parent_indices(items).to_numpy() for items in filled)])
    items = pa.concat_arrays([pa.array([], kind.value_type), *(items.flatten() for items in filled)])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=rows))]).astype(np.int32)
    in_order = items.take(pa.array(np.argsort(owner, kind="stable")))
    return pa.ListArray.from_arrays(pa.array(offsets), in_order, type=kind)
